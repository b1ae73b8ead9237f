//! Guests with threads.
//!
//! # Where a thread runs
//!
//! Each thread of such a guest, the first included, has a thread of the host's and a
//! store of its own, for it may stop in `memory.atomic.wait`, which nothing but a
//! thread can wait in. All have one memory, one descriptor table, one set of futexes.
//! The host's thread stays for a while when the guest's has ended, and [serves](start_thread) another.
//!
//! A guest's thread that waits for sockets and timers alone asks the kernel itself to be
//! woken by them: see [`block_on`]. A wake-up crosses threads once then, as natively; the
//! tests' `crew_pingpong` shows it. So do futexes, pipes and event descriptors, where one
//! thread of the guest wakes another one.
//!
//! An epoll's sockets are watched by an epoll of the kernel's, at which one of those who
//! wait sleeps: one wake-up as well. What else is watched by sockets' news (an epoll's
//! entries that the kernel does not keep, the events of listeners) is registered with one
//! reactor and may be used by every thread, so the reactor must outlive each of them and
//! run while any of them stops. That is the thread of [`block_on`], at the cost of a second
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
//! * A thread that runs is stopped at its next loop or call, by the engine's epoch: it
//!   is incremented once. [`Guest::run`](super::Guest::run)'s other guests know such an
//!   increment from an order to end; stores of the embedder's own count one epoch more.
//! * A thread that waits in `memory.atomic.wait` can't be woken by the engine's means
//!   except by a notification of its very address. So every address of the memory is
//!   notified, again and again until nobody is left: some ten milliseconds for a
//!   megabyte. What it wakes runs until its next loop or call, and no further.
//!
//! After [`PATIENCE`] the end is reported, even if such a thread is still there because
//! the memory is large; it goes on being looked for on a thread of the host's. Its
//! descriptors are closed by then, and nothing of it can be seen but its memory.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use wasmtime::{
    Engine, ExternType, Instance, InstancePre, Module, SharedMemory, Store, Trap, UpdateDeadline,
};

use super::limiter::charge_thread;
use super::link::{GuestMemoryHandle, MemorySource};
use super::run::Outcome;
use super::signal::{Within, handle_within};
use super::{Ended, OnTrap, WasockCtx};
use crate::account::Charge;
use crate::error::{Errno, ThreadExit};
use crate::io::start_thread;
use crate::observe::TraceSink;
use crate::process::{Entry, MAIN, Mailbox, Process, Starter, Thread, Threads};
use crate::ready::block_on;
use crate::socket::own_reactor;

/// Where a thread of today's programs begins, with its number and its argument.
const WASI_ENTRY: &str = "wasi_thread_start";

/// Where one of the first generation begins, with the halves of its word.
const WASIX1_ENTRY: &str = "_start_thread";

/// How long threads may take to end before the end is reported without them.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a thread gets to end by itself before its address is looked for: most need
/// microseconds.
const GRACE: Duration = Duration::from_millis(2);

/// The longest pause between two searches.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// "PTHREAD_DESTRUCTOR_ITERATIONS ... 4": how often destructors may set values anew.
const DESTRUCTOR_ROUNDS: usize = 4;

/// How often this host has incremented an epoch to stop threads. The lock is held
/// until the epoch is incremented: whoever sees the one sees the other.
static NUDGES: Mutex<u64> = Mutex::new(0);

pub(super) fn nudges() -> MutexGuard<'static, u64> {
    NUDGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes code that runs look around, in every store of `engine`.
fn nudge(engine: &Engine) {
    let mut nudges = nudges();
    *nudges += 1;
    engine.increment_epoch();
}

/// Ends what `store` runs when its threads have ended, and when somebody else
/// increments the epoch. Where this host does, signals are handled.
pub(super) fn stop_at_epoch(store: &mut Store<WasockCtx>, within: Within) {
    let engine = store.engine().clone();
    store.data().thread.process().signals().set_nudge(Arc::new(move || nudge(&engine)));
    let mut known = *nudges();
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        let now = *nudges();
        let is_ours = std::mem::replace(&mut known, now) != now;
        if !is_ours || context.data().thread.threads.has_ended() {
            return Err(Trap::Interrupt.into());
        }
        // If there is nothing to handle, it was meant for another thread or guest.
        handle_within(&mut context, &within, &mut known)?;
        Ok(UpdateDeadline::Continue(1))
    });
}

/// One program and all its threads.
pub(super) struct Group {
    pre: InstancePre<WasockCtx>,
    memory: SharedMemory,
    /// For as long as a thread is left that may use the memory.
    _memory_charge: Charge,
    /// How many bytes the memories and tables of an instance have at its start, once the first
    /// one has been made.
    instance_needs: AtomicU64,
    trace: Option<Arc<dyn TraceSink>>,
    on_trap: OnTrap,
    process: Arc<Process>,
    threads: Arc<Threads>,
    has_wasi_entry: bool,
    has_wasix1_entry: bool,
    /// Hears of the end.
    report: Mutex<Option<oneshot::Sender<wasmtime::Result<Outcome>>>>,
}

