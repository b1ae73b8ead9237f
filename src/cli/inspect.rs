//! `wasock inspect`: what a module wants of its host.

use anyhow::Result;

use super::args::InspectArgs;
use super::report::Lines;
use super::run::load;
use crate::abi::{Detected, Dialect, Generation, Import, MemoryKind, added_in};
use crate::host::Guest;

/// Prints it.
pub(super) fn inspect(args: &InspectArgs) -> Result<()> {
    let (_, guest) = load(&args.module, true, false)?;
    describe(&guest).print();
    Ok(())
}

fn describe(guest: &Guest) -> Lines {
    let detected = guest.detected();
    let memory = match (detected.memory, &detected.memory_import) {
        (MemoryKind::Exported, _) => "its own, exported".to_owned(),
        (MemoryKind::ExportedShared, _) => "its own, shared and exported".to_owned(),
        (MemoryKind::ImportedShared, Some(import)) => format!("shared, imported as {import}"),
        (MemoryKind::ImportedShared, None) => "shared, imported".to_owned(),
        (MemoryKind::None, _) => "none that the host can reach".to_owned(),
    };
    let mut text = Lines::default();
    text.line(format_args!("dialect: {}", dialect(detected)));
    text.line(format_args!("memory: {memory}"));
    text.line(format_args!("threads: {}", if detected.threads { "it may start some" } else { "one" }));
    let handlers = guest.handlers();
    let handlers = if handlers.is_empty() { "none".to_owned() } else { handlers.join(", ") };
    text.line(format_args!("handlers of events: {handlers}"));
    list(&mut text, "supported", &detected.supported);
    list(&mut text, "refused (answer ENOTSUP)", &detected.refused);
    list(&mut text, "stubbed (answer ENOSYS)", &detected.stubbed);
    list(&mut text, "missing (the module does not start)", &detected.missing);
    text
}

fn dialect(detected: &Detected) -> String {
    match detected.dialect {
        Dialect::Unstable => return "WASI snapshot 0 (wasi_unstable)".to_owned(),
        Dialect::Preview1 => return "WASI preview 1".to_owned(),
        Dialect::Wasix => {}
    }
    let added_in = detected.told_by.as_ref().and_then(|import| added_in(&import.name));
    let generation = match detected.generation {
        Generation::V1 => "1 (May 2022 to March 2023)".to_owned(),
        Generation::V1Late => "1, late (March to May 2023)".to_owned(),
        Generation::V2 => "2 (since May 2023)".to_owned(),
        Generation::V2Later => {
            format!("2 with additions (since {})", added_in.unwrap_or("June 2023"))
        }
    };
    let why = match &detected.told_by {
        Some(import) => format!("it imports {import}"),
        None => "nothing that it imports says otherwise".to_owned(),
    };
    format!("WASIX, generation {generation}: {why}")
}

fn list(text: &mut Lines, title: &str, imports: &[Import]) {
    text.line(format_args!("{title}: {}", imports.len()));
    for import in imports {
        text.line(format_args!("  {import}"));
    }
}
