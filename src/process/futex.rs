//! Futexes: words that threads wait for.
//!
//! # Correctness
//!
//! A waiter reads its word and is queued under the lock that a waker needs to dequeue waiters. A
//! guest changes the word first and wakes then. So either the waiter is queued before the waker
//! runs, and is dequeued; or it comes after the waker, sees the change, and does not wait. No
//! wake-up is lost, and none is spurious: a waiter is woken because a waker dequeued it, or for a
//! signal's handler, and by nothing else.
//!
//! A waiter that was dequeued and times out at the same moment was woken; one that is
//! dropped passes its wake-up on to the next. Waiters are woken in order of arrival.
//!
//! Waiters are kept by address, for a memory is shared whole. The instructions
//! `memory.atomic.wait` and `memory.atomic.notify` have waiters of their own: the ABI
//! does not mix them, and neither does its C library.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::unpoisoned;
use crate::error::{Errno, Error};
use crate::ready::timeout;
use crate::sync::{Mutex, MutexGuard};

/// How many locks share the addresses.
const BUCKETS: usize = 64;

/// Was the waiter woken, or was its time over?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It was woken, or the word had changed already.
    Yes,
    /// The time is over.
    No,
}

/// The waiters of one guest.
pub struct Futexes {
    buckets: [Mutex<Bucket>; BUCKETS],
}

impl Default for Futexes {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| Mutex::default()) }
    }
}

#[derive(Default)]
struct Bucket {
    /// By address, in the order in which they came. No queue is empty.
    queues: HashMap<u32, BTreeMap<u64, Arc<FutexWaiter>>>,
    next: u64,
}

#[derive(Default)]
struct FutexWaiter {
    state: Mutex<WaiterState>,
}

#[derive(Default)]
struct WaiterState {
    is_woken: bool,
    waker: Option<Waker>,
}

impl Futexes {
    fn bucket(&self, address: u32) -> MutexGuard<'_, Bucket> {
        // Words are four bytes apart.
        let index = usize::try_from(address >> 2).unwrap_or(0) % BUCKETS;
        let [first, ..] = &self.buckets;
        unpoisoned(self.buckets.get(index).unwrap_or(first))
    }

    /// Waits at `address` while the word there, which `look` reads, is `expected`; for
    /// ever without a limit.
    ///
    /// # Cancel safety
    ///
    /// No wake-up is lost when the future is dropped: the next waiter gets it.
    ///
    /// # Errors
    ///
    /// Those of `look`.
    pub async fn wait(
        &self,
        address: u32,
        expected: u32,
        limit: Option<Duration>,
        look: impl FnOnce() -> Result<u32, Error>,
    ) -> Result<Woken, Error> {
        let place = {
            let mut bucket = self.bucket(address);
            // The reference host reports a changed word as woken, and the C library takes
            // any error number for fatal.
            if look()? != expected {
                return Ok(Woken::Yes);
            }
            let (number, waiter) = bucket.enqueue(address);
            QueuedWaiter { futexes: self, address, number, waiter, has_ended: false }
        };
        Ok(place.wait(limit).await)
    }

    /// Wakes up to `most` waiters at `address`, in order of arrival; returns how many.
    ///
    pub fn wake(&self, address: u32, most: usize) -> usize {
        let mut woken = Vec::new();
        {
            let mut bucket = self.bucket(address);
            let Some(queue) = bucket.queues.get_mut(&address) else { return 0 };
            while woken.len() < most
                && let Some((_, waiter)) = queue.pop_first()
            {
                woken.push(waiter);
            }
            if queue.is_empty() {
                bucket.queues.remove(&address);
            }
        }
        for waiter in &woken {
            waiter.wake();
        }
        woken.len()
    }
}

impl Bucket {
    fn enqueue(&mut self, address: u32) -> (u64, Arc<FutexWaiter>) {
        let (number, waiter) = (self.next, Arc::default());
        self.next += 1;
        self.queues.entry(address).or_default().insert(number, Arc::clone(&waiter));
        (number, waiter)
    }

    /// Dequeues a waiter; returns whether it was still queued.
    fn leave(&mut self, address: u32, number: u64) -> bool {
        let Some(queue) = self.queues.get_mut(&address) else { return false };
        let was_there = queue.remove(&number).is_some();
        if queue.is_empty() {
            self.queues.remove(&address);
        }
        was_there
    }
}

impl FutexWaiter {
    fn wake(&self) {
        let waker = {
            let mut state = unpoisoned(&self.state);
            state.is_woken = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn woken(&self) {
        poll_fn(|context| {
            let mut state = unpoisoned(&self.state);
            if state.is_woken {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A queued waiter, until it is dropped.
struct QueuedWaiter<'a> {
    futexes: &'a Futexes,
    address: u32,
    number: u64,
    waiter: Arc<FutexWaiter>,
    /// Its wake-up, if there was one, has arrived.
    has_ended: bool,
}

impl QueuedWaiter<'_> {
    async fn wait(mut self, limit: Option<Duration>) -> Woken {
        let ended = timeout(limit, self.waiter.woken()).await;
        self.has_ended = true;
        // A signal's handler is to run. The C library takes any error number for fatal, and
        // reads the word again when it is woken.
        if ended.is_err() && (limit.is_none() || ended == Err(Errno::EINTR)) {
            self.futexes.bucket(self.address).leave(self.address, self.number);
            return Woken::Yes;
        }
        let in_time = ended.is_ok();
        // A waiter that is no longer in the queue was dequeued by a waker.
        let was_waiting = !in_time && self.futexes.bucket(self.address).leave(self.address, self.number);
        if was_waiting { Woken::No } else { Woken::Yes }
    }
}

impl Drop for QueuedWaiter<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let was_waiting = self.futexes.bucket(self.address).leave(self.address, self.number);
        if !was_waiting {
            self.futexes.wake(self.address, 1);
        }
    }
}

#[cfg(test)]
#[path = "futex/tests.rs"]
mod tests;
