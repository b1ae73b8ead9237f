//! Loading a component: what it is, and which engine it needs.

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Compile, Guest, LoadError};
use crate::abi::component::{CommandVersion, ComponentKind, Outline, needs_async};
use crate::observe::text::Excerpt;

/// A component that is a program.
#[derive(Clone)]
pub(in crate::host) struct Program {
    pub(in crate::host) component: Component,
    pub(in crate::host) version: CommandVersion,
    pub(in crate::host) outline: Outline,
}

/// Has this engine the async functions of the component model? It does not say so otherwise.
pub(in crate::host) fn has_async(engine: &Engine) -> bool {
    Component::from_binary(engine, ASYNC_COMPONENT).is_ok()
}

impl Program {
    /// Does it import or export something of WASI 0.3?
    pub(in crate::host) fn needs_p3(&self) -> bool {
        needs_p3(&self.outline)
    }
}

fn needs_p3(outline: &Outline) -> bool {
    let mut names = outline.imports().iter().map(|import| import.name.as_str());
    let is_p3 = |name: &str| name.starts_with("wasi:") && name.contains("@0.3.");
    names.any(is_p3) || outline.exports().iter().any(|name| is_p3(name))
}

/// A module with nothing in it.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A component with nothing in it but the type of an async function.
const ASYNC_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\x07\x05\x01\x43\0\x01\0";

impl Guest {
    /// Loads a binary component.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub(super) fn from_component(
        engine: &Engine,
        compiler: &dyn Compile,
        name: &Path,
        bytes: &[u8],
    ) -> Result<Self, LoadError> {
        let invalid = |error| LoadError::InvalidComponent(name.to_owned(), error);
        let outline = Outline::read(bytes).map_err(|error| invalid(wasmtime::Error::new(error)))?;
        let version = command_of(&outline).map_err(|why| LoadError::NotProgram(name.to_owned(), why))?;
        let lacks_async = || !has_async(engine);
        let needs = || LoadError::NeedsAsync(name.to_owned());
        if needs_p3(&outline) && lacks_async() {
            return Err(needs());
        }
        let component = compiler
            .component(engine, bytes)
            .map_err(|error| if needs_async(bytes) && lacks_async() { needs() } else { invalid(error) })?;
        let empty = compiler.module(engine, EMPTY_MODULE).map_err(invalid)?;
        Ok(Self { component: Some(Program { component, version, outline }), ..Self::from_module(empty) })
    }
}

/// Of which version of WASI a component is a command.
///
/// # Errors
///
/// A sentence that says what it is instead, without its subject.
fn command_of(outline: &Outline) -> Result<CommandVersion, String> {
    match outline.kind() {
        ComponentKind::Command(version) => Ok(version),
        ComponentKind::OtherCommand(export) => Err(format!(
            "is a command of another WASI: it exports {}, and this host runs wasi:cli/run@0.2.x and @0.3.x",
            Excerpt::name(export)
        )),
        ComponentKind::HttpHandler(export) => Err(format!(
            "is an HTTP component: it exports {} and has no program of its own; run it with `wasmtime serve`",
            Excerpt::name(export)
        )),
        ComponentKind::Library => {
            let exports = outline.exports().join(", ");
            let exports = if exports.is_empty() { "nothing".to_owned() } else { exports };
            Err(format!(
                "is a library component: it exports {}, and no wasi:cli/run by which it would start; build it as a command",
                Excerpt::sentence(exports)
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_with_an_async_function_is_valid() -> wasmtime::Result<()> {
        let mut config = Guest::engine_config();
        assert!(needs_async(ASYNC_COMPONENT));
        assert!(Component::from_binary(&Engine::new(&config)?, ASYNC_COMPONENT).is_err());
        config.concurrency_support(true);
        Component::from_binary(&Engine::new(&config)?, ASYNC_COMPONENT)?;
        Ok(())
    }
}
