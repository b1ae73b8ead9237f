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
use crate::io::Watchers;
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::{Mutex, MutexGuard};
pub use number::{Numbering, Signal};
pub use pending_signals::PendingSignals;
use pending_signals::ThreadWaker;

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
    /// The operator, whose order is carried out all the same.
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

#[derive(Default)]
struct SignalState {
    threads: BTreeMap<u32, ThreadSignals>,
    callback: Option<Arc<str>>,
    /// What is pending for the process.
    pending: u32,
    /// What the operator has sent, of all that is pending.
    ordered: u32,
    ended_by: Option<Ending>,
    epoch_interrupt: Option<EpochInterrupt>,
    /// The waiters for the end of the guest, whatever its threads do.
    end_watchers: Arc<Watchers>,
}

/// What is known of a thread.
struct ThreadSignals {
    thread_waker: Arc<ThreadWaker>,
    pending: u32,
    /// Of those, what was sent to the process.
    adopted: u32,
    /// What its handlers are at.
    running: u32,
    is_blocked: bool,
    /// It has named a callback that is not looked up yet.
    asks: bool,
    /// A write of its own found a broken pipe, and that is pending.
    is_pipe_broken: bool,
    /// It has aborted in a handler: its stack is on the way out.
    has_aborted: bool,
}

/// What to wake once the lock is released.
#[derive(Default)]
struct Wakeups {
    thread_wakers: Vec<Arc<ThreadWaker>>,
    epoch_interrupt: Option<EpochInterrupt>,
    end_watchers: Option<Arc<Watchers>>,
}

impl Wakeups {
    fn make(self) {
        if let Some(watchers) = self.end_watchers {
            watchers.wake_all();
        }
        for thread_waker in self.thread_wakers {
            thread_waker.wake();
        }
        if let Some(epoch_interrupt) = self.epoch_interrupt {
            epoch_interrupt();
        }
    }
}

impl Signals {
    /// Nothing is pending, and there is no callback. The signals of `ignored` do nothing
    /// until there is one.
    pub(crate) fn new(ignored: &[Signal]) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            alarms: Mutex::default(),
            has_old_numbers: AtomicBool::new(false),
            ignored: ignored.iter().fold(0, |set, signal| set | signal.bit()),
            main: Arc::default(),
            has_reported_misfit: AtomicBool::new(false),
            has_no_pipe_handler: AtomicBool::new(false),
        })
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

impl ThreadSignals {
    fn new(thread_waker: Arc<ThreadWaker>) -> Self {
        Self {
            thread_waker,
            pending: 0,
            adopted: 0,
            running: 0,
            is_blocked: false,
            asks: false,
            is_pipe_broken: false,
            has_aborted: false,
        }
    }

    /// Takes out what was sent to the process.
    fn give_back(&mut self) -> u32 {
        let returned = std::mem::take(&mut self.adopted);
        self.pending &= !returned;
        returned
    }
}

impl SignalState {
    /// The thread of these pending signals; none if another one has its number by now.
    fn thread_of(&mut self, pending_signals: &PendingSignals) -> Option<&mut ThreadSignals> {
        self.threads
            .get_mut(&pending_signals.tid)
            .filter(|thread| Arc::ptr_eq(&thread.thread_waker, &pending_signals.thread_waker))
    }

    /// Sends `signal` to the thread `to`, or to the process.
    fn send(&mut self, to: Option<u32>, signal: Signal, ignored: u32, calls: &mut Wakeups) {
        if self.ended_by.is_some() {
            return;
        }
        // "SIGKILL: Kill (cannot be caught or ignored). ... SIGSTOP: Stop executing (cannot be
        // caught or ignored)." - signal.h(0p)
        match signal {
            Signal::Kill => return self.end(Ending::Signal(signal), calls),
            Signal::Stop => return,
            _ => {}
        }
        let is_blocked = match to.and_then(|tid| self.threads.get(&tid)) {
            Some(thread) => thread.is_blocked,
            None => self.threads.values().all(|thread| thread.is_blocked),
        };
        if self.callback.is_none() && !is_blocked {
            let is_nothing = !signal.ends() || ignored & signal.bit() != 0;
            if !is_nothing {
                self.end(Ending::Signal(signal), calls);
            }
            return;
        }
        match to {
            Some(tid) => self.hand_over(tid, signal.bit(), false, calls),
            None => self.place(signal.bit(), calls),
        }
    }

