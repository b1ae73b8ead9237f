//! Driving a future on a thread that may stop.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::sleeper::Sleeper;
use crate::error::Errno;
use crate::socket::{Vigil, own_reactor};

/// Runs `future` to its end on this thread, which stops while nothing is ready.
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
    thread_local! {
        static HERE: (Arc<Sleeper>, Waker) = {
            let sleeper = Sleeper::new();
            (Arc::clone(&sleeper), Waker::from(sleeper))
        };
    }
    let reactor = own_reactor()?;
    let _inside = reactor.enter();
    // A task of the caller's runtime has a budget, and what is over it waits for the
    // scheduler, which does not run while this thread is ours.
    let mut future = pin!(tokio::task::unconstrained(future));
    HERE.with(|(sleeper, waker)| {
        let vigil = Vigil::begin(waker);
        let mut context = Context::from_waker(waker);
        // Without a bell, the reactor watches.
        let mut has_failed = false;
        loop {
            vigil.next_turn(has_failed);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            let noted = vigil.noted();
            has_failed = !noted.is_empty() && sleeper.sleep_at(&noted).is_err();
            if noted.is_empty() {
                sleeper.sleep();
            }
        }
    })
}

#[cfg(test)]
#[path = "block_on/tests.rs"]
mod tests;
