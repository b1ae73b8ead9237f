//! Whether what a component imports, and its `run`, have the types that the host has for them.
//!
//! The engine knows, once the component is compiled. Its types are whole without the code of its functions, whose place
//! an instruction that traps takes here: that is compiled in no time.

use std::path::Path;

use wasmtime::component::types::ComponentItem;
use wasmtime::{Config, Engine, OptLevel};

use super::super::load::Program;
use super::super::snapshot::encode::{read, section, unsigned};
use super::super::snapshot::{Refusal, each_section};
use super::super::{Guest, LoadError};
use super::run::command_of;
use crate::abi::component::Outline;

// The sections, as the specifications number them: of a module, and of a component.
const CUSTOM: u8 = 0;
const CODE: u8 = 10;
const MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// No locals, `unreachable`, `end`; before them how many bytes that is.
const TRAP: [u8; 4] = [3, 0, 0, 0x0b];

/// How many components may enclose another one.
const MOST_NESTED: u32 = 100;

/// What keeps the program `bytes` from starting, where the host has everything that it imports: something that has
/// another type. `None` for what is no program, or is broken.
pub(in crate::host) fn mismatch(name: &Path, bytes: &[u8], outline: &Outline) -> Option<String> {
    if !outline.missing().is_empty() {
        return None;
    }
    let engine = Engine::new(&config()).ok()?;
    let program = match Guest::from_bytes(&engine, name, &without_code(bytes, 0).ok()?) {
        Ok(guest) => guest.component?,
        Err(LoadError::InvalidComponent(_, why)) => return Some(format!("{why:#}")),
        Err(_) => return None,
    };
    command_of(&program).err().map(|why| format!("{why:#}"))
}

/// What has the types of every guest, and is quick.
fn config() -> Config {
    let mut config = Guest::engine_config();
    config.concurrency_support(true).cranelift_opt_level(OptLevel::None);
    config.native_unwind_info(false).generate_address_map(false);
    config
}

/// The component `bytes` with functions that trap.
///
/// # Errors
///
/// Where it is broken.
fn without_code(bytes: &[u8], nested: u32) -> Result<Vec<u8>, Refusal> {
    if nested > MOST_NESTED {
        return Err(Refusal::Invalid);
    }
    let mut written = bytes.get(..8).ok_or(Refusal::Invalid)?.to_vec();
    each_section(bytes, |id, body, whole| {
        match id {
            CUSTOM => {}
            MODULE => section(&mut written, id, &module_without_code(body)?),
            COMPONENT => section(&mut written, id, &without_code(body, nested.saturating_add(1))?),
            _ => written.extend_from_slice(whole),
        }
        Ok(())
    })?;
    Ok(written)
}

/// The same of a module.
fn module_without_code(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut written = bytes.get(..8).ok_or(Refusal::Invalid)?.to_vec();
    each_section(bytes, |id, body, whole| {
        match id {
            CUSTOM => {}
            CODE => {
                let (count, _) = read(body).ok_or(Refusal::Invalid)?;
                let functions = usize::try_from(count).ok().filter(|count| *count <= body.len());
                let functions = functions.ok_or(Refusal::Invalid)?;
                let mut code = Vec::new();
                unsigned(&mut code, count);
                code.extend(std::iter::repeat_n(TRAP, functions).flatten());
                section(&mut written, id, &code);
            }
            _ => written.extend_from_slice(whole),
        }
        Ok(())
    })?;
    Ok(written)
}

/// Has `run` the type by which the host calls it?
///
/// # Errors
///
/// A sentence that says so.
pub(super) fn check_run(program: &Program) -> wasmtime::Result<()> {
    let (engine, component) = (program.component.engine(), program.component.component_type());
    let name = program.outline.program();
    let interface = name.and_then(|name| component.get_export(engine, name)).map(|export| export.ty);
    let run = match interface {
        Some(ComponentItem::ComponentInstance(interface)) => {
            interface.get_export(engine, "run").map(|export| export.ty)
        }
        _ => None,
    };
    let Some(ComponentItem::ComponentFunc(run)) = run else {
        wasmtime::bail!("the component exports {} without a function run", name.unwrap_or_default());
    };
    let is_typed = run.typecheck::<(), (Result<(), ()>,)>(&component.instance_type()).is_ok();
    wasmtime::ensure!(
        is_typed,
        "the component exports {} with a function run of another type than func() -> result",
        name.unwrap_or_default()
    );
    Ok(())
}
