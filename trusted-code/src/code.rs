//! Machine code, and the four calls of Wasmtime that take it for what it is.
//!
//! All `unsafe` of this project is in this file.

use std::borrow::Cow;
use std::fs::File;

#[cfg(feature = "components")]
use std::os::fd::AsRawFd as _;

#[cfg(feature = "components")]
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// What WebAssembly a piece of code was compiled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A core module.
    Module,
    /// A component.
    #[cfg(feature = "components")]
    Component,
}

impl Kind {
    pub(crate) fn tag(self) -> u8 {
        match self {
            Self::Module => 1,
            #[cfg(feature = "components")]
            Self::Component => 2,
        }
    }

    pub(crate) fn of_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Module),
            #[cfg(feature = "components")]
            2 => Some(Self::Component),
            _ => None,
        }
    }
}

/// Machine code in memory that Wasmtime has compiled: in this process, or in another one that had the same
/// [`Secret`](crate::Secret).
///
/// There is no way to make one of any other bytes.
#[derive(Debug)]
pub struct Code<'a> {
    kind: Kind,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Code<'a> {
    /// Compiles WebAssembly.
    ///
    /// # Errors
    ///
    /// Where it is invalid, or needs what the engine lacks.
    pub fn compile(engine: &Engine, kind: Kind, binary: &[u8]) -> wasmtime::Result<Code<'static>> {
        let bytes = match kind {
            Kind::Module => engine.precompile_module(binary)?,
            #[cfg(feature = "components")]
            Kind::Component => engine.precompile_component(binary)?,
        };
        Ok(Code { kind, bytes: bytes.into() })
    }

    /// What it was compiled from.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes bytes whose seal proves where they come from. To be called by nothing else.
    pub(crate) fn proven(kind: Kind, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { kind, bytes: bytes.into() }
    }

    /// The module, ready for instances. The code is copied.
    ///
    /// # Errors
    ///
    /// Where it is a component's, or was compiled for another engine.
    #[allow(unsafe_code)]
    pub fn module(&self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: `compile` and `proven` alone make a `Code`. The first has the bytes from this very
        // Wasmtime, and the second has them from a `Sealed` whose authenticity was checked: the first
        // made them, in a process of this host. Nothing changes them afterwards: they are private here.
        // Code of another kind, version or engine is an error, which Wasmtime checks.
        unsafe { Module::deserialize(engine, &self.bytes) }
    }

    /// The component, ready for instances. The code is copied.
    ///
    /// # Errors
    ///
    /// Where it is a module's, or was compiled for another engine.
    #[cfg(feature = "components")]
    #[allow(unsafe_code)]
    pub fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: as in `module`.
        unsafe { Component::deserialize(engine, &self.bytes) }
    }
}

/// A file of machine code that was proven: nobody but this user's processes and root can have written it, by its place in a
/// [`Folder`](crate::Folder) or by its seal; it is as long and has the digest that it had when it was written; and it
/// does not change any more.
#[derive(Debug)]
pub(crate) struct CodeFile(File);

impl CodeFile {
    /// Takes a file that has passed every check. To be called by nothing but those.
    pub(crate) fn proven(file: File) -> Self {
        Self(file)
    }

    /// The module, ready for instances. Its code is a mapping of the file, which is read as it is needed.
    ///
    /// # Errors
    ///
    /// Where the file is a component's, was compiled for another engine, or can't be mapped to be executed.
    #[allow(unsafe_code)]
    pub(crate) fn module(self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: `proof::load` alone makes a `CodeFile`, of a file with the bytes of a `Code`: see there, and
        // the contract at the top of this crate. It does not change while it is mapped: of a `Folder` this crate
        // replaces and removes names, and writes to no file that has one; to a `MemoryFile` the kernel lets nobody write.
        unsafe { Module::deserialize_open_file(engine, self.0) }
    }

    /// The component, ready for instances.
    ///
    /// # Errors
    ///
    /// As [`module`](Self::module) has them.
    #[cfg(feature = "components")]
    #[allow(unsafe_code)]
    pub(crate) fn component(self, engine: &Engine) -> wasmtime::Result<Component> {
        // Wasmtime takes only the path of a component. This one stands for the open file itself,
        // whatever has its name now.
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        // SAFETY: as in `module`. The descriptor is open until the call returns, so its path is this
        // file's.
        unsafe { Component::deserialize_file(engine, path) }
    }
}
