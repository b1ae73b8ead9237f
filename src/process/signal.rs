//! Signals: which thread handles each of them, and how a wait is interrupted.
//!
//! # The model
//!
//! A guest names one of its exports as the callback of all its threads (POSIX: a
//! disposition is the process's). A thread that names an export which does not exist
//! *blocks* signals for itself, until it names one that does. A signal is *pending*
//! from when it is sent until a thread takes it: once, however often it is sent. While
//! its handler runs in a thread, that thread takes the same signal no second time; it
//! may take another one.
//!
//! What is sent to the process goes to one thread: "delivered to exactly one thread that does not
//! block it" - 2.4.1 of POSIX's general information. The first choice is a thread that waits in the
//! host, since it can be woken and is sure to take it; the main thread before others. If none waits
//! it is pending for the process, every thread that may take it is notified, and the first that
//! checks takes it. A signal that a thread took and did not handle, because it ended or blocked
//! signals, is pending for the process again.
//!
//! Where there is no callback a signal has its default action, which ends the guest or
//! is nothing. The end is signalled to every thread: the first that checks ends all.
//!
//! # Delivery
//!
//! A thread checks at the end of every call that may wait, when such a call is about to wait, and,
//! in a store whose epoch is this host's, at the next loop or call of running code. A thread in
//! `memory.atomic.wait` checks when that returns.
//!
//! # Correctness
//!
//! The classical mistake is to check for signals, find none, and sleep, while one is sent between
//! the two. Here, as in the loop that waits for sockets, a thread sets that it waits *before* it
//! checks:
//!
//! * it stores its waker, then `is_waiting`, then loads `due`;
//! * a sender stores `due`, then loads `is_waiting`.
//!
//! All four are sequentially consistent. So either the sender sees that the thread waits, and wakes
//! it; or the thread sees what is due, and does not sleep. A sender that sees a thread which does
//! not wait interrupts running code (the epoch), which a wait that begins meanwhile does not need.
//!
//! A thread that leaves a wait clears `is_waiting` and checks after that, by the same
//! argument: a signal sent to a thread that waited is handled before the call returns to
//! the guest.
//!
//! `due` is what a thread may handle as of the last change under the lock. It may be out of date in
//! one direction: a signal pending for the process may have been taken by another thread. So a
//! thread that is about to give up a wait *claims* a signal first, under the lock; no call fails
//! with `EINTR` without one. A wait is asked to end, not dropped
//! ([`interrupting`](crate::ready::interrupting)): no connection and no byte is lost, and a send
//! that has sent something returns how much. A signal that arrives before the call began to wait
//! ends the wait all the same: it can't hang.
//!
//! Locks: the one of [`Signals`] before that of a waker. Wakers and the epoch are called
//! when it is free.

// Their paths, since this file is compiled elsewhere too.
#[path = "signal/alarm.rs"]
mod alarm;
#[path = "signal/number.rs"]
mod number;
#[path = "signal/pending_signals.rs"]
mod pending_signals;
#[path = "signal/state.rs"]
mod state;
#[cfg(test)]
#[path = "signal/tests.rs"]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::AbortHandle;

use super::{MAIN, unpoisoned};
use crate::error::Terminated;
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::{Mutex, MutexGuard};
pub use number::{Numbering, Signal};
pub use pending_signals::PendingSignals;
use pending_signals::ThreadWaker;
use state::{SignalState, ThreadSignals, Wakeups};

/// In `due`: there is something to check besides signals.
const LOOK: u32 = 1;

/// What a thread is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignalDelivery {
    /// End the program.
    End(Ending),
    /// Call the export `callback` with the number of the signal.
    Handle { signal: Signal, callback: Arc<str>, sender: SignalSender },
}

/// The sender of a signal. It decides the effect of a handler that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalSender {
    /// The guest itself: its handler's failure is the guest's.
    Guest,
    /// The operator: what it orders is carried out all the same.
    Operator,
    /// The host, for a [broken pipe](Signals::broken_pipe): the call has an errno.
    Host,
}

