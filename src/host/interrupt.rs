//! What interrupts running code, and what ends a wait: the end of all threads, a signal.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::unconstrained;
use wasmtime::Trap;

use super::outcome::error_of;
use crate::io::park_on;
use crate::process::{PendingSignals, Process, Thread, Threads};

/// Where running code was interrupted for a handler.
#[derive(Clone)]
pub(crate) enum RunsOn {
    /// On a thread of an executor.
    Executor,
    /// On a thread that is the guest's own, one of these.
    OwnThread(Arc<Threads>),
}

/// What ends a call of one thread while it waits, at hand while the call has the [`Thread`] itself.
#[derive(Clone)]
pub(crate) struct Interrupts {
    pub(crate) pending_signals: PendingSignals,
    threads: Arc<Threads>,
    process: Arc<Process>,
}

impl Interrupts {
    /// Those of `thread`.
    pub(super) fn of(thread: &Thread) -> Self {
        Self {
            pending_signals: thread.pending_signals.clone(),
            threads: Arc::clone(&thread.threads),
            process: Arc::clone(thread.process()),
        }
    }

    /// Parks this thread until `half`, the half of a call that waits, is done. A signal ends its
    /// waits. The processor time that it takes is the guest's.
    ///
    /// # Errors
    ///
    /// Those of the call; the end of the guest.
    pub(super) fn wait_for<T>(&self, half: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
        self.process.instance().note_waiting();
        let mut half = pin!(self.pending_signals.waiting(half));
        let gate = &self.threads.gate;
        let mut rests = false;
        let polls = poll_fn(|context| {
            // From here on it may write to the guest's memory.
            if std::mem::take(&mut rests) {
                gate.go_on();
            }
            // The common end wakes this thread: see `until_the_end`.
            if self.threads.has_ended() {
                return Poll::Ready(None);
            }
            let polled = self.process.counted(|| half.as_mut().poll(context));
            if polled.is_pending() && gate.is_used() {
                gate.rest();
                rests = true;
            }
            polled
        });
        let done = self.process.uncounted(|| park_on(polls));
        done.unwrap_or_else(|| Err(why_ended(&self.pending_signals)))
    }
}

/// The message where a handler waits in what the host can't drive.
const WAITS_ELSEWHERE: &str = "the handler of a signal waits in a function of the embedder's";

impl Interrupts {
    /// Sees the call of a handler to its end on the spot, on a fiber of its own. Its calls of the host
    /// wait for nothing there, or park this thread: it is pending only where it gave way to an epoch.
    ///
    /// # Errors
    ///
    /// Those of the handler; the end of the guest.
    pub(super) fn run_here<T>(&self, call: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
        let woken = Arc::new(WokenFlag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut call = pin!(unconstrained(call));
        loop {
            match call.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending if !woken.0.swap(false, Acquire) => {
                    return Err(wasmtime::Error::msg(WAITS_ELSEWHERE));
                }
                Poll::Pending => {}
            }
            self.process.check_cpu_time();
            if self.threads.has_ended() || self.pending_signals.ended_by().is_some() {
                return Err(why_ended(&self.pending_signals));
            }
        }
    }
}

/// Records whether it was woken.
struct WokenFlag(AtomicBool);

impl Wake for WokenFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Release);
    }
}

/// Why a call was given up.
pub(super) fn why_ended(pending_signals: &PendingSignals) -> wasmtime::Error {
    pending_signals.ended_by().map_or_else(|| Trap::Interrupt.into(), error_of)
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
