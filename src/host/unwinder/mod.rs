//! What a store keeps of a guest that unwinds itself, and the state of an instance that is copied. `asyncify` is what works
//! with both.

mod image;

use std::sync::Arc;

use wasmtime::{AsContextMut, Extern, Global, Instance, Module, SharedMemory, TypedFunc};

use super::guest_memory::{GuestMemoryHandle, MEMORY};
use crate::abi::memory::GuestMemory;
use crate::error::Errno;
use crate::process::Frames;

pub(super) use image::{GlobalsImage, MemoryImage};

/// What a module exports to unwind itself, and more that it takes.
pub(super) struct Control {
    pub(super) start_unwind: TypedFunc<i32, ()>,
    pub(super) stop_unwind: TypedFunc<(), ()>,
    pub(super) start_rewind: TypedFunc<i32, ()>,
    pub(super) stop_rewind: TypedFunc<(), ()>,
    pub(super) stack_pointer: Global,
    pub(super) tls_base: Option<Global>,
    /// The lowest address of the stack, where the module says it.
    pub(super) stack_low: Option<u32>,
    pub(super) memory: GuestMemoryHandle,
}

/// The functions with which an instance unwinds itself, once they were looked for.
#[derive(Default)]
pub(super) enum Asyncify {
    /// No call has asked for them.
    #[default]
    Unknown,
    /// The module does not have all that it takes.
    Absent,
    Present(Arc<Control>),
}

/// A program whose instances can be copied. `C` is the context of a store.
pub(super) trait Forks<C>: Send + Sync {
    /// Why they can't, in words.
    fn obstacle(&self) -> Option<&'static str>;

    fn module(&self) -> &Module;

    /// Runs a copy as the process of `ctx`, from `state` to its end; calls `begins` when nothing can hinder it any more.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where the host can't start a thread for it. Then the process was never there.
    fn start(self: Arc<Self>, ctx: C, state: ForkedState, begins: &dyn Fn()) -> Result<(), Errno>;
}

/// An instance as it was when it was copied.
pub(super) struct ForkedState {
    pub(super) memory: Option<MemoryImage>,
    pub(super) globals: GlobalsImage,
    /// Where it goes on.
    pub(super) frames: Frames,
}

/// The memory of `instance`, or else the one that it imports.
pub(super) fn memory_of(
    instance: &Instance,
    mut store: impl AsContextMut,
    imported: Option<&SharedMemory>,
) -> Option<GuestMemoryHandle> {
    match instance.get_export(&mut store, MEMORY) {
        Some(Extern::Memory(memory)) => Some(GuestMemoryHandle::Plain(memory)),
        Some(Extern::SharedMemory(memory)) => Some(GuestMemoryHandle::Shared(memory)),
        _ => imported.cloned().map(GuestMemoryHandle::Shared),
    }
}

/// Passes the memory to `look`.
pub(super) fn with_memory<R>(
    memory: &GuestMemoryHandle,
    mut store: impl AsContextMut,
    look: impl FnOnce(&mut GuestMemory<'_>) -> Result<R, crate::error::Error>,
) -> Result<R, crate::error::Error> {
    match memory {
        GuestMemoryHandle::Plain(memory) => look(&mut GuestMemory::Unshared(memory.data_mut(&mut store))),
        GuestMemoryHandle::Shared(memory) => look(&mut GuestMemory::Shared(memory.data())),
    }
}
