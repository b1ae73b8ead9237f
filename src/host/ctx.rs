//! What a store holds of wasock.

use std::sync::Arc;

use wasmtime::{Instance, Module, ResourceLimiter, Trap};

#[cfg(feature = "components")]
use super::call_mode::CallMode;
use super::guest_memory::MemorySource;
use super::handlers::handler_names;
use super::interrupt::{Interrupts, RunsOn};
use super::limiter::MemoryLimiter;
use super::on_trap::OnTrap;
use super::outcome::error_of;
use super::unwinder::{Asyncify, Forks};
#[cfg(feature = "components")]
use crate::abi::component;
use crate::abi::detect;
use crate::io::ReservedThread;
use crate::observe::TraceSink;
use crate::process::Thread;
use crate::socket::put_back_all;

/// One guest, as the host sees it: its descriptors, its policy, its memory.
///
/// Make one with [`WasockCtx::builder`], put it into the data of a
/// [`Store`](wasmtime::Store), and pass the linker a function that returns it with
/// [`add_to_linker`](super::add_to_linker). One context serves one instance.
pub struct WasockCtx {
    /// What calls act on.
    pub(crate) thread: Thread,
    /// What ends a wait of that thread.
    pub(crate) interrupts: Interrupts,
    /// The instance that the store is for, where the host made it.
    pub(crate) instance: Option<Instance>,
    /// A signal's handler runs in the midst of running code.
    pub(crate) runs_on: Option<RunsOn>,
    /// Where the memory of a call is.
    pub(crate) memory: MemorySource,
    /// Where the call trace goes.
    pub(crate) trace: Option<Arc<TraceSink>>,
    /// The functions with which the instance unwinds itself.
    pub(super) asyncify: Asyncify,
    /// The program, where copies of its instances may be made.
    pub(super) program: Option<Arc<dyn Forks<Self>>>,
    /// The function in which the thread began, where that is not the start of the program: what is restored in a copy.
    pub(super) entry: Option<&'static str>,
    /// The thread that its first thread is to run on, where that is taken already.
    pub(super) host_thread: Option<ReservedThread>,
    /// What becomes of the guest when a handler traps.
    pub(crate) on_trap: OnTrap,
    /// How much memory the store may have.
    pub(crate) limiter: MemoryLimiter,
    /// How calls are made, of a component.
    #[cfg(feature = "components")]
    pub(super) calls: CallMode,
    /// What these calls keep.
    #[cfg(feature = "components")]
    pub(super) component: component::State,
}

impl WasockCtx {
    /// What a store for `thread` holds.
    pub(crate) fn of(
        thread: Thread,
        memory: MemorySource,
        trace: Option<Arc<TraceSink>>,
        on_trap: OnTrap,
    ) -> Self {
        let interrupts = Interrupts::of(&thread);
        let limiter = MemoryLimiter::new(thread.process().memory(), trace.clone());
        Self {
            thread,
            interrupts,
            instance: None,
            runs_on: None,
            memory,
            trace,
            asyncify: Asyncify::default(),
            program: None,
            entry: None,
            host_thread: None,
            on_trap,
            limiter,
            #[cfg(feature = "components")]
            calls: CallMode::Async,
            #[cfg(feature = "components")]
            component: component::State::default(),
        }
    }

    /// What limits the guest's memories and tables to
    /// [`WasockCtxBuilder::max_memory`](super::WasockCtxBuilder::max_memory): for
    /// [`Store::limiter`](wasmtime::Store::limiter) of a store of your own, before it has an
    /// instance.
    pub fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limiter
    }

    /// How many bytes the memories and tables of this context's store have, as
    /// [`limiter`](Self::limiter) has counted them. A shared memory that the module imports is not
    /// among them.
    pub fn memory_used(&self) -> u64 {
        self.limiter.used()
    }

    /// Gives the guest the shared memory that it imports, mostly as `env.memory`. What it takes is the
    /// embedder's to limit: by its maximum.
    pub fn set_shared_memory(&mut self, memory: wasmtime::SharedMemory) {
        self.memory.set_shared(memory);
    }

    /// Asserts that the store has only one instance that calls this crate's functions. Its
    /// memory is then looked up once instead of at each call, which saves some 50 ns. If
    /// that is wrong, calls of another instance read and write the memory of the first that called.
    ///
    /// [`Guest::run`](super::Guest::run) makes its stores so.
    pub fn expect_single_instance(&mut self) {
        self.memory.set_only_instance();
    }

    /// Derives from the imports of `module` what the program means by names that have
    /// two meanings: `fd_renumber`, which a WASIX program uses as
    /// dup2, the numbers of socket types and of signals, and the size of an IPv6 address. Gives
    /// a WASIX program that opens files by their paths a small `/dev` (`null`, `zero`, `full`, `random`,
    /// `urandom`, `tty` and the standard streams), unless a granted directory is there. Its
    /// exports show whether it handles [events](super::deliver_events).
    ///
    /// [`Guest`](super::Guest) does this by itself.
    pub fn adapt_to(&mut self, module: &Module) {
        let detected = detect(module);
        self.memory.learn(module);
        self.thread.adopt(detected.personality());
        if !handler_names(module).is_empty() {
            self.thread.process().keep_changes();
        }
    }

    /// A context for another instance of the same guest.
    pub(crate) fn successor(&self) -> Self {
        let mut next = Self::of(
            Thread::new(Arc::clone(self.thread.process())),
            MemorySource::of_any_instance(),
            self.trace.clone(),
            self.on_trap,
        );
        next.limiter.ask_too(self.limiter.make_own());
        next
    }

    /// A context for `thread`, a copy of this one's in another process.
    pub(super) fn forked(&self, thread: Thread) -> Self {
        let memory = MemorySource::of_any_instance();
        let mut copy = Self::of(thread, memory, self.trace.clone(), self.on_trap);
        copy.limiter.ask_too(self.limiter.make_own());
        copy.entry = self.entry;
        copy
    }

    /// Is this thread of the guest to go on?
    ///
    /// # Errors
    ///
    /// The guest's end, where that has been ordered: nothing more is done for it.
    #[inline]
    pub(super) fn check_end(&self) -> wasmtime::Result<()> {
        // Two loads: this is asked at every call.
        if self.interrupts.pending_signals.is_due() || self.thread.threads.has_ended() {
            self.why_ended()
        } else {
            Ok(())
        }
    }

    #[cold]
    fn why_ended(&self) -> wasmtime::Result<()> {
        if self.thread.threads.has_ended() {
            return Err(Trap::Interrupt.into());
        }
        self.interrupts.pending_signals.ended_by().map_or(Ok(()), |ending| Err(error_of(ending)))
    }

    /// Restores shared sockets to the mode in which they were inherited, and prevents guests of
    /// this process from accepting from them any more.
    ///
    /// For an embedder that ends its process while contexts are there still, by
    /// [`std::process::exit`] for instance: a listener from which a guest has accepted is
    /// nonblocking for all its owners, until the guest closes it or its context is dropped.
    /// See [`WasockCtxBuilder::preopened_socket`](super::WasockCtxBuilder::preopened_socket).
    pub fn restore_shared_sockets() {
        put_back_all();
    }

    /// How many descriptors the guest has open, in all of its processes.
    pub fn open_descriptors(&self) -> usize {
        self.thread.process().fds().open_in_family()
    }
}

impl std::fmt::Debug for WasockCtx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasockCtx").field("memory", &self.memory).finish_non_exhaustive()
    }
}