/// Why all threads of a program are to end, whatever they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is the default action of this signal.
    Signal(Signal),
    /// The host ends it.
    Terminated(Terminated),
}

/// Makes running code check for signals.
type EpochInterrupt = Arc<dyn Fn() + Send + Sync>;

/// The signals of one guest.
pub struct Signals {
    state: Mutex<SignalState>,
    alarms: Mutex<BTreeMap<Signal, AbortHandle>>,
    /// Has the program the numbers of preview 1?
    has_old_numbers: AtomicBool,
    /// Those that do nothing where there is no callback, by the operator's choice.
    ignored: u32,
    /// The main thread's, in every run of the guest.
    main: Arc<ThreadWaker>,
    has_reported_misfit: AtomicBool,
    /// The handler of `SIGPIPE` does the default action, which is none here.
    has_no_pipe_handler: AtomicBool,
}

impl Signals {
    /// Nothing is pending, and there is no callback. The signals of `ignored` do nothing
    /// until there is one.
    pub(crate) fn new(ignored: &[Signal]) -> Arc<Self> {
        let ignored = ignored.iter().fold(0, |set, signal| set | signal.bit());
        Arc::new(Self { ignored, ..Self::blank() })
    }

    fn blank() -> Self {
        Self {
            state: Mutex::default(),
            alarms: Mutex::default(),
            has_old_numbers: AtomicBool::new(false),
            ignored: 0,
            main: Arc::default(),
            has_reported_misfit: AtomicBool::new(false),
            has_no_pipe_handler: AtomicBool::new(false),
        }
    }

    /// Those of a copy of the guest: it handles what this one handles, and nothing is pending.
    pub(crate) fn forked(&self) -> Arc<Self> {
        let copy = Self { ignored: self.ignored, ..Self::blank() };
        copy.has_old_numbers.store(self.has_old_numbers.load(Relaxed), Relaxed);
        copy.has_no_pipe_handler.store(self.has_no_pipe_handler.load(Relaxed), Relaxed);
        let state = self.lock();
        {
            let mut copied = copy.lock();
            copied.callback.clone_from(&state.callback);
            copied.epoch_interrupt.clone_from(&state.epoch_interrupt);
        }
        drop(state);
        Arc::new(copy)
    }

    /// Those of another program of the guest's, which ignores the signals of `ignored`.
    pub(crate) fn spawned(&self, ignored: &[Signal]) -> Arc<Self> {
        let signals = Self::new(ignored);
        signals.lock().epoch_interrupt.clone_from(&self.lock().epoch_interrupt);
        signals
    }

