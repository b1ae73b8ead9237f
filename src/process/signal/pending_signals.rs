//! Where the signals of one thread arrive, as the thread itself sees it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::{Ending, Signal, SignalDelivery, Signals};
use crate::error::Errno;
use crate::process::unpoisoned;
use crate::ready::{interrupting, interrupting_mildly};
use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicU32};

/// The part of a thread that senders see.
#[derive(Debug, Default)]
pub(super) struct ThreadWaker {
    /// The signals that it may handle, and bit 0 if there is something else to check.
    /// A hint: the truth is decided under the lock.
    pub(super) due: AtomicU32,
    /// Does it wait in the host?
    is_waiting: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl ThreadWaker {
    /// Does its thread wait in the host, where it can be woken?
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.load(SeqCst)
    }

    pub(super) fn wake(&self) {
        let waker = unpoisoned(&self.waker).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The signals of one thread.
#[derive(Clone, Debug)]
pub struct PendingSignals {
    pub(super) tid: u32,
    pub(super) thread_waker: Arc<ThreadWaker>,
    pub(super) signals: Arc<Signals>,
}

impl PendingSignals {
    /// The number of the thread.
    pub(crate) fn tid(&self) -> u32 {
        self.tid
    }

    /// The number of a signal, as the program has it.
    pub(crate) fn number(&self, signal: Signal) -> Option<u32> {
        self.signals.numbering().number(signal)
    }

    /// Might there be something to handle?
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.thread_waker.due.load(Relaxed) != 0
    }

    /// Runs `call` to its end; its waits end with `EINTR` when a signal is to be handled.
    /// `None` where the guest ends and the call goes on nevertheless, as a file operation
    /// does that another thread is at: the call is dropped then.
    ///
    /// # Cancel safety
    ///
    /// As safe as `call`.
    pub(crate) async fn waiting<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        let mut wait_guard: Option<WaitGuard<'_>> = None;
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = call.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            wait_guard
                .get_or_insert_with(|| WaitGuard { thread_waker: &self.thread_waker })
                .listen(context.waker());
            // "EINTR: ... interrupted by a signal that was caught" - accept(3p), read(3p)
            // and all others that wait.
            if self.thread_waker.due.load(SeqCst) != 0 && self.signals.claim(self) {
                // Every program of WASIX's C library has a callback, whether it cares for its children or not.
                let is_mild = self.thread_waker.due.load(SeqCst) == Signal::Chld.bit();
                let poll = || call.as_mut().poll(context);
                let ended = match is_mild {
                    true => interrupting_mildly(Errno::EINTR, poll),
                    false => interrupting(Errno::EINTR, poll),
                };
                let ended = ended.map(Some);
                if ended.is_pending() && self.signals.ended_by().is_some() {
                    return Poll::Ready(None);
                }
                return ended;
            }
            Poll::Pending
        })
        .await
    }

    /// Has `waker` called when there is something to handle, until what this returns is dropped. `None` where there may
    /// be something already: [`waiting`](Self::waiting) finds out what.
    pub(crate) fn listen(&self, waker: &Waker) -> Option<WaitGuard<'_>> {
        let wait_guard = WaitGuard { thread_waker: &self.thread_waker };
        wait_guard.listen(waker);
        (self.thread_waker.due.load(SeqCst) == 0).then_some(wait_guard)
    }

    /// The next signal to handle. [`PendingSignals::finished`] is to follow.
    pub(crate) fn next(&self) -> Option<SignalDelivery> {
        self.signals.next(self)
    }

    /// What has ended the guest, whatever its threads do.
    pub(crate) fn ended_by(&self) -> Option<Ending> {
        self.signals.ended_by()
    }

    /// The handler of `signal` has ended.
    pub(crate) fn finished(&self, signal: Signal) {
        self.signals.finished(self, signal);
    }

    /// A write of this thread found no reader: see [`Signals::broken_pipe`].
    pub(crate) fn broken_pipe(&self) {
        self.signals.broken_pipe(self);
    }

    /// Was it an abort that ended the handler of `signal` with this exit code?
    pub(crate) fn is_abort(&self, signal: Signal, code: u32) -> bool {
        self.signals.is_abort(self, signal, code)
    }

    /// The guest goes on after the default action of `SIGPIPE`.
    pub(crate) fn survive_pipe(&self) {
        self.signals.survive_pipe(self);
    }

    /// The thread names a callback, which is to be looked up at the end of this call.
    pub(crate) fn ask(&self) {
        self.signals.ask(self);
    }

    /// The outcome of that: the callback, or that signals are blocked from now on.
    pub(crate) fn name_callback(&self, name: Option<&str>) {
        self.signals.name_callback(self, name);
    }

    /// The thread has ended. What was sent to the process goes to another one.
    pub(crate) fn leave(&self) {
        self.signals.leave(self);
    }
}

/// The time that a thread spends in one wait.
pub(crate) struct WaitGuard<'a> {
    thread_waker: &'a ThreadWaker,
}

impl WaitGuard<'_> {
    fn listen(&self, waker: &Waker) {
        {
            let mut known = unpoisoned(&self.thread_waker.waker);
            match &mut *known {
                Some(known) => known.clone_from(waker),
                None => *known = Some(waker.clone()),
            }
        }
        self.thread_waker.is_waiting.store(true, SeqCst);
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.thread_waker.is_waiting.store(false, SeqCst);
    }
}