/// Runs a program that may start threads; `main` is what its first thread does.
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
    (memory, memory_charge): (SharedMemory, Charge),
    ctx: WasockCtx,
    main: F,
) -> wasmtime::Result<Outcome>
where
    F: AsyncFnOnce(&mut Store<WasockCtx>, &Instance) -> wasmtime::Result<Outcome> + Send + 'static,
{
    // What drives the threads' sockets is there before they are.
    own_reactor().map_err(|errno| cannot_start("the reactor of the guest's threads", errno))?;
    let (sender, receiver) = oneshot::channel();
    let group = Arc::new(Group {
        has_wasi_entry: has_entry(pre.module(), WASI_ENTRY),
        has_wasix1_entry: has_entry(pre.module(), WASIX1_ENTRY),
        memory,
        _memory_charge: memory_charge,
        instance_needs: AtomicU64::new(0),
        trace: ctx.trace.clone(),
        on_trap: ctx.on_trap,
        process: Arc::clone(ctx.thread.process()),
        threads: Arc::clone(&ctx.thread.threads),
        report: Mutex::new(Some(sender)),
        pre,
    });
    group.threads.set_starter(Arc::<Group>::clone(&group));
    let _end = EndAtDrop(Arc::clone(&group));
    let task =
        async |store: &mut Store<WasockCtx>, instance: &Instance| main(store, instance).await.map(Some);
    if let Err(errno) = Arc::clone(&group).begin(ctx.thread, None, task) {
        group.threads.leave(MAIN);
        return Err(cannot_start("the guest's first thread", errno));
    }
    receiver.await.unwrap_or_else(|_| Err(wasmtime::Error::msg("the threads of the guest are gone")))
}

fn cannot_start(what: &str, errno: Errno) -> wasmtime::Error {
    wasmtime::Error::new(errno).context(format!("cannot start {what}"))
}

fn has_entry(module: &Module, name: &str) -> bool {
    let Some(ExternType::Func(ty)) = module.get_export(name) else { return false };
    ty.results().len() == 0 && ty.params().len() == 2 && ty.params().all(|ty| ty.is_i32())
}

/// Ends all threads when it goes, should they not have ended.
struct EndAtDrop(Arc<Group>);

impl Drop for EndAtDrop {
    fn drop(&mut self) {
        let group = &self.0;
        if group.stop(0) && !group.threads.wait_until_gone(Duration::ZERO) {
            let group = Arc::clone(group);
            // Without a thread for it, those in `memory.atomic.wait` stay there.
            let _unfinished = std::thread::Builder::new()
                .name("wasock-end".to_owned())
                .spawn(move || group.wait_for_the_last(|| {}));
        }
    }
}

