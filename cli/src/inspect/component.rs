//! The same of a component.

use wasock::inspect::{CommandVersion, ComponentImport, ComponentKind, ComponentOutline};
use wasock::observe::Escaped;

use super::SCHEMA;
use crate::json::Json;
use crate::report::Lines;

/// The world of a program.
const COMMAND: &str = "wasi:cli/command";

pub(super) fn describe(text: &mut Lines, found: &ComponentOutline) {
    let (supported, missing) = split(found);
    let kind = match found.kind() {
        ComponentKind::Command(version) => format!("a command of WASI {version} ({COMMAND})"),
        ComponentKind::OtherCommand(export) => {
            format!("a command of a WASI that this host does not have: it exports {}", Escaped(export))
        }
        ComponentKind::HttpHandler(export) => {
            format!("a handler of HTTP requests, for `wasmtime serve`: it exports {}", Escaped(export))
        }
        _ => "a library: it exports no wasi:cli/run by which it would start".to_owned(),
    };
    text.line(format_args!("component: {kind}"));
    text.line(format_args!("supported: {}", supported.len()));
    for import in supported {
        text.line(format_args!("  {}", Escaped(&import.name)));
    }
    text.line(format_args!("missing (the component does not start): {}", missing.len()));
    for import in missing {
        text.line(format_args!("  {}", Escaped(&import.name)));
    }
    if let Some(mismatch) = found.mismatch() {
        text.line(format_args!("of another type (the component does not start): {}", Escaped(mismatch)));
    }
    text.line(format_args!("exports: {}", found.exports().len()));
    for export in found.exports() {
        text.line(format_args!("  {}", Escaped(export)));
    }
}

/// What the host has of its imports, and what it lacks.
fn split(found: &ComponentOutline) -> (Vec<&ComponentImport>, Vec<&ComponentImport>) {
    found.imports().iter().partition(|import| import.is_supported)
}

/// The schema is described in `docs/cli.md`.
pub(super) fn as_json(found: &ComponentOutline) -> Json {
    let (supported, missing) = split(found);
    let (world, wasi) = match found.kind() {
        ComponentKind::Command(CommandVersion::V0_2) => (Some(COMMAND), Some("0.2")),
        ComponentKind::Command(CommandVersion::V0_3) => (Some(COMMAND), Some("0.3")),
        ComponentKind::OtherCommand(_) => (Some(COMMAND), None),
        ComponentKind::HttpHandler(_) => (Some("wasi:http/proxy"), None),
        _ => (None, None),
    };
    let names = |imports: Vec<&ComponentImport>| imports.iter().map(|import| import.name.as_str()).collect();
    let starts = wasi.is_some() && missing.is_empty() && found.mismatch().is_none();
    Json::Object(vec![
        ("schema", SCHEMA.into()),
        ("kind", "component".into()),
        ("world", world.into()),
        ("wasi", wasi.into()),
        ("starts", Json::Bool(starts)),
        ("mismatch", found.mismatch().into()),
        ("imports", Json::Object(vec![("supported", names(supported)), ("missing", names(missing))])),
        ("exports", found.exports().iter().map(String::as_str).collect()),
    ])
}
