//! Copies of a process: what `fork` copies of an instance, and the copy's begin.

use std::sync::Arc;

use wasmtime::{AsContextMut, Instance, Store};

use crate::error::Errno;
use crate::host::WasockCtx;
use crate::host::call_mode::CallMode;
use crate::host::epoch::Ticker;
use crate::host::guest_memory::GuestMemoryHandle;
use crate::host::unwinder::{Control, ForkedState, GlobalsImage, MemoryImage, memory_of};
use crate::io::insist_on_memory;
use crate::observe::Event;
use crate::process::{Frames, Process, Thread};

/// Why there is no copy of a program with threads.
const ON_FIBERS: &str = "it has threads, and handlers of events or functions of the embedder's";
const NO_STANDSTILL: &str = "one of its other threads does not stand still: it waits in memory.atomic.wait, or in a \
     long operation";

impl ForkedState {
    /// Writes the memory before there is an instance, where that imports it: its data is in it then, and it initialises
    /// nothing anew.
    ///
    /// # Errors
    ///
    /// Where the memory can't be as large.
    pub(in crate::host) fn write_imported(
        &mut self,
        memory: &GuestMemoryHandle,
        store: &mut Store<WasockCtx>,
    ) -> wasmtime::Result<()> {
        self.memory.take().map_or(Ok(()), |image| image.write(memory, store))
    }

    /// Makes `instance` what the other one was, but for its frames.
    ///
    /// # Errors
    ///
    /// Where its memory can't be as large.
    pub(super) fn write(self, store: &mut Store<WasockCtx>, instance: &Instance) -> wasmtime::Result<Frames> {
        let imported = store.data().memory.named.clone();
        let memory = memory_of(instance, &mut *store, imported.as_ref());
        if let (Some(image), Some(memory)) = (self.memory, memory) {
            image.write(&memory, &mut *store)?;
        }
        self.globals.write(instance, &mut *store)?;
        Ok(self.frames)
    }
}

/// Copies the process whose stack is `frames`; returns the number of the copy.
///
/// # Errors
///
/// `ENOTSUP` where its program can't be copied, and the operator is told why; `EAGAIN` where there are too many
/// processes, or its other threads do not stand still, `ENOMEM` where the host holds too much for the guest.
pub(super) fn fork<T: 'static>(
    store: &mut impl AsContextMut<Data = T>,
    get: impl Fn(&mut T) -> &mut WasockCtx,
    calls: CallMode,
    control: &Control,
    frames: &Frames,
) -> Result<u64, Errno> {
    let (program, instance, parent, threads) = {
        let mut context = store.as_context_mut();
        let ctx = get(context.data_mut());
        let (parent, threads) = (Arc::clone(ctx.thread.process()), Arc::clone(&ctx.thread.threads));
        (ctx.program.clone(), ctx.instance, parent, threads)
    };
    let (Some(program), Some(instance)) = (program, instance) else {
        return Err(refused(&parent, "the host runs it in a way in which there is one process only"));
    };
    if let Some(reason) = program.obstacle() {
        return Err(refused(&parent, reason));
    }
    if threads.are_many() && calls != CallMode::OwnThread {
        refused(&parent, ON_FIBERS);
        return Err(Errno::EAGAIN);
    }
    let reservation = parent.family().reserve(parent.pid())?;
    insist_on_memory()?;
    let ticker = Ticker::known(program.module().engine());
    let remind = || ticker.iter().for_each(Ticker::request);
    // "If a multi-threaded process calls fork(), the new process shall contain a replica of the calling thread and its
    // entire address space" - fork(3p): as it is at one moment.
    let standstill = if threads.are_many() {
        let standstill = threads.stand_still(remind);
        if standstill.is_none() {
            refused(&parent, NO_STANDSTILL);
            return Err(Errno::EAGAIN);
        }
        standstill
    } else {
        None
    };
    let memory = MemoryImage::of(&control.memory, store.as_context_mut()).map_err(|_| Errno::ENOMEM)?;
    let globals = GlobalsImage::of(program.module(), &instance, store.as_context_mut());
    let child = parent.fork(reservation)?;
    drop(standstill);
    let pid = child.pid();
    let ctx = {
        let mut context = store.as_context_mut();
        let ctx = get(context.data_mut());
        match ctx.thread.forked(Arc::clone(&child)) {
            Ok(thread) => ctx.forked(thread),
            Err(errno) => {
                parent.family().forget(pid);
                return Err(errno);
            }
        }
    };
    let state = ForkedState { memory: Some(memory), globals, frames: frames.clone() };
    program.start(ctx, state, &|| child.tell_spawned(parent.pid(), None))?;
    Ok(pid.into())
}

/// Has `thread` be a child of its process; returns the child's number.
///
/// # Errors
///
/// As for [`fork`].
pub(super) fn vfork(thread: &mut Thread, frames: &Frames) -> Result<u64, Errno> {
    let parent = Arc::clone(thread.process());
    let reservation = parent.family().reserve(parent.pid())?;
    let held = frames.charged(parent.host_memory())?;
    let child = parent.fork(reservation)?;
    let pid = child.pid();
    child.tell_spawned(parent.pid(), None);
    thread.enter_child(child);
    thread.unwinding.begin_child(frames.clone(), held, pid);
    // The child's.
    Ok(0)
}

/// Tells the operator why there is no copy.
fn refused(process: &Process, reason: &'static str) -> Errno {
    if process.family().is_first_refusal() {
        process.report().tell(Event::NotForked { reason });
    }
    Errno::ENOTSUP
}