impl Starter for Group {
    fn start(self: Arc<Self>, thread: Thread, entry: Entry) -> Result<(), Errno> {
        let (name, has_it, arguments) = match entry {
            Entry::Wasi(argument) => {
                (WASI_ENTRY, self.has_wasi_entry, (thread.tid.cast_signed(), argument.cast_signed()))
            }
            Entry::Wasix1(word) => (WASIX1_ENTRY, self.has_wasix1_entry, halves(word)),
        };
        if !has_it {
            // What the reference host answers.
            return Err(Errno::ENOTCAPABLE);
        }
        // A thread whose memories do not fit would end the whole program as it begins.
        let prepaid = charge_thread(self.process.memory(), self.instance_needs.load(Relaxed))?;
        self.begin(thread, Some(prepaid), async move |store, instance| {
            let entry = instance.get_typed_func::<(i32, i32), ()>(&mut *store, name)?;
            entry.call_async(store, arguments).await?;
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

impl Group {
    /// Starts a thread of the host for `thread`. Where `task` answers an outcome, that
    /// is the whole program's. `prepaid` is the memory that was charged for the thread.
    fn begin<F>(self: Arc<Self>, thread: Thread, prepaid: Option<Charge>, task: F) -> Result<(), Errno>
    where
        F: AsyncFnOnce(&mut Store<WasockCtx>, &Instance) -> wasmtime::Result<Option<Outcome>>
            + Send
            + 'static,
    {
        let tid = thread.tid;
        start_thread(format!("guest-{tid}"), move || {
            let mailbox = thread.mailbox.clone();
            let mut leaving = Leaving { group: self, mailbox, outcome: None, has_lived: false };
            leaving.outcome = leaving.group.live(thread, prepaid, task);
            leaving.has_lived = true;
        })
    }

    /// The life of one thread: an outcome where it is the whole program's.
    fn live<F>(&self, thread: Thread, prepaid: Option<Charge>, task: F) -> Option<wasmtime::Result<Outcome>>
    where
        F: AsyncFnOnce(&mut Store<WasockCtx>, &Instance) -> wasmtime::Result<Option<Outcome>>,
    {
        let tid = thread.tid;
        let memory = MemorySource::of_only_instance(Some(GuestMemoryHandle::Shared(self.memory.clone())));
        let mut ctx = WasockCtx::of(thread, memory, self.trace.clone(), self.on_trap);
        if let Some(prepaid) = prepaid {
            ctx.limiter.begin_with(prepaid);
        }
        let life = async move {
            let mut store = Store::new(self.engine(), ctx);
            stop_at_epoch(&mut store, Within::OwnThread(Arc::clone(&self.threads)));
            store.limiter(|ctx| ctx.limiter());
            store.data_mut().limiter.begin_start();
            let made = self.pre.instantiate_async(&mut store).await;
            let (instance, needs) = store.data_mut().limiter.end_start(made)?;
            self.instance_needs.store(needs, Relaxed);
            store.data_mut().instance = Some(instance);
            let ended = meant(task(&mut store, &instance).await);
            if let Ok(None) = ended {
                return meant(destroy_locals(&mut store, &instance).await);
            }
            ended
        };
        match block_on(until_the_end(&self.threads, tid, life)) {
            Ok(lived) => lived?.transpose(),
            Err(errno) => Some(Err(wasmtime::Error::new(errno))),
        }
    }

    fn engine(&self) -> &Engine {
        self.pre.module().engine()
    }

    /// Ends all threads, and closes what they had open. Tells whether that had not been
    /// done yet. `own` is how many of them call this.
    fn stop(&self, own: usize) -> bool {
        if !self.threads.end() {
            return false;
        }
        if self.threads.count() > own {
            nudge(self.engine());
        }
        self.process.close_all();
        true
    }

    /// Waits until no thread is left, on a thread that may stop. Calls `report` then, or
    /// earlier where it takes long.
    fn wait_for_the_last(&self, report: impl FnOnce()) {
        let begun = Instant::now();
        let mut report = Some(report);
        let mut pause = GRACE;
        loop {
            let mut is_over = self.threads.wait_until_gone(pause);
            let mut look = || {
                is_over = is_over || self.threads.wait_until_gone(Duration::ZERO);
                if (is_over || begun.elapsed() >= PATIENCE)
                    && let Some(report) = report.take()
                {
                    report();
                }
                is_over
            };
            if look() {
                return;
            }
            wake_everywhere(&self.memory, look);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Wakes whoever waits in `memory.atomic.wait`, at any address; stops early where
/// `is_over` says so.
fn wake_everywhere(memory: &SharedMemory, mut is_over: impl FnMut() -> bool) {
    let end = u64::try_from(memory.data().len()).unwrap_or(u64::MAX);
    for address in (0..end).step_by(4) {
        // It is in the memory, and aligned.
        let _woken = memory.atomic_notify(address, u32::MAX);
        if address % (1 << 20) == 0 && is_over() {
            return;
        }
    }
}

/// What the end of one thread means: one that asked to end alone has, and the program
/// goes on; one that asked for the end of the program has it.
fn meant(ended: wasmtime::Result<Option<Outcome>>) -> wasmtime::Result<Option<Outcome>> {
    match ended {
        Err(error) if error.is::<ThreadExit>() => Ok(None),
        Err(error) => super::deliver::ended(Err(error)).map(|ended| Some(Outcome::Ended(ended))),
        ended => ended,
    }
}

/// Runs the destructors of the thread's own values.
async fn destroy_locals(
    store: &mut Store<WasockCtx>,
    instance: &Instance,
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
            destroy.call_async(&mut *store, (user_low, user_high, low, high)).await?;
        }
        if set.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// Sees `life` to its end, or to the end of all threads: `None` then.
pub(super) async fn until_the_end<T>(
    threads: &Threads,
    tid: u32,
    life: impl Future<Output = T>,
) -> Option<T> {
    let mut life = pin!(life);
    let mut known: Option<Waker> = None;
    poll_fn(|context| {
        if !known.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            threads.wake_at_end(tid, context.waker());
            known = Some(context.waker().clone());
        }
        if threads.has_ended() {
            return Poll::Ready(None);
        }
        life.as_mut().poll(context).map(Some)
    })
    .await
}

/// A thread's last deed, also after a panic of the host's.
struct Leaving {
    group: Arc<Group>,
    mailbox: Mailbox,
    outcome: Option<wasmtime::Result<Outcome>>,
    has_lived: bool,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let tid = self.mailbox.tid();
        self.mailbox.leave();
        let outcome = match self.outcome.take() {
            None if !self.has_lived => Err(wasmtime::Error::msg("the host failed in a thread of the guest")),
            None if self.group.threads.leave(tid) > 0 => return,
            // "The process shall exit with an exit status of 0 after the last thread has
            // been terminated." - pthread_exit(3p)
            None => Ok(Outcome::Ended(Ended { code: 0 })),
            Some(outcome) => outcome,
        };
        let is_first = self.group.stop(1);
        self.group.threads.leave(tid);
        if is_first {
            let report = self.group.report.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.group.wait_for_the_last(|| {
                if let Some(report) = report {
                    let _unheard = report.send(outcome);
                }
            });
        }
    }
}
