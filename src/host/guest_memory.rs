//! The memory of a guest, and how the memory of a call is found.

use std::fmt;

use wasmtime::{Memory, Module, ModuleExport, SharedMemory};

/// What a module exports its memory as.
pub(super) const MEMORY: &str = "memory";

/// The memory of a guest, wherever it comes from.
#[derive(Clone, Debug)]
pub(crate) enum GuestMemoryHandle {
    /// The guest exports it; no other thread can see it.
    Plain(Memory),
    /// Threads may share it.
    Shared(SharedMemory),
}

/// How the memory of a call is found.
#[derive(Clone, Default)]
pub(crate) struct MemorySource {
    /// The memory: for good where the host made the only instance of the store; else the
    /// shared memory that the embedder named, or that of the last call.
    pub(super) memory: Option<GuestMemoryHandle>,
    /// The embedder's store may have many instances, so the instance of each call is determined.
    pub(super) may_differ: bool,
    /// The embedder named a shared memory, for instances that export none.
    pub(super) named: Option<SharedMemory>,
    /// An export of the module that the program is, which is quicker to look up than a name.
    pub(super) known: Option<(ModuleExport, IsMemory)>,
}

/// Is that export the memory itself? Any other one only identifies the instance.
pub(super) type IsMemory = bool;

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.memory.fmt(f)
    }
}

impl MemorySource {
    /// For a store with one instance, that the host makes.
    pub(crate) fn of_only_instance(memory: Option<GuestMemoryHandle>) -> Self {
        Self { memory, ..Self::default() }
    }

    /// For a store of an embedder, until the host says otherwise.
    pub(crate) fn of_any_instance() -> Self {
        Self { may_differ: true, ..Self::default() }
    }

    /// The host makes the only instance of the store.
    pub(crate) fn set_only_instance(&mut self) {
        self.may_differ = false;
    }

    /// Names the shared memory of a program that imports it.
    pub(crate) fn set_shared(&mut self, memory: SharedMemory) {
        self.named = Some(memory.clone());
        self.memory = Some(GuestMemoryHandle::Shared(memory));
    }

    /// Learns how to find the memory of the instances of `module`.
    pub(crate) fn learn(&mut self, module: &Module) {
        let memory = module.get_export_index(MEMORY).map(|export| (export, true));
        // A function is slower to look up than any other kind.
        let any = || {
            let cheap = module.exports().find(|export| export.ty().func().is_none());
            let export = cheap.or_else(|| module.exports().next())?;
            Some((module.get_export_index(export.name())?, false))
        };
        self.known = memory.or_else(any);
    }
}
