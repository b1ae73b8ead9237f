//! How all threads of a guest end at once.
//!
//! The return of the first thread from its start, an exit or a trap in any thread, and
//! the drop of the future that runs the guest end all of them. One of these comes
//! first; it decides what is reported.
//!
//! * A thread that waits in the host is woken, and its call is dropped.
//! * A thread that runs is stopped at its next loop or call, by the engine's epoch, where
//!   that is incremented: by wasock in an engine that it [manages](super::super::epoch), by the
//!   embedder in another one. In any case it ends at its next call of the host.
//! * A thread that waits in `memory.atomic.wait` can't be woken by the engine's means
//!   except by a notification of its very address. So addresses of the memory are
//!   notified, from the first on: some ten milliseconds for a megabyte. What it wakes
//!   runs until its next loop or call, and no further.
//!
//! The search costs [`SEARCH`] of processor time at most, however large the memory is.
//! A thread that was not found by then, or has not ended after [`WAIT_TIMEOUT`], is left behind: its
//! descriptors are closed, it can do nothing more, and it is counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::epoch::{Epochs, Ticker};
use super::super::outcome::{Ended, Outcome};
use super::ThreadGroup;
use crate::error::Terminated;
use crate::io::{start_thread, thread_time};
use crate::observe::Event;
use crate::process::PendingSignals;

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

/// The message if a host thread is gone without an outcome.
pub(super) const HOST_FAILED: Terminated = Terminated::HostPanic("ran its threads");

/// Ends all threads when it goes, should they not have ended.
pub(super) struct EndAtDrop(pub(super) Arc<ThreadGroup>);

impl Drop for EndAtDrop {
    fn drop(&mut self) {
        // The outcome is no longer awaited.
        self.0.end_by(Ok(Outcome::Ended(Ended { code: 0 })));
    }
}

impl ThreadGroup {
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
    pub(super) fn end_by(self: &Arc<Self>, outcome: wasmtime::Result<Outcome>) {
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

/// A thread's last deed, also after a panic of the host's.
pub(super) struct ExitGuard {
    pub(super) group: Arc<ThreadGroup>,
    pub(super) pending_signals: PendingSignals,
    pub(super) outcome: Option<wasmtime::Result<Outcome>>,
    pub(super) has_lived: bool,
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
