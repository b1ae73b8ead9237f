//! Guests on threads of their own.
//!
//! # Where a thread runs
//!
//! Each thread of a guest that may start threads, the first included, has a thread of the host's
//! and a store of its own, since it may block in `memory.atomic.wait`, in which only a
//! thread can wait. All have one memory, one descriptor table, one set of futexes.
//! The host thread is kept for a while when the guest's has ended, and [serves](start_thread) another.
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
//! # The end
//!
//! The return of the first thread from its start, an exit or a trap in any thread, and
//! the drop of the future that runs the guest end all of them. One of these comes
//! first; it decides what is reported.
//!
//! * A thread that waits in the host is woken, and its call is dropped.
//! * A thread that runs is stopped at its next loop or call, by the engine's epoch, where
//!   that is incremented: by wasock in an engine that it [manages](super::epoch), by the
//!   embedder in another one. In any case it ends at its next call of the host.
//! * A thread that waits in `memory.atomic.wait` can't be woken by the engine's means
//!   except by a notification of its very address. So addresses of the memory are
//!   notified, from the first on: some ten milliseconds for a megabyte. What it wakes
//!   runs until its next loop or call, and no further.
//!
//! The search costs [`SEARCH`] of processor time at most, however large the memory is.
//! A thread that was not found by then, or has not ended after [`WAIT_TIMEOUT`], is left behind: its
//! descriptors are closed, it can do nothing more, and it is counted.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime::{Engine, ExternType, Instance, InstancePre, Module, SharedMemory, Store};

use super::asyncify::drive;
use super::call_mode::{CallMode, Role};
use super::epoch::{Epochs, Ticker};
use super::epoch_interrupt::look_up_at_epochs;
use super::guest_memory::{GuestMemoryHandle, MemorySource};
use super::interrupt::{RunsOn, until_the_end};
use super::limiter::{MakeLimiter, charge_thread};
use super::limits::contained;
use super::load::STACK_OF_HOST;
use super::outcome::{Ended, Outcome, error_of, outcome_of};
use super::unwinder::Forks;
use super::{OnTrap, WasockCtx};
use crate::account::Charge;
use crate::error::{Errno, Terminated, ThreadExit};
use crate::io::{
    ReservedThread, insist_on_memory, own_reactor, park_on, reactor, start_thread, start_thread_with_stack,
    thread_time,
};
use crate::observe::{Event, TraceSink};
use crate::process::{EntryPoint, MAIN, PendingSignals, Process, Starter, Thread, Threads};

/// Where a thread of today's programs begins, with its number and its argument.
const WASI_ENTRY: &str = "wasi_thread_start";

/// Where one of the first generation begins, with the halves of its word.
const WASIX1_ENTRY: &str = "_start_thread";

/// How long threads may take to end before the end is reported without them.
const WAIT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a thread gets to end by itself before its address is looked for: most need
/// microseconds.
const EXIT_TIMEOUT: Duration = Duration::from_millis(2);

/// The longest pause between two searches.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How much processor time the search for the waiters may cost in all.
const SEARCH: Duration = Duration::from_millis(50);

/// How long the threads that were found last have to end.
const LAST_EXIT_TIMEOUT: Duration = Duration::from_millis(20);

/// How many bytes are searched before the next reading of the clock.
const STRETCH: u64 = 64 << 10;

/// "PTHREAD_DESTRUCTOR_ITERATIONS ... 4": how often destructors may set values anew.
const DESTRUCTOR_ROUNDS: usize = 4;

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

/// The message if a host thread is gone without an outcome.
const HOST_FAILED: Terminated = Terminated::HostPanic("ran its threads");

fn has_entry(module: &Module, name: &str) -> bool {
    let Some(ExternType::Func(ty)) = module.get_export(name) else { return false };
    ty.results().len() == 0 && ty.params().len() == 2 && ty.params().all(|ty| ty.is_i32())
}

/// Ends all threads when it goes, should they not have ended.
struct EndAtDrop(Arc<ThreadGroup>);

