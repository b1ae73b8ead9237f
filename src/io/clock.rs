//! A clock that takes no descriptor and no runtime.
//!
//! A host without descriptors is just where a guest waits with a limit, for one to become free,
//! and a timer of the kernel takes a descriptor. The runtime of the caller may have no clock. So
//! one host thread sleeps until the earliest of all such deadlines, and exits when there are none.
//!

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{HostRuntime, start_thread};
use crate::error::Errno;

/// How long the thread remains without a deadline.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// A deadline, and a number of its own.
type Key = (Instant, u64);

struct Deadlines {
    waiting: BTreeMap<Key, Waker>,
    next: u64,
    is_running: bool,
}

/// The deadlines, and the thread that sleeps until the earliest.
pub(super) struct Clock {
    waiting: Mutex<Deadlines>,
    /// Wakes the thread because there is an earlier deadline.
    earlier: Condvar,
}

impl Clock {
    pub(super) const fn new() -> Self {
        let waiting = Deadlines { waiting: BTreeMap::new(), next: 0, is_running: false };
        Self { waiting: Mutex::new(waiting), earlier: Condvar::new() }
    }
}

/// Waits until `deadline`; never less.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
///
/// # Errors
///
/// `EAGAIN` where the host can't start the thread.
pub(crate) fn until(deadline: Instant) -> Until {
    Until { deadline, key: None }
}

/// A wait for a deadline.
pub(crate) struct Until {
    deadline: Instant,
    /// Its key among the pending deadlines.
    key: Option<Key>,
}

impl Future for Until {
    type Output = Result<(), Errno>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(Ok(()));
        }
        let deadline = self.deadline;
        let mut clock = clock();
        let key = *self.key.get_or_insert_with(|| {
            clock.next = clock.next.wrapping_add(1);
            (deadline, clock.next)
        });
        clock.waiting.insert(key, context.waker().clone());
        if !clock.is_running {
            if let Err(errno) = start_thread("wasock-clock".to_owned(), run) {
                return Poll::Ready(Err(errno));
            }
            clock.is_running = true;
        } else if clock.waiting.first_key_value().is_some_and(|(first, _)| *first == key) {
            earlier().notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // Dropped when the lock is free again.
            let _waker = clock().waiting.remove(&key);
        }
    }
}

/// Has another thread started where a panic of a waker's ends this one.
struct RunGuard;

impl Drop for RunGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            clock().is_running = false;
        }
    }
}

/// The thread. No waker is called with the lock held.
fn run() {
    let _running = RunGuard;
    let mut clock = clock();
    loop {
        let now = Instant::now();
        let pause = match clock.waiting.first_key_value() {
            Some(((deadline, _), _)) if *deadline <= now => {
                let first = clock.waiting.pop_first();
                drop(clock);
                if let Some((_, waker)) = first {
                    waker.wake();
                }
                clock = self::clock();
                continue;
            }
            Some(((deadline, _), _)) => deadline.saturating_duration_since(now),
            None => IDLE_TIMEOUT,
        };
        let was_empty = clock.waiting.is_empty();
        let (woken, waited) = earlier().wait_timeout(clock, pause).unwrap_or_else(PoisonError::into_inner);
        clock = woken;
        if was_empty && waited.timed_out() && clock.waiting.is_empty() {
            clock.is_running = false;
            return;
        }
    }
}

fn clock() -> MutexGuard<'static, Deadlines> {
    // Consistent whenever it is unlocked.
    HostRuntime::of_process().clock.waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn earlier() -> &'static Condvar {
    &HostRuntime::of_process().clock.earlier
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By an executor that polls when it is woken, and by no runtime.
    fn waited(wait: Until) -> Result<(), Errno> {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
        let mut wait = std::pin::pin!(wait);
        loop {
            if let Poll::Ready(done) = wait.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            std::thread::park();
        }
    }

    #[test]
    fn a_wait_is_never_short_and_an_earlier_one_is_not_late() {
        let begun = Instant::now();
        let mut long = std::pin::pin!(until(begun + Duration::from_secs(600)));
        assert!(long.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        for milliseconds in [0, 1, 5] {
            let deadline = Instant::now() + Duration::from_millis(milliseconds);
            assert_eq!(waited(until(deadline)), Ok(()));
            assert!(Instant::now() >= deadline);
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "it waited for the long one");
    }

    #[test]
    fn a_wait_that_is_dropped_is_forgotten() {
        let deadline = Instant::now() + Duration::from_secs(700);
        {
            let mut wait = std::pin::pin!(until(deadline));
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(clock().waiting.keys().any(|(known, _)| *known == deadline));
        }
        assert!(!clock().waiting.keys().any(|(known, _)| *known == deadline));
    }
}
