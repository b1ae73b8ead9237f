//! `wasock inspect`: what a module wants of its host.

use anyhow::Result;
use wasock::abi::{Detected, Dialect, Import, MemoryKind, added_in};
use wasock::host::Guest;

use crate::args::InspectArgs;
use crate::report::Lines;
use crate::run::load;

/// Prints it.
pub(crate) fn inspect(args: &InspectArgs) -> Result<()> {
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
        _ => "none that the host can reach".to_owned(),
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
    if detected.dialect != Dialect::Wasix {
        return detected.dialect.to_string();
    }
    let mut generation = detected.generation.to_string();
    if let Some(month) = detected.told_by.as_ref().and_then(|import| added_in(&import.name)) {
        generation += &format!(" (since {month})");
    }
    let why = match &detected.told_by {
        Some(import) => format!("it imports {import}"),
        None => "nothing that it imports says otherwise".to_owned(),
    };
    format!("{}, generation {generation}: {why}", detected.dialect)
}

fn list(text: &mut Lines, title: &str, imports: &[Import]) {
    text.line(format_args!("{title}: {}", imports.len()));
    for import in imports {
        text.line(format_args!("  {import}"));
    }
}
