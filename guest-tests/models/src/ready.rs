//! What waits: the host's files, and stand-ins for its clock and its interruptions.

use std::cell::Cell;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};

use crate::error::Errno;

#[path = "../../../src/ready/epoll/leader.rs"]
mod leader;
pub mod lists;

shuttle::thread_local! {
    static REASON: Cell<Option<Errno>> = Cell::new(None);
}

/// As the host's, for threads of the model.
pub fn interrupting<T>(reason: Errno, poll: impl FnOnce() -> T) -> T {
    let before = REASON.with(|known| known.replace(Some(reason)));
    let polled = poll();
    REASON.with(|known| known.set(before));
    polled
}

/// As the host's: no model waits for children.
pub fn interrupting_mildly<T>(reason: Errno, poll: impl FnOnce() -> T) -> T {
    interrupting(reason, poll)
}

pub async fn interruptible<T>(event: impl Future<Output = T>) -> Result<T, Errno> {
    let mut event = pin!(event);
    std::future::poll_fn(|context| match event.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => REASON.with(Cell::get).map_or(Poll::Pending, |reason| Poll::Ready(Err(reason))),
    })
    .await
}

/// A limit is over at any time.
pub async fn timeout<T>(limit: Option<Duration>, event: impl Future<Output = T>) -> Result<T, Errno> {
    let mut event = pin!(event);
    std::future::poll_fn(|context| {
        if let Poll::Ready(done) = event.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        if limit.is_none() {
            return Poll::Pending;
        }
        if thread_rng().gen_range(0..3) == 0 {
            return Poll::Ready(Err(Errno::EAGAIN));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