    /// Those that do nothing where there is no callback.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(|signal| self.ignores(*signal))
    }

    /// Does `signal` do nothing where there is no callback, by the choice of whoever started the program?
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        self.ignored & signal.bit() != 0
    }

    fn lock(&self) -> MutexGuard<'_, SignalState> {
        unpoisoned(&self.state)
    }

    /// As at the start of the guest, for its next start.
    pub(crate) fn restart(&self) {
        self.forget_alarms();
        self.has_no_pipe_handler.store(false, Relaxed);
        let mut state = self.lock();
        // What ended the guest before its next start has ended it still.
        *state = SignalState {
            epoch_interrupt: state.epoch_interrupt.take(),
            ended_by: state.ended_by,
            end_watchers: Arc::clone(&state.end_watchers),
            ..SignalState::default()
        };
        state.threads.insert(MAIN, ThreadSignals::new(Arc::clone(&self.main)));
        state.publish(MAIN);
    }

    /// Another program takes the place of the guest's: what is pending stays so, and nothing handles it yet.
    pub(crate) fn replace_program(&self) {
        self.has_no_pipe_handler.store(false, Relaxed);
        let mut calls = Wakeups::default();
        {
            let mut state = self.lock();
            let pending = state.threads.values().fold(state.pending, |set, thread| set | thread.pending);
            *state = SignalState {
                ordered: state.ordered,
                epoch_interrupt: state.epoch_interrupt.take(),
                ended_by: state.ended_by,
                end_watchers: Arc::clone(&state.end_watchers),
                ..SignalState::default()
            };
            state.threads.insert(MAIN, ThreadSignals::new(Arc::clone(&self.main)));
            state.place_all(pending, self.ignored, &mut calls);
            state.publish(MAIN);
        }
        calls.make();
    }

    /// The pending signals of the thread `tid`, new ones if there are none.
    pub(crate) fn pending_signals(self: &Arc<Self>, tid: u32) -> PendingSignals {
        let mut state = self.lock();
        let new = || ThreadSignals::new(if tid == MAIN { Arc::clone(&self.main) } else { Arc::default() });
        let thread = state.threads.entry(tid).or_insert_with(new);
        let thread_waker = Arc::clone(&thread.thread_waker);
        state.publish(tid);
        PendingSignals { tid, thread_waker, signals: Arc::clone(self) }
    }

    /// What makes running code check for signals.
    pub(crate) fn set_epoch_interrupt(&self, epoch_interrupt: EpochInterrupt) {
        self.lock().epoch_interrupt = Some(epoch_interrupt);
    }

    /// Which numbers the program uses.
    pub(crate) fn numbering(&self) -> Numbering {
        if self.has_old_numbers.load(Relaxed) { Numbering::Preview1 } else { Numbering::Linux }
    }

    pub(crate) fn set_numbering(&self, numbering: Numbering) {
        self.has_old_numbers.store(numbering == Numbering::Preview1, Relaxed);
    }

    /// Has it not been reported yet that the callback does not fit?
    pub(crate) fn is_first_misfit(&self) -> bool {
        !self.has_reported_misfit.swap(true, Relaxed)
    }

    /// Does the guest handle signals?
    pub(crate) fn has_callback(&self) -> bool {
        self.lock().callback.is_some()
    }

    /// Sends `signal` to the process.
    pub(crate) fn to_process(&self, signal: Signal) {
        let mut calls = Wakeups::default();
        self.lock().send(None, signal, self.ignored, &mut calls);
        calls.make();
    }

    /// Sends `signal` to the process, for the operator.
    pub(crate) fn order(&self, signal: Signal) {
        self.lock().ordered |= signal.bit();
        self.to_process(signal);
    }

    /// Sends `SIGPIPE` to the thread of `pending_signals`, which is in a call and checks at its end: "EPIPE:
    /// ... A SIGPIPE signal shall also be sent to the thread" - write(3p). Nothing happens where
    /// the guest has no callback, for that default action is none here: a client that hangs up
    /// ends no server.
    fn broken_pipe(&self, pending_signals: &PendingSignals) {
        let mut state = self.lock();
        if state.callback.is_none() || state.ended_by.is_some() || self.has_no_pipe_handler.load(Relaxed) {
            return;
        }
        if let Some(thread) = state.thread_of(pending_signals) {
            thread.pending |= Signal::Pipe.bit();
            thread.is_pipe_broken = true;
            // It is its own thread that is notified: there is none to wake.
            state.publish(pending_signals.tid);
        }
    }

    /// Was it an abort, as a C library has it, that ended the handler of `signal` with the
    /// exit code `code`? It raises `SIGABRT`, then exits with 127 where that has come back.
    fn is_abort(&self, pending_signals: &PendingSignals, signal: Signal, code: u32) -> bool {
        /// "_Exit(127)" is the last line of it.
        const LAST_RESORT: u32 = 127;
        let mut state = self.lock();
        // A library that does not know the number of its first thread raises it for the process.
        let of_process = state.pending;
        let Some(thread) = state.thread_of(pending_signals) else { return false };
        let raised = signal == Signal::Abrt || (thread.pending | of_process) & Signal::Abrt.bit() != 0;
        if code == LAST_RESORT && raised {
            thread.has_aborted = true;
        }
        thread.has_aborted && [LAST_RESORT, Signal::Abrt.exit_code()].contains(&code)
    }

    /// The guest goes on after a handler of `SIGPIPE` that did the default action of a C
    /// library, which is to abort: it is called no more.
    fn survive_pipe(&self, pending_signals: &PendingSignals) {
        self.has_no_pipe_handler.store(true, Relaxed);
        let mut state = self.lock();
        if let Some(thread) = state.thread_of(pending_signals) {
            thread.has_aborted = false;
            thread.pending &= !Signal::Abrt.bit();
            state.pending &= !Signal::Abrt.bit();
            state.publish_all();
        }
    }

    /// Ends the guest because a thread or a task of the host's has panicked, which did `what`
    /// for it.
    pub(crate) fn host_failed(&self, what: &'static str) {
        self.terminate(Terminated::HostPanic(what));
    }

    /// Ends the guest for the host. What ended it first counts.
    pub(crate) fn terminate(&self, why: Terminated) {
        let mut calls = Wakeups::default();
        {
            let mut state = self.lock();
            if state.ended_by.is_none() {
                state.end(Ending::Terminated(why), &mut calls);
            }
        }
        calls.make();
    }

    /// What has ended the guest, whatever its threads do.
    pub(crate) fn ended_by(&self) -> Option<Ending> {
        self.lock().ended_by
    }

    /// Waits until something ends the guest, whatever its threads do.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn ended(&self) -> Ending {
        poll_fn(|context| {
            let state = self.lock();
            state.end_watchers.add(context.waker());
            state.ended_by.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Sends `signal` to the thread `tid`. A number that no thread has is of one that has
    /// ended: nothing happens.
    pub(crate) fn to_thread(&self, tid: u32, signal: Signal) {
        let mut calls = Wakeups::default();
        {
            let mut state = self.lock();
            if state.threads.contains_key(&tid) {
                state.send(Some(tid), signal, self.ignored, &mut calls);
            }
        }
        calls.make();
    }

    /// Is there something that the thread will handle? It will, then: no other thread takes it.
    fn claim(&self, pending_signals: &PendingSignals) -> bool {
        let mut state = self.lock();
        let has_one = state.adopt(pending_signals);
        state.publish(pending_signals.tid);
        has_one
    }

    fn next(&self, pending_signals: &PendingSignals) -> Option<SignalDelivery> {
        let mut state = self.lock();
        let delivery = state.take(pending_signals);
        state.publish(pending_signals.tid);
        delivery
    }

    fn finished(&self, pending_signals: &PendingSignals, signal: Signal) {
        let mut state = self.lock();
        if let Some(thread) = state.thread_of(pending_signals) {
            thread.running &= !signal.bit();
            state.publish(pending_signals.tid);
        }
    }

    fn ask(&self, pending_signals: &PendingSignals) {
        let mut state = self.lock();
        if let Some(thread) = state.thread_of(pending_signals) {
            thread.asks = true;
            state.publish(pending_signals.tid);
        }
    }

    fn name_callback(&self, pending_signals: &PendingSignals, name: Option<&str>) {
        let mut calls = Wakeups::default();
        {
            let mut state = self.lock();
            let Some(thread) = state.thread_of(pending_signals) else { return };
            thread.asks = false;
            thread.is_blocked = name.is_none();
            let returned = if name.is_none() { thread.give_back() } else { 0 };
            if let Some(name) = name {
                state.callback = Some(name.into());
            }
            state.publish_all();
            state.place_all(returned, self.ignored, &mut calls);
        }
        calls.make();
    }

    fn leave(&self, pending_signals: &PendingSignals) {
        let mut calls = Wakeups::default();
        {
            let mut state = self.lock();
            let Some(thread) = state.thread_of(pending_signals) else { return };
            let returned = thread.give_back();
            state.threads.remove(&pending_signals.tid);
            state.place_all(returned, self.ignored, &mut calls);
        }
        calls.make();
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("pending", &self.lock().pending).finish_non_exhaustive()
    }
}