    /// Finds a thread for what was sent to the process.
    fn place(&mut self, bit: u32, calls: &mut Wakeups) {
        let has_callback = self.callback.is_some();
        let may = |thread: &ThreadSignals| has_callback && !thread.is_blocked && thread.running & bit == 0;
        let mut able = self.threads.iter().filter(|(_, thread)| may(thread));
        // The main thread has the lowest number.
        if let Some((tid, _)) = able.find(|(_, thread)| thread.thread_waker.is_waiting()) {
            return self.hand_over(*tid, bit, true, calls);
        }
        self.pending |= bit;
        self.publish_all();
        // A thread that has begun to wait since may have checked before that.
        let waiting = self.threads.values().filter(|thread| may(thread) && thread.thread_waker.is_waiting());
        calls.thread_wakers = waiting.map(|thread| Arc::clone(&thread.thread_waker)).collect();
        calls.epoch_interrupt = self.epoch_interrupt.clone();
    }

    /// Finds threads for what one took on and did not handle.
    fn place_all(&mut self, mut set: u32, ignored: u32, calls: &mut Wakeups) {
        while let Some(signal) = Signal::first_of(set) {
            set &= !signal.bit();
            self.send(None, signal, ignored, calls);
        }
    }

    fn hand_over(&mut self, tid: u32, bit: u32, is_adopted: bool, calls: &mut Wakeups) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        thread.pending |= bit;
        if is_adopted {
            thread.adopted |= bit;
        }
        let thread_waker = Arc::clone(&thread.thread_waker);
        self.publish(tid);
        if thread_waker.is_waiting() {
            calls.thread_wakers.push(thread_waker);
        } else {
            calls.epoch_interrupt = self.epoch_interrupt.clone();
        }
    }

    /// Ends all.
    fn end(&mut self, ending: Ending, calls: &mut Wakeups) {
        self.ended_by = Some(ending);
        self.publish_all();
        calls.thread_wakers = self.threads.values().map(|thread| Arc::clone(&thread.thread_waker)).collect();
        calls.epoch_interrupt = self.epoch_interrupt.clone();
        calls.end_watchers = Some(Arc::clone(&self.end_watchers));
    }

    /// Returns whether the thread has something to handle, and takes it if it is pending for
    /// the process.
    fn adopt(&mut self, pending_signals: &PendingSignals) -> bool {
        if self.ended_by.is_some() {
            return true;
        }
        let (has_callback, lying) = (self.callback.is_some(), self.pending);
        let Some(thread) = self.thread_of(pending_signals).filter(|it| has_callback && !it.is_blocked) else {
            return false;
        };
        if thread.pending & !thread.running != 0 {
            return true;
        }
        let Some(signal) = Signal::first_of(lying & !thread.running) else { return false };
        thread.pending |= signal.bit();
        thread.adopted |= signal.bit();
        self.pending &= !signal.bit();
        true
    }

    fn take(&mut self, pending_signals: &PendingSignals) -> Option<SignalDelivery> {
        if let Some(ending) = self.ended_by {
            return Some(SignalDelivery::End(ending));
        }
        if !self.adopt(pending_signals) {
            return None;
        }
        let callback = self.callback.clone()?;
        let thread = self.thread_of(pending_signals)?;
        let signal = Signal::first_of(thread.pending & !thread.running)?;
        thread.pending &= !signal.bit();
        thread.adopted &= !signal.bit();
        thread.running |= signal.bit();
        let is_pipe_broken = signal == Signal::Pipe && std::mem::take(&mut thread.is_pipe_broken);
        let is_order = self.ordered & signal.bit() != 0;
        self.ordered &= !signal.bit();
        let sender = match (is_order, is_pipe_broken) {
            (true, _) => SignalSender::Operator,
            (false, true) => SignalSender::Host,
            (false, false) => SignalSender::Guest,
        };
        Some(SignalDelivery::Handle { signal, callback, sender })
    }

    /// Makes `due` of the thread what it is.
    fn publish(&self, tid: u32) {
        if let Some(thread) = self.threads.get(&tid) {
            thread.thread_waker.due.store(self.due(thread), SeqCst);
        }
    }

    fn publish_all(&self) {
        for thread in self.threads.values() {
            thread.thread_waker.due.store(self.due(thread), SeqCst);
        }
    }

    fn due(&self, thread: &ThreadSignals) -> u32 {
        let look = if thread.asks || self.ended_by.is_some() { LOOK } else { 0 };
        let may = self.callback.is_some() && !thread.is_blocked;
        let set = if may { (thread.pending | self.pending) & !thread.running } else { 0 };
        look | set
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("pending", &self.lock().pending).finish_non_exhaustive()
    }
}
