//! `wasock inspect`: what a module or a component wants of its host.

mod component;

use anyhow::Result;
use wasock::inspect::Inspection;
use wasock::inspect::{Detected, Import, MemoryKind, WasixGeneration};

use crate::args::{InspectArgs, InspectFormat};
use crate::json::Json;
use crate::report::Lines;

/// Counts what changes a meaning in [`as_json`], or takes a field away.
const SCHEMA: u64 = 1;

/// Prints it.
pub(crate) fn inspect(args: &InspectArgs) -> Result<()> {
    let found = Inspection::load(&args.module)?;
    let mut text = Lines::default();
    match (args.format, found.component()) {
        (InspectFormat::Text, None) => describe(&mut text, &found),
        (InspectFormat::Text, Some(found)) => component::describe(&mut text, found),
        (InspectFormat::Json, outline) => {
            let json = outline.map_or_else(|| as_json(&found), component::as_json);
            json.to_string().lines().for_each(|line| {
                text.line(line);
            });
        }
    }
    text.print();
    Ok(())
}

fn describe(text: &mut Lines, found: &Inspection) {
    let detected = found.detected();
    let memory = match (detected.memory, &detected.memory_import) {
        (MemoryKind::Exported, _) => "its own, exported".to_owned(),
        (MemoryKind::ExportedShared, _) => "its own, shared and exported".to_owned(),
        (MemoryKind::ImportedShared, Some(import)) => format!("shared, imported as {import}"),
        (MemoryKind::ImportedShared, None) => "shared, imported".to_owned(),
        _ => "none that the host can reach".to_owned(),
    };
    text.line(format_args!("dialect: {}", dialect(detected)));
    text.line(format_args!("memory: {memory}"));
    text.line(format_args!("threads: {}", if detected.threads { "it may start some" } else { "one" }));
    let needs = processes(detected);
    let needs = if needs.is_empty() { "one".to_owned() } else { format!("it needs {}", needs.join(", ")) };
    text.line(format_args!("processes: {needs}"));
    let handlers = found.handlers();
    let handlers = if handlers.is_empty() { "none".to_owned() } else { handlers.join(", ") };
    text.line(format_args!("handlers of events: {handlers}"));
    list(text, "supported", &detected.supported);
    list(text, "refused (answer ENOTSUP)", &detected.refused);
    list(text, "stubbed (answer ENOSYS)", &detected.stubbed);
    list(text, "missing (the module does not start)", &detected.missing);
}

/// What of processes the program needs, by its imports.
fn processes(detected: &Detected) -> Vec<&'static str> {
    const NEEDS: [(&str, &[&str]); 6] = [
        ("spawn", &["proc_spawn", "proc_spawn2", "proc_spawn3"]),
        ("exec", &["proc_exec", "proc_exec2", "proc_exec3", "proc_exec4"]),
        ("vfork", &["proc_fork_env"]),
        ("fork", &["proc_fork"]),
        ("wait", &["proc_join"]),
        ("longjmp", &["stack_restore"]),
    ];
    let imports = || detected.supported.iter().chain(&detected.refused);
    let has = |names: &[&str]| imports().any(|import| names.contains(&import.name.as_str()));
    NEEDS.into_iter().filter(|(_, names)| has(names)).map(|(need, _)| need).collect()
}

fn dialect(detected: &Detected) -> String {
    let Some(generation) = detected.generation else {
        return match &detected.told_by {
            // Others have this module too, and the name.
            Some(import) if import.module == "wasi_snapshot_preview1" => {
                format!("{}: it imports {import} with this type", detected.dialect)
            }
            Some(import) => format!("{}: it imports {import}", detected.dialect),
            None => detected.dialect.to_string(),
        };
    };
    let mut generation = generation.to_string();
    if let Some(month) = detected.since() {
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

/// The schema is described in `docs/cli.md`.
fn as_json(found: &Inspection) -> Json {
    let detected = found.detected();
    let generation = detected.generation.map(|generation| match generation {
        WasixGeneration::V1 => "1",
        WasixGeneration::V1Late => "1-late",
        WasixGeneration::V2 => "2",
        WasixGeneration::V2Later => "2-later",
        _ => "other",
    });
    let memory = match detected.memory {
        MemoryKind::Exported => "exported",
        MemoryKind::ExportedShared => "exported-shared",
        MemoryKind::ImportedShared => "imported-shared",
        MemoryKind::None => "none",
        _ => "other",
    };
    Json::Object(vec![
        ("schema", SCHEMA.into()),
        ("dialect", detected.dialect.id().into()),
        ("generation", generation.into()),
        ("since", detected.since().into()),
        ("told_by", detected.told_by.as_ref().into()),
        ("memory", memory.into()),
        ("memory_import", detected.memory_import.as_ref().into()),
        ("threads", Json::Bool(detected.threads)),
        ("processes", processes(detected).into_iter().collect()),
        ("handlers", found.handlers().iter().copied().collect()),
        (
            "imports",
            Json::Object(vec![
                ("supported", detected.supported.iter().collect()),
                ("refused", detected.refused.iter().collect()),
                ("stubbed", detected.stubbed.iter().collect()),
                ("missing", detected.missing.iter().collect()),
            ]),
        ),
    ])
}

impl From<&Import> for Json {
    fn from(import: &Import) -> Self {
        let Import { module, name, .. } = import;
        Self::Object(vec![("module", module.as_str().into()), ("name", name.as_str().into())])
    }
}
