//! What linking makes of a module.

use wasmtime::{InstancePre, Linker};

use super::WasockCtx;
use super::call_mode::CallMode;

/// A module with its imports resolved, for as many instances as there will be.
pub(super) struct Linked {
    /// As the functions were linked.
    pub(super) calls: CallMode,
    pub(super) imports: Imports,
}

pub(super) enum Imports {
    Whole(InstancePre<WasockCtx>),
    /// Each instance gets a shared memory of its own.
    ButForMemory(Linker<WasockCtx>),
}
