//! What a module or a component needs from its host, found without compiling it.
//!
//! [`Inspection::load`] is where to start; [`Guest::detected`](crate::Guest::detected) says the same of a
//! module that is compiled.

use std::path::Path;

#[cfg(feature = "components")]
use super::component::mismatch;
use super::handlers::handlers_among;
#[cfg(feature = "components")]
use super::load::is_component;
use super::load::{LoadError, binary, read, refuse_mixture};
#[cfg(feature = "components")]
use crate::abi::component::Outline;
use crate::abi::{Interface, detect_in};

#[cfg(feature = "components")]
pub use crate::abi::component::{
    CommandVersion, ComponentImport, ComponentKind, Outline as ComponentOutline,
};
pub use crate::abi::{Detected, Dialect, Import, MemoryKind, WasixGeneration};

/// What a module or a component wants of its host, from its imports and exports.
///
/// The bodies of its functions are not read, so it takes milliseconds where compiling takes
/// seconds, and a module that no engine takes may be described well.
///
/// ```
/// use wasock::inspect::Inspection;
///
/// let text = r#"(module (import "wasix_32v1" "sock_listen" (func (param i32 i32) (result i32))))"#;
/// let found = Inspection::from_bytes("server.wat".as_ref(), text.as_bytes())?;
/// assert_eq!(found.detected().dialect.to_string(), "WASIX");
/// assert_eq!(found.detected().supported[0].to_string(), "wasix_32v1.sock_listen");
/// # Ok::<(), wasock::LoadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inspection {
    detected: Detected,
    handlers: Vec<&'static str>,
    #[cfg(feature = "components")]
    component: Option<Outline>,
}

impl Inspection {
    /// Reads the file `path`.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::from_bytes(path, &read(path)?)
    }

    /// Reads `bytes`, a module, a component, or the text of one; `name` is for messages.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<Self, LoadError> {
        let binary = binary(name, bytes)?;
        #[cfg(feature = "components")]
        if is_component(&binary) {
            let outline = Outline::read(&binary)
                .map_err(|error| LoadError::InvalidComponent(name.to_owned(), wasmtime::Error::new(error)))?;
            let mismatch = mismatch(name, &binary, &outline);
            let outline = outline.with_mismatch(mismatch);
            return Ok(Self { component: Some(outline), ..Self::of(&Interface::default()) });
        }
        let interface = Interface::read(&binary)
            .map_err(|error| LoadError::Invalid(name.to_owned(), wasmtime::Error::new(error)))?;
        refuse_mixture(name, &interface)?;
        Ok(Self::of(&interface))
    }

    fn of(interface: &Interface) -> Self {
        Self {
            detected: detect_in(interface),
            handlers: handlers_among(|export| interface.export(export).is_some()),
            #[cfg(feature = "components")]
            component: None,
        }
    }

    /// What it is as a component, if it is one.
    #[cfg(feature = "components")]
    pub fn component(&self) -> Option<&ComponentOutline> {
        self.component.as_ref()
    }

    /// What its imports say of it as a module: of a component nothing.
    pub fn detected(&self) -> &Detected {
        &self.detected
    }

    /// The names of the [handlers of events](super::deliver_events) that it exports.
    pub fn handlers(&self) -> &[&'static str] {
        &self.handlers
    }
}