impl Drop for EndAtDrop {
    fn drop(&mut self) {
        // The outcome is no longer awaited.
        self.0.end_by(Ok(Outcome::Ended(Ended { code: 0 })));
    }
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
    /// Starts a thread of the host for that of `ctx`, or takes the one that is `reserved`. If `task` returns an
    /// outcome, that is the whole program's.
    fn begin<F>(
        self: Arc<Self>,
        ctx: WasockCtx,
        reserved: Option<ReservedThread>,
        task: F,
    ) -> Result<(), Errno>
    where
        F: AsyncFnOnce(&mut Store<WasockCtx>, &Instance) -> wasmtime::Result<Option<Outcome>>
            + Send
            + 'static,
    {
        let name = format!("guest-{}", ctx.thread.id());
        let stack = stack_of(self.engine());
        let calls = self.mode.calls;
        let lives = move || {
            let pending_signals = ctx.thread.pending_signals.clone();
            let mut exit_guard = ExitGuard { group: self, pending_signals, outcome: None, has_lived: false };
            exit_guard.outcome = exit_guard.group.live(ctx, task);
            exit_guard.has_lived = true;
        };
        if let Some(reserved) = reserved {
            reserved.start(&name, lives);
            return Ok(());
        }
        match calls {
            CallMode::OwnThread => start_thread_with_stack(name, stack, lives),
            // The code has the stack of a fiber.
            CallMode::Async | CallMode::Blocking => start_thread(name, lives),
        }
    }

    /// The life of one thread: an outcome where it is the whole program's.
    fn live<F>(&self, ctx: WasockCtx, task: F) -> Option<wasmtime::Result<Outcome>>
    where
        F: AsyncFnOnce(&mut Store<WasockCtx>, &Instance) -> wasmtime::Result<Option<Outcome>>,
    {
        let (tid, RunMode { epochs, calls }) = (ctx.thread.tid, self.mode);
        let _counted = self.process.instance().usage().own_thread();
        // Where calls park the thread, all of it is one poll.
        let life = async move {
            let mut store = Store::new(self.engine(), ctx);
            let runs_on = RunsOn::OwnThread(Arc::clone(&self.threads));
            if let Err(ended) = look_up_at_epochs(&mut store, runs_on, epochs) {
                return meant(Err(ended));
            }
            store.limiter(|ctx| ctx.limiter());
            store.data_mut().limiter.begin_start()?;
            let begun = Instant::now();
            let made = calls.instantiate(&self.pre, &mut store).await;
            self.process.report().counted_instantiation(begun.elapsed());
            let (instance, needs) = store.data_mut().limiter.end_start(made)?;
            if self.process.pid() != MAIN {
                // What the parent and its other children need next may not fail.
                insist_on_memory().map_err(|_| wasmtime::Error::msg("the host has no memory left for it"))?;
            }
            self.instance_needs.store(needs, Relaxed);
            store.data_mut().instance = Some(instance);
            let ended = meant(task(&mut store, &instance).await);
            if let Ok(None) = ended {
                return meant(destroy_locals(&mut store, &instance, calls).await);
            }
            ended
        };
        let _inside = self.reactor.enter();
        park_on(until_the_end(&self.threads, tid, contained(&self.process, life)))?.transpose()
    }

    fn engine(&self) -> &Engine {
        self.pre.module().engine()
    }

    /// Ends all threads, and closes what they had open, unless another program is to have that. Returns whether they
    /// had not ended yet. `own` is how many of them call this.
    fn stop(&self, own: usize, is_replaced: bool) -> bool {
        if !self.threads.end() {
            return false;
        }
        if self.threads.count() > own {
            self.look_up();
        }
        if !is_replaced {
            self.process.close_all();
        }
        true
    }

    /// Interrupts running threads, if wasock manages the epoch.
    fn look_up(&self) {
        if self.mode.epochs == Epochs::Managed {
            Ticker::of(self.engine()).request();
        }
    }

    /// Ends all threads from outside, with this outcome unless there is one already. Does
    /// not wait for them.
    fn end_by(self: &Arc<Self>, outcome: wasmtime::Result<Outcome>) {
        if !self.stop(0, false) {
            return;
        }
        if self.threads.wait_until_gone(Duration::ZERO) {
            return self.report(outcome);
        }
        // In a cell of its own, for a host without a thread to spare.
        let outcome = Arc::new(Mutex::new(Some(outcome)));
        let (group, taken) = (Arc::clone(self), Arc::clone(&outcome));
        let take = |cell: &Mutex<Option<_>>| cell.lock().unwrap_or_else(PoisonError::into_inner).take();
        let waits = move || {
            group.wait_for_the_last();
            take(&taken).into_iter().for_each(|outcome| group.report(outcome));
        };
        if start_thread("wasock-end".to_owned(), waits).is_err() {
            self.leave_behind();
            take(&outcome).into_iter().for_each(|outcome| self.report(outcome));
        }
    }

