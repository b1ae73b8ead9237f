//! Drives a future on a thread that may block.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::parker::Parker;
use super::parker_poll::ParkerPoll;
use super::reactor::own_reactor;
use crate::error::Errno;

thread_local! {
    pub(super) static HERE: (Parker, Waker) = {
        let parker = Parker::new();
        let waker = parker.waker();
        (parker, waker)
    };
}

/// Runs `future` to its end on this thread, which parks while nothing is ready.
///
/// For embedders without an executor. It works inside a tokio runtime too, where
/// tokio's own blocking calls panic: the sockets then live on a reactor thread of
/// ours, so that stopping one of the caller's threads never stops its own events.
/// Descriptors that the future waits for are watched by this thread itself, where it
/// can: that saves a wake-up.
///
/// # Errors
///
/// `EAGAIN` where the host can't start the thread of that reactor.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Errno> {
    let reactor = own_reactor()?;
    let _inside = reactor.enter();
    Ok(park_on(future))
}

/// As [`block_on`], on a thread that is inside of the reactor already that drives what it can't
/// watch itself.
pub(crate) fn park_on<F: Future>(future: F) -> F::Output {
    // A task of the caller's runtime has a budget, and what is over it waits for the
    // scheduler, which does not run while this thread is ours.
    let mut future = pin!(tokio::task::unconstrained(future));
    HERE.with(|(parker, waker)| {
        let parker_poll = ParkerPoll::begin(waker);
        let mut context = Context::from_waker(waker);
        // Without a wake descriptor, waits go to the reactor.
        let mut answers = Ok(Vec::new());
        loop {
            parker_poll.next_round(answers);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            let interests = parker_poll.interests();
            answers = if interests.is_empty() {
                parker.park();
                Ok(Vec::new())
            } else {
                parker.park_in_poll(&interests)
            };
        }
    })
}

#[cfg(test)]
#[path = "block_on/tests.rs"]
mod tests;
