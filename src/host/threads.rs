//! Guests on threads of their own.
//!
//! # Where a thread runs
//!
//! Each thread of a guest that may start threads, the first included, has a thread of the host's
//! and a store of its own, since it may block in `memory.atomic.wait`, in which only a
//! thread can wait. All have one memory, one descriptor table, one set of futexes.
//! The host thread is kept for a while when the guest's has ended, and [serves](crate::io::start_thread) another.
//! A guest with one thread has the same where its embedder [asks for it](super::Guest::own_thread).
//!
//! The guest's code runs on the stack of that thread, which is as large as the engine allows the code
//! and what the host needs below it. There is no fiber: a call that waits
//! parks the thread. Two guests are the exception, and run on fibers that the thread polls: one
//! with handlers of events, which waits between its calls for any number of sockets at once, and one that
//! imports a function of the embedder's, which may be async.
//!
//! A guest's thread that waits for sockets and timers alone asks the kernel itself to be
//! woken by them: see [`block_on`]. A wake-up crosses threads once then, as natively; the
//! tests' `threaded_pingpong` shows it. So do futexes, pipes and event descriptors, where one
//! thread of the guest wakes another one.
//!
//! An epoll's sockets are watched by an epoll of the kernel's, in which one of the waiters
//! sleeps: one wake-up as well. What else is watched by changes of sockets (an epoll's
//! entries that the kernel does not keep, the events of listeners) is registered with one
//! reactor and may be used by every thread, so the reactor must outlive each of them and
//! run while any of them blocks. That is the thread of [`block_on`], at the cost of a second
//! wake-up. A runtime for each thread would save that, but a connection that one thread
//! accepts and another one reads would then be watched by a reactor that sleeps in the first.
//!
//! How all of them end at once: [`end`].

mod end;
mod life;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime::{Engine, ExternType, Instance, InstancePre, Module, SharedMemory, Store};

use super::asyncify::drive;
use super::call_mode::{CallMode, Role};
use super::epoch::Epochs;
use super::guest_memory::{GuestMemoryHandle, MemorySource};
use super::limiter::{MakeLimiter, charge_thread};
use super::load::STACK_OF_HOST;
use super::outcome::{Outcome, error_of, outcome_of};
use super::unwinder::Forks;
use super::{OnTrap, WasockCtx};
use crate::account::Charge;
use crate::error::Errno;
use crate::io::{own_reactor, reactor};
use crate::observe::TraceSink;
use crate::process::{EntryPoint, MAIN, Process, Starter, Thread, Threads};
use end::{EndAtDrop, HOST_FAILED};

/// Where a thread of today's programs begins, with its number and its argument.
const WASI_ENTRY: &str = "wasi_thread_start";

/// Where one of the first generation begins, with the halves of its word.
const WASIX1_ENTRY: &str = "_start_thread";

/// How the code of a guest is run and interrupted.
#[derive(Clone, Copy)]
pub(super) struct RunMode {
    pub(super) epochs: Epochs,
    pub(super) calls: CallMode,
}

/// One program and all its threads.
pub(super) struct ThreadGroup {
    pre: InstancePre<WasockCtx>,
    /// The memory that the threads share, and its charge for as long as one is left that may use it; nothing for a
    /// guest that can start no thread.
    shared: Option<SharedMemory>,
    charge: Mutex<Option<Charge>>,
    /// What drives what the threads can't watch themselves.
    reactor: Handle,
    /// How many bytes the memories and tables of an instance have at its start, once the first
    /// one has been made.
    instance_needs: AtomicU64,
    /// By how many bytes the shared memories may grow that each instance makes for itself.
    shared_growth: u64,
    make_limiter: Option<MakeLimiter>,
    trace: Option<Arc<TraceSink>>,
    on_trap: OnTrap,
    /// The program, where its threads may copy it.
    program: Option<Arc<dyn Forks<WasockCtx>>>,
    mode: RunMode,
    process: Arc<Process>,
    threads: Arc<Threads>,
    has_wasi_entry: bool,
    has_wasix1_entry: bool,
    /// Receives the outcome.
    report: Mutex<Option<oneshot::Sender<wasmtime::Result<Outcome>>>>,
}

