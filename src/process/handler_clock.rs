//! How long a handler of events may run.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Says when the handler that runs is over its time. There is one for a guest whose handlers are
/// limited.
#[derive(Debug)]
pub(crate) struct HandlerClock {
    limit: Duration,
    origin: Instant,
    /// When the time of the handler that runs is over, in nanoseconds since the origin; 0 while none
    /// runs.
    deadline: AtomicU64,
}

impl HandlerClock {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, origin: Instant::now(), deadline: AtomicU64::new(0) }
    }

    /// How long one may run.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// A handler begins. It has ended when the result is dropped.
    pub(crate) fn begin(&self) -> RunningHandler<'_> {
        let deadline = self.origin.elapsed().saturating_add(self.limit);
        self.deadline.store(u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX).max(1), Relaxed);
        RunningHandler(self)
    }

    /// Does a handler run that is over its time?
    pub(crate) fn is_over(&self) -> bool {
        let deadline = self.deadline.load(Relaxed);
        deadline != 0 && self.origin.elapsed().as_nanos() >= u128::from(deadline)
    }
}

/// A handler that runs.
pub(crate) struct RunningHandler<'a>(&'a HandlerClock);

impl Drop for RunningHandler<'_> {
    fn drop(&mut self) {
        self.0.deadline.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_handler_that_runs_is_over_its_time() {
        let clock = HandlerClock::new(Duration::ZERO);
        assert!(!clock.is_over());
        let running = clock.begin();
        std::thread::sleep(Duration::from_millis(1));
        assert!(clock.is_over());
        drop(running);
        assert!(!clock.is_over());
        let clock = HandlerClock::new(Duration::MAX);
        let _running = clock.begin();
        assert!(!clock.is_over());
    }
}
