//! What is pending, and where: all that the one lock of [`Signals`](super::Signals) guards.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::number::Signal;
use super::pending_signals::{PendingSignals, ThreadWaker};
use super::{Ending, EpochInterrupt, LOOK, SignalDelivery, SignalSender};
use crate::io::Watchers;
use crate::sync::atomic::Ordering::SeqCst;

#[derive(Default)]
pub(super) struct SignalState {
    pub(super) threads: BTreeMap<u32, ThreadSignals>,
    pub(super) callback: Option<Arc<str>>,
    /// What is pending for the process.
    pub(super) pending: u32,
    /// What the operator has sent, of all that is pending.
    pub(super) ordered: u32,
    pub(super) ended_by: Option<Ending>,
    pub(super) epoch_interrupt: Option<EpochInterrupt>,
    /// The waiters for the end of the guest, whatever its threads do.
    pub(super) end_watchers: Arc<Watchers>,
}

/// What is known of a thread.
pub(super) struct ThreadSignals {
    pub(super) thread_waker: Arc<ThreadWaker>,
    pub(super) pending: u32,
    /// Of those, what was sent to the process.
    pub(super) adopted: u32,
    /// What its handlers are at.
    pub(super) running: u32,
    pub(super) is_blocked: bool,
    /// It has named a callback that is not looked up yet.
    pub(super) asks: bool,
    /// A write of its own found a broken pipe, and that is pending.
    pub(super) is_pipe_broken: bool,
    /// It has aborted in a handler: its stack is on the way out.
    pub(super) has_aborted: bool,
}

/// What to wake once the lock is released.
#[derive(Default)]
pub(super) struct Wakeups {
    pub(super) thread_wakers: Vec<Arc<ThreadWaker>>,
    pub(super) epoch_interrupt: Option<EpochInterrupt>,
    pub(super) end_watchers: Option<Arc<Watchers>>,
}

impl Wakeups {
    pub(super) fn make(self) {
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

impl ThreadSignals {
    pub(super) fn new(thread_waker: Arc<ThreadWaker>) -> Self {
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
    pub(super) fn give_back(&mut self) -> u32 {
        let returned = std::mem::take(&mut self.adopted);
        self.pending &= !returned;
        returned
    }
}

impl SignalState {
    /// The thread of these pending signals; none if another one has its number by now.
    pub(super) fn thread_of(&mut self, pending_signals: &PendingSignals) -> Option<&mut ThreadSignals> {
        self.threads
            .get_mut(&pending_signals.tid)
            .filter(|thread| Arc::ptr_eq(&thread.thread_waker, &pending_signals.thread_waker))
    }

    /// Sends `signal` to the thread `to`, or to the process.
    pub(super) fn send(&mut self, to: Option<u32>, signal: Signal, ignored: u32, calls: &mut Wakeups) {
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
    pub(super) fn place(&mut self, bit: u32, calls: &mut Wakeups) {
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
    pub(super) fn place_all(&mut self, mut set: u32, ignored: u32, calls: &mut Wakeups) {
        while let Some(signal) = Signal::first_of(set) {
            set &= !signal.bit();
            self.send(None, signal, ignored, calls);
        }
    }

    pub(super) fn hand_over(&mut self, tid: u32, bit: u32, is_adopted: bool, calls: &mut Wakeups) {
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
    pub(super) fn end(&mut self, ending: Ending, calls: &mut Wakeups) {
        self.ended_by = Some(ending);
        self.publish_all();
        calls.thread_wakers = self.threads.values().map(|thread| Arc::clone(&thread.thread_waker)).collect();
        calls.epoch_interrupt = self.epoch_interrupt.clone();
        calls.end_watchers = Some(Arc::clone(&self.end_watchers));
    }

    /// Returns whether the thread has something to handle, and takes it if it is pending for
    /// the process.
    pub(super) fn adopt(&mut self, pending_signals: &PendingSignals) -> bool {
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

    pub(super) fn take(&mut self, pending_signals: &PendingSignals) -> Option<SignalDelivery> {
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
    pub(super) fn publish(&self, tid: u32) {
        if let Some(thread) = self.threads.get(&tid) {
            thread.thread_waker.due.store(self.due(thread), SeqCst);
        }
    }

    pub(super) fn publish_all(&self) {
        for thread in self.threads.values() {
            thread.thread_waker.due.store(self.due(thread), SeqCst);
        }
    }

    pub(super) fn due(&self, thread: &ThreadSignals) -> u32 {
        let look = if thread.asks || self.ended_by.is_some() { LOOK } else { 0 };
        let may = self.callback.is_some() && !thread.is_blocked;
        let set = if may { (thread.pending | self.pending) & !thread.running } else { 0 };
        look | set
    }
}