/// Runs a program on threads of its own, which may start threads if it imports the memory `shared`
/// for them; `main` is what its first thread does.
///
/// # Cancel safety
///
/// Dropping the future ends the guest; its threads end soon after.
///
/// # Errors
///
/// Where the host can't start a thread, and those of the threads.
pub(super) async fn run<F>(
    pre: InstancePre<WasockCtx>,
    shared: Option<(SharedMemory, Charge)>,
    mut ctx: WasockCtx,
    mode: RunMode,
    main: F,
) -> wasmtime::Result<Outcome>
where
    F: AsyncFnOnce(&mut Store<WasockCtx>, &Instance) -> wasmtime::Result<Outcome> + Send + 'static,
{
    let host_thread = ctx.host_thread.take();
    // What drives the threads' sockets is there before they are.
    let reactor = if shared.is_some() { own_reactor() } else { reactor() };
    let reactor = reactor.map_err(|errno| cannot_start("the reactor of the guest's threads", errno))?;
    let (shared, charge) = shared.unzip();
    let (sender, mut receiver) = oneshot::channel();
    let group = Arc::new(ThreadGroup {
        has_wasi_entry: has_entry(pre.module(), WASI_ENTRY),
        has_wasix1_entry: has_entry(pre.module(), WASIX1_ENTRY),
        shared,
        charge: Mutex::new(charge),
        reactor,
        instance_needs: AtomicU64::new(0),
        shared_growth: ctx.limiter.shared_growth,
        make_limiter: ctx.limiter.make_own(),
        trace: ctx.trace.clone(),
        on_trap: ctx.on_trap,
        program: ctx.program.clone(),
        mode,
        process: Arc::clone(ctx.thread.process()),
        threads: Arc::clone(&ctx.thread.threads),
        report: Mutex::new(Some(sender)),
        pre,
    });
    if group.shared.is_some() {
        if group.program.is_some() {
            group.threads.gate.begin_to_use();
        }
        group.threads.set_starter(Arc::<ThreadGroup>::clone(&group));
    }
    let _end = EndAtDrop(Arc::clone(&group));
    let task =
        async |store: &mut Store<WasockCtx>, instance: &Instance| main(store, instance).await.map(Some);
    if let Err(errno) = Arc::clone(&group).begin(ctx, host_thread, task) {
        group.threads.leave(MAIN);
        return Err(cannot_start("the guest's first thread", errno));
    }
    // Threads that wait in the memory are not notified.
    let reported = tokio::select! {
        biased;
        reported = &mut receiver => reported,
        ending = group.process.signals().ended() => {
            group.end_by(outcome_of(Err(error_of(ending))));
            receiver.await
        }
    };
    reported.unwrap_or_else(|_| Err(wasmtime::Error::new(HOST_FAILED)))
}

fn cannot_start(what: &str, errno: Errno) -> wasmtime::Error {
    wasmtime::Error::new(errno).context(format!("cannot start {what}"))
}

/// How large a stack a thread of the host's has that runs code of this engine on it.
pub(super) fn stack_of(engine: &Engine) -> usize {
    engine.get_max_wasm_stack().saturating_add(STACK_OF_HOST)
}

fn has_entry(module: &Module, name: &str) -> bool {
    let Some(ExternType::Func(ty)) = module.get_export(name) else { return false };
    ty.results().len() == 0 && ty.params().len() == 2 && ty.params().all(|ty| ty.is_i32())
}

impl Starter for ThreadGroup {
    fn start(self: Arc<Self>, thread: Thread, entry: EntryPoint) -> Result<(), Errno> {
        let (name, has_it, arguments) = match entry {
            EntryPoint::Wasi(argument) => {
                (WASI_ENTRY, self.has_wasi_entry, (thread.tid.cast_signed(), argument.cast_signed()))
            }
            EntryPoint::Wasix1(word) => (WASIX1_ENTRY, self.has_wasix1_entry, halves(word)),
        };
        if !has_it {
            // What the reference host returns.
            return Err(Errno::ENOTCAPABLE);
        }
        // A thread whose memories do not fit would end the whole program as it begins.
        let stack = self.process.service().limits().max_stack;
        let prepaid = charge_thread(self.process.memory(), stack, self.instance_needs.load(Relaxed))?;
        let memory = self.shared.clone().map(GuestMemoryHandle::Shared);
        let memory = MemorySource::of_only_instance(memory);
        let mut ctx = WasockCtx::of(thread, memory, self.trace.clone(), self.on_trap);
        ctx.limiter.shared_growth = self.shared_growth;
        ctx.limiter.ask_too(self.make_limiter.clone());
        ctx.limiter.begin_with(prepaid, stack);
        (ctx.program, ctx.entry) = (self.program.clone(), Some(name));
        let calls = self.mode.calls;
        self.begin(ctx, None, async move |store, instance| {
            let entry = instance.get_typed_func::<(i32, i32), ()>(&mut *store, name)?;
            drive(store, |ctx| ctx, calls, &entry, arguments, Role::Entry).await?;
            Ok(None)
        })
    }
}

/// Two parameters of a word, the low one first.
fn halves(word: u64) -> (i32, i32) {
    let [low, high] = [word & u64::from(u32::MAX), word >> 32];
    let half = |bits: u64| u32::try_from(bits).unwrap_or(0).cast_signed();
    (half(low), half(high))
}

impl ThreadGroup {
    fn engine(&self) -> &Engine {
        self.pre.module().engine()
    }
}
