//! Ending a wait before what it waits for has happened.
//!
//! A call is a future, and a dropped one cannot return how far it got: how many bytes a send has
//! sent. So a wait is not dropped, it is *asked to end*: its caller polls it once more inside of
//! [`interrupting`], and every wait below it that is [`interruptible`] and would go on ends with
//! the error number given there. The call returns as it does after any error in the midst of it:
//! what it has done, or else that number. What is not a wait, such as a file operation in progress,
//! goes on.

use std::cell::Cell;
use std::pin::pin;
use std::task::Poll;

use crate::error::Errno;

thread_local! {
    /// Why waits of this thread end, during one poll.
    static REASON: Cell<Option<Errno>> = const { Cell::new(None) };

    /// Are these only the waits that nothing restarts?
    static IS_MILD: Cell<bool> = const { Cell::new(false) };
}

/// Polls a call so that its waits end with `reason`.
pub fn interrupting<T>(reason: Errno, poll: impl FnOnce() -> T) -> T {
    struct Reset(Option<Errno>);
    impl Drop for Reset {
        fn drop(&mut self) {
            REASON.set(self.0);
        }
    }
    let _reset = Reset(REASON.replace(Some(reason)));
    poll()
}

/// As [`interrupting`], for an event that most programs care nothing for: waits end by it that are
/// [interruptible by everything](interruptible_by_all), and others go on.
pub fn interrupting_mildly<T>(reason: Errno, poll: impl FnOnce() -> T) -> T {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            IS_MILD.set(self.0);
        }
    }
    let _reset = Reset(IS_MILD.replace(true));
    interrupting(reason, poll)
}

/// Why a wait is to end that goes on in spite of mild interruptions.
fn reason() -> Option<Errno> {
    REASON.get().filter(|_| !IS_MILD.get())
}

/// Is the call to end, that is polled now? For work that goes on by itself.
///
/// # Errors
///
/// The reason of the interruption.
pub(super) fn is_interrupted() -> Result<(), Errno> {
    reason().map_or(Ok(()), Err)
}

/// Waits for `event`, unless it is [interrupted](interrupting).
///
/// # Cancel safety
///
/// As safe as `event`, which an interruption drops.
///
/// # Errors
///
/// The reason of the interruption. An event that happened comes first.
pub async fn interruptible<T>(event: impl Future<Output = T>) -> Result<T, Errno> {
    let mut event = pin!(event);
    std::future::poll_fn(|context| match event.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => reason().map_or(Poll::Pending, |reason| Poll::Ready(Err(reason))),
    })
    .await
}

/// As [`interruptible`], by mild interruptions too: for what waits for several things or for time. "[EINTR] ...
/// interrupted by a signal that was caught", whatever `SA_RESTART` says - poll(3p), nanosleep(3p).
///
/// # Cancel safety
///
/// As safe as `event`, which an interruption drops.
///
/// # Errors
///
/// The reason of the interruption. An event that happened comes first.
pub async fn interruptible_by_all<T>(event: impl Future<Output = T>) -> Result<T, Errno> {
    let mut event = pin!(event);
    std::future::poll_fn(|context| match event.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => REASON.get().map_or(Poll::Pending, |reason| Poll::Ready(Err(reason))),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::task::{Context, Waker};

    fn polled<T>(reason: Option<Errno>, event: impl Future<Output = T>) -> Poll<Result<T, Errno>> {
        let mut wait = pin!(interruptible(event));
        let mut context = Context::from_waker(Waker::noop());
        match reason {
            Some(reason) => interrupting(reason, || wait.as_mut().poll(&mut context)),
            None => wait.as_mut().poll(&mut context),
        }
    }

    #[test]
    fn only_a_wait_that_would_go_on_is_interrupted() {
        assert_eq!(polled(None, pending::<()>()), Poll::Pending);
        assert_eq!(polled(Some(Errno::EINTR), pending::<()>()), Poll::Ready(Err(Errno::EINTR)));
        assert_eq!(polled(Some(Errno::EINTR), ready(7)), Poll::Ready(Ok(7)));
        assert_eq!(polled(None, pending::<()>()), Poll::Pending);
    }
}
