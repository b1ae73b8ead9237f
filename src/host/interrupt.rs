//! What interrupts running code: the end of all threads, a handler for a signal.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::process::Threads;

/// Where running code was interrupted for a handler.
#[derive(Clone)]
pub(crate) enum RunsOn {
    /// On a thread of an executor.
    Executor,
    /// On a thread that is the guest's own, one of these.
    OwnThread(Arc<Threads>),
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