    /// Waits until no thread is left, on a thread that may stop; leaves those behind that
    /// can't be woken for little.
    fn wait_for_the_last(&self) {
        let begun = Instant::now();
        let (mut pause, mut search) = (EXIT_TIMEOUT, SEARCH);
        while !search.is_zero() && begun.elapsed() < WAIT_TIMEOUT {
            if self.threads.wait_until_gone(pause) {
                return;
            }
            let is_over = || self.threads.wait_until_gone(Duration::ZERO);
            search = self.wake_everywhere(search, is_over);
            self.look_up();
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if !self.threads.wait_until_gone(LAST_EXIT_TIMEOUT) {
            self.leave_behind();
        }
    }

    /// Wakes the threads in `memory.atomic.wait`, at any address, for `limit` of processor
    /// time at most, and returns how much of that is left; stops early if `is_over` returns true.
    fn wake_everywhere(&self, limit: Duration, is_over: impl Fn() -> bool) -> Duration {
        let Some(memory) = &self.shared else { return limit };
        let begun = thread_time();
        let left = || limit.saturating_sub(thread_time().saturating_sub(begun));
        let end = u64::try_from(memory.data().len()).unwrap_or(u64::MAX);
        for address in (0..end).step_by(4) {
            // It is in the memory, and aligned.
            let _woken = memory.atomic_notify(address, u32::MAX);
            if address % STRETCH == 0 && (left().is_zero() || is_over()) {
                break;
            }
        }
        left()
    }

    /// Gives back what the memory was charged for, where no thread is left: another program may need it at once.
    fn give_back(&self) {
        if self.threads.count() == 0 {
            drop(self.charge.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    fn leave_behind(&self) {
        self.process.leave_behind(Arc::clone(&self.threads));
        self.process.report().tell(Event::ThreadsLeftBehind { count: self.threads.count() });
    }

    /// Reports how the program ended, unless that was reported.
    fn report(&self, outcome: wasmtime::Result<Outcome>) {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(report) = report {
            let _unheard = report.send(outcome);
        }
    }
}

/// What the end of one thread means: one that asked to end alone has, and the program
/// goes on; one that asked for the end of the program has it.
fn meant(outcome: wasmtime::Result<Option<Outcome>>) -> wasmtime::Result<Option<Outcome>> {
    match outcome {
        Err(error) if error.is::<ThreadExit>() => Ok(None),
        Err(error) => outcome_of(Err(error)).map(Some),
        outcome => outcome,
    }
}

/// Runs the destructors of the thread's own values.
async fn destroy_locals(
    store: &mut Store<WasockCtx>,
    instance: &Instance,
    calls: CallMode,
) -> wasmtime::Result<Option<Outcome>> {
    let Ok(destroy) =
        instance.get_typed_func::<(i32, i32, i32, i32), ()>(&mut *store, "_thread_local_destroy")
    else {
        return Ok(None);
    };
    for _ in 0..DESTRUCTOR_ROUNDS {
        let set = store.data_mut().thread.take_locals();
        for (user_data, value) in &set {
            let ((user_low, user_high), (low, high)) = (halves(*user_data), halves(*value));
            calls.call(&mut *store, &destroy, (user_low, user_high, low, high), Role::Callback).await?;
        }
        if set.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// A thread's last deed, also after a panic of the host's.
struct ExitGuard {
    group: Arc<ThreadGroup>,
    pending_signals: PendingSignals,
    outcome: Option<wasmtime::Result<Outcome>>,
    has_lived: bool,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let tid = self.pending_signals.tid();
        self.pending_signals.leave();
        let outcome = match self.outcome.take() {
            None if !self.has_lived => Err(wasmtime::Error::new(HOST_FAILED)),
            None if self.group.threads.leave(tid) > 0 => return,
            // "The process shall exit with an exit status of 0 after the last thread has
            // been terminated." - pthread_exit(3p)
            None => Ok(Outcome::Ended(Ended { code: 0 })),
            Some(outcome) => outcome,
        };
        let is_replaced = matches!(outcome, Ok(Outcome::Replaced));
        let is_first = self.group.stop(1, is_replaced);
        self.group.threads.leave(tid);
        if is_first {
            self.group.wait_for_the_last();
            self.group.give_back();
            self.group.report(outcome);
        }
    }
}
