//! Calls that take long yield in the midst.
//!
//! A guest decides how much a call has to do. A call that does it all at once cannot be
//! ended meanwhile: its future is not polled, so it is neither dropped nor interrupted; and
//! whatever shares its thread does not run.

use std::time::{Duration, Instant};

use super::interrupt::is_interrupted;
use crate::error::Errno;
use crate::io::yield_now;

/// How long a call works before it yields.
const SLICE: Duration = Duration::from_millis(5);

/// The time that a call works without giving way.
#[derive(Debug, Default)]
pub struct TimeSlice {
    begun: Option<Instant>,
}

impl TimeSlice {
    /// One that begins at its first step.
    pub const fn new() -> Self {
        Self { begun: None }
    }

    /// Comes between two pieces of work, each much shorter than a millisecond. Gives way
    /// where the time is over.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// The reason where the call is [interrupted](super::interrupting).
    pub async fn step(&mut self) -> Result<(), Errno> {
        if self.is_over() { self.yield_now().await } else { Ok(()) }
    }

    /// As [`step`](Self::step), for a call that a signal does not end. The end of the guest
    /// does: it drops the call.
    ///
    /// # Cancel safety
    ///
    /// As for [`step`](Self::step).
    pub async fn step_on(&mut self) {
        if self.is_over() {
            let _goes_on = self.yield_now().await;
        }
    }

    /// Is it time to yield? For work that is not done in a future.
    pub fn is_over(&mut self) -> bool {
        let now = Instant::now();
        now.duration_since(*self.begun.get_or_insert(now)) >= SLICE
    }

    /// Gives way, and begins anew.
    ///
    /// # Cancel safety
    ///
    /// As for [`step`](Self::step).
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub async fn yield_now(&mut self) -> Result<(), Errno> {
        yield_now().await;
        self.begun = Some(Instant::now());
        is_interrupted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ready::interrupting;
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn work_yields_and_is_interrupted_then() {
        let steps = Cell::new(0_u32);
        let mut work = pin!(async {
            let mut slice = TimeSlice::new();
            loop {
                steps.set(steps.get() + 1);
                slice.step().await?;
            }
        });
        let mut context = Context::from_waker(Waker::noop());
        let mut poll = || -> Poll<Result<(), Errno>> { work.as_mut().poll(&mut context) };
        let begun = Instant::now();
        assert_eq!(poll(), Poll::Pending);
        assert!(begun.elapsed() >= SLICE);
        assert_eq!(poll(), Poll::Pending);
        assert_eq!(interrupting(Errno::EINTR, &mut poll), Poll::Ready(Err(Errno::EINTR)));
        assert!(steps.get() > 2);
    }
}
