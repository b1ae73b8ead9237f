//! Event descriptors: a counter that can be waited for, as eventfd(2) has it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Context;

use super::pipe::attempts;
use crate::error::Errno;
use crate::io::{Events, Pollable, Watchers};

/// "The maximum value that may be stored in the counter is the largest unsigned 64-bit
/// value minus 1" - eventfd(2)
const MOST: u64 = u64::MAX - 1;

/// A counter.
#[derive(Debug)]
pub struct EventFd {
    counter: Mutex<u64>,
    is_semaphore: bool,
    readers: Watchers,
    writers: Watchers,
}

impl EventFd {
    /// A counter that begins with `initial`. A semaphore is read one at a time.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that no counter holds.
    pub fn new(initial: u64, is_semaphore: bool) -> Result<Self, Errno> {
        if initial > MOST {
            return Err(Errno::EINVAL);
        }
        let counter = Mutex::new(initial);
        Ok(Self { counter, is_semaphore, readers: Watchers::default(), writers: Watchers::default() })
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was counted; of a semaphore 1. Waits while that is nothing, unless
    /// `waits` is false.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait and may not.
    pub async fn take(&self, waits: bool) -> Result<u64, Errno> {
        attempts(waits, &self.readers, || self.try_take()).await
    }

    /// As [`take`](Self::take), without waiting.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where nothing was counted.
    pub fn try_take(&self) -> Result<u64, Errno> {
        let mut counter = self.lock();
        let taken = match *counter {
            // "If the eventfd counter is zero at the time of the call to read(2), then the
            // call either blocks ... or fails with the error EAGAIN" - eventfd(2)
            0 => return Err(Errno::EAGAIN),
            _ if self.is_semaphore => 1,
            all => all,
        };
        *counter -= taken;
        drop(counter);
        self.writers.wake_all();
        Ok(taken)
    }

    /// Adds `count`. Waits while the counter is too large for it, unless `waits` is false.
    ///
    /// # Cancel safety
    ///
    /// All or nothing is added when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait and may not, `EINVAL` for a number that is never
    /// added.
    pub async fn add(&self, waits: bool, count: u64) -> Result<(), Errno> {
        attempts(waits, &self.writers, || self.try_add(count)).await
    }

    /// As [`add`](Self::add), without waiting.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the counter is too large, `EINVAL` for a number that is never added.
    pub fn try_add(&self, count: u64) -> Result<(), Errno> {
        // "A write(2) fails with the error EINVAL if ... an attempt is made to write the
        // value 0xffffffffffffffff." - eventfd(2)
        if count > MOST {
            return Err(Errno::EINVAL);
        }
        let mut counter = self.lock();
        // "If the addition would cause the counter's value to exceed the maximum, then
        // the write(2) either blocks until a read(2) is performed ..., or fails with the
        // error EAGAIN" - eventfd(2)
        *counter = counter.checked_add(count).filter(|sum| *sum <= MOST).ok_or(Errno::EAGAIN)?;
        drop(counter);
        self.readers.wake_all();
        Ok(())
    }
}

impl Pollable for EventFd {
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        if mask.are_of_readers() {
            self.readers.add(context.waker());
        }
        if mask.are_of_writers() {
            self.writers.add(context.waker());
        }
        false
    }

    fn look(&self) -> Events {
        let counter = *self.lock();
        // "writable ... if it is possible to write a value of at least 1 without blocking"
        // - eventfd(2)
        Events::IN.when(counter > 0).or(Events::OUT.when(counter < MOST))
    }

    fn readable_bytes(&self) -> u64 {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::task::{Poll, Wake, Waker};

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// Two threads that write to each other would wake each other twice a round.
    #[test]
    fn a_caller_that_did_not_wait_is_not_woken_later() -> Result<(), Errno> {
        let event = EventFd::new(0, false)?;
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        assert_eq!(pin!(event.add(true, 1)).poll(&mut context), Poll::Ready(Ok(())));
        assert_eq!(pin!(event.take(true)).poll(&mut context), Poll::Ready(Ok(1)));
        let mut taking = pin!(event.take(true));
        assert_eq!(taking.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(count.0.load(SeqCst), 0);
        let mut other = Context::from_waker(Waker::noop());
        assert_eq!(pin!(event.add(true, 2)).poll(&mut other), Poll::Ready(Ok(())));
        assert_eq!(count.0.load(SeqCst), 1);
        assert_eq!(taking.poll(&mut context), Poll::Ready(Ok(2)));
        Ok(())
    }
}
