//! What a module needs from its host, found without compiling it.
//!
//! [`Inspection::load`] is where to start; [`Guest::detected`](crate::Guest::detected) says the same of a
//! module that is compiled.

use std::path::Path;

use super::handlers::handlers_among;
use super::load::{LoadError, binary, read, refuse_mixture};
use crate::abi::{Interface, detect_in};

pub use crate::abi::{Detected, Dialect, Import, MemoryKind, WasixGeneration};

/// What a module wants of its host, from its imports and exports.
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

    /// Reads `bytes`, a module or its text; `name` is for messages.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<Self, LoadError> {
        let interface = Interface::read(&binary(name, bytes)?)
            .map_err(|error| LoadError::Invalid(name.to_owned(), wasmtime::Error::new(error)))?;
        refuse_mixture(name, &interface)?;
        let handlers = handlers_among(|export| interface.export(export).is_some());
        Ok(Self { detected: detect_in(&interface), handlers })
    }

    /// What its imports say of it.
    pub fn detected(&self) -> &Detected {
        &self.detected
    }

    /// The names of the [handlers of events](super::deliver_events) that it exports.
    pub fn handlers(&self) -> &[&'static str] {
        &self.handlers
    }
}
