//! The process's descriptors, when there are too few.
//!
//! A host without a free descriptor takes no connection. The tasks that would take one wait here
//! until a socket is closed, and a queue whose guest has asked for its next connection goes first.
//!
//! The last ones may be reserved: then what a guest makes gets no number among them. The kernel gives the
//! lowest free number, so the number of each new descriptor tells how many are left, and asking costs
//! nothing until few are. From then on guests take one after the other, and each looks first.

use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno as Os;
use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;

use super::HostRuntime;

/// How long a task without descriptors waits at most: something other than a socket
/// may have released one.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Who waits for a descriptor.
#[derive(Debug)]
pub(crate) struct DescriptorPressure {
    waiting_tasks: AtomicUsize,
    freed: Notify,
    /// How many queues have a connection that their guest could not accept.
    demands: AtomicUsize,
    /// How many of the last descriptors no guest gets.
    reserved: AtomicU64,
    /// From this number on few are left of those that guests get.
    few_left_from: AtomicU64,
    /// Has one of them such a number?
    are_few_left: AtomicBool,
    /// Held by what looks whether one is left, until it has taken that.
    takes: Mutex<()>,
}

/// How many guests may take descriptors at once before each of them knows that few are left.
const MARGIN: u64 = 64;

/// How often, and with which pauses, the turn to take one is waited for: an open of a file may take long.
const TURN_ATTEMPTS: u32 = 100;
const TURN_INTERVAL: Duration = Duration::from_micros(20);

impl DescriptorPressure {
    pub(super) const fn new() -> Self {
        Self {
            waiting_tasks: AtomicUsize::new(0),
            freed: Notify::const_new(),
            demands: AtomicUsize::new(0),
            reserved: AtomicU64::new(0),
            few_left_from: AtomicU64::new(u64::MAX),
            are_few_left: AtomicBool::new(false),
            takes: Mutex::new(()),
        }
    }

    /// Guests get none of the last `count` descriptors from now on. The largest number that was ever asked
    /// for holds.
    pub(crate) fn reserve(&self, count: u64) {
        self.reserved.fetch_max(count, SeqCst);
        self.few_left_from.store(self.end_for_guests().saturating_sub(MARGIN), SeqCst);
    }

    /// The first number that guests do not get.
    fn end_for_guests(&self) -> u64 {
        // It may have been changed since.
        let all = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        all.saturating_sub(self.reserved.load(SeqCst))
    }

    /// Has `make` make `count` descriptors for a guest, of which `highest` returns the one with the highest
    /// number.
    ///
    /// # Errors
    ///
    /// Those of `make`; `MFILE`, and nothing was made, where all that are left are reserved.
    #[inline]
    pub(crate) fn for_guest<T, E: From<Os>>(
        &self,
        count: usize,
        make: impl FnOnce() -> Result<T, E>,
        highest: impl FnOnce(&T) -> RawFd,
    ) -> Result<T, E> {
        let turn = if self.are_few_left.load(Relaxed) { Some(self.turn(count)?) } else { None };
        let made = make()?;
        let number = u64::try_from(highest(&made)).unwrap_or(0);
        let are_few_left = number >= self.few_left_from.load(Relaxed);
        if are_few_left != turn.is_some() {
            self.are_few_left.store(are_few_left, SeqCst);
        }
        Ok(made)
    }

    /// The turn to take `count` descriptors, which are left.
    #[cold]
    fn turn(&self, count: usize) -> Result<MutexGuard<'_, ()>, Os> {
        let turn = self.wait_for_turn().ok_or(Os::MFILE)?;
        let end = self.end_for_guests();
        self.few_left_from.store(end.saturating_sub(MARGIN), SeqCst);
        let mut probes = Vec::with_capacity(count);
        for _ in 0..count {
            let probe = eventfd(0, EventfdFlags::CLOEXEC)?;
            if u64::try_from(probe.as_raw_fd()).unwrap_or(0) >= end {
                return Err(Os::MFILE);
            }
            probes.push(probe);
        }
        Ok(turn)
    }

    fn wait_for_turn(&self) -> Option<MutexGuard<'_, ()>> {
        for _ in 0..TURN_ATTEMPTS {
            match self.takes.try_lock() {
                Ok(turn) => return Some(turn),
                // It guards nothing that a panic could leave half done.
                Err(TryLockError::Poisoned(turn)) => return Some(turn.into_inner()),
                Err(TryLockError::WouldBlock) => thread::sleep(TURN_INTERVAL),
            }
        }
        None
    }

    /// Waits until a descriptor may be free.
    pub(crate) async fn wait(&self) {
        self.waiting_tasks.fetch_add(1, SeqCst);
        let _until_done = DemandGuard(&self.waiting_tasks);
        // Ended by either; a descriptor that was freed just before costs one timeout.
        let _either = tokio::time::timeout(RETRY_INTERVAL, self.freed.notified()).await;
    }

    /// As [`wait`](Self::wait), for a guest's own thread and for tasks of any runtime.
    #[cfg(feature = "components")]
    pub(crate) async fn wait_anywhere(&self) {
        self.waiting_tasks.fetch_add(1, SeqCst);
        let _until_done = DemandGuard(&self.waiting_tasks);
        tokio::select! {
            () = self.freed.notified() => {}
            () = super::sleep(RETRY_INTERVAL) => {}
        }
    }

    /// The next descriptor is for one queue, as long as the result lives.
    pub(crate) fn demand(&'static self) -> DescriptorDemand {
        self.demands.fetch_add(1, SeqCst);
        DescriptorDemand(&self.demands)
    }

    /// Is the next descriptor for one queue?
    pub(crate) fn has_demand(&self) -> bool {
        self.demands.load(SeqCst) > 0
    }
}

struct DemandGuard<'a>(&'a AtomicUsize);

impl Drop for DemandGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// One queue with a connection that its guest could not accept: the others leave it the next
/// descriptor.
pub(crate) struct DescriptorDemand(&'static AtomicUsize);

impl Drop for DescriptorDemand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Wakes the waiting tasks when it is dropped, because a descriptor is free. The last
/// field of what closes one.
#[derive(Debug)]
pub(crate) struct DescriptorFreed;

impl Drop for DescriptorFreed {
    #[inline]
    fn drop(&mut self) {
        let descriptors = &HostRuntime::of_process().descriptors;
        if descriptors.waiting_tasks.load(SeqCst) > 0 {
            descriptors.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;

    /// Takes one as a guest does.
    fn take(pressure: &DescriptorPressure) -> Result<OwnedFd, Os> {
        pressure.for_guest(1, || eventfd(0, EventfdFlags::CLOEXEC), |fd| fd.as_raw_fd())
    }

    /// One whose reserve leaves guests about 80 more than are taken now, and the first number that is reserved.
    fn nearly_full() -> Result<(DescriptorPressure, u64), Os> {
        let next = eventfd(0, EventfdFlags::CLOEXEC)?;
        let end = u64::try_from(next.as_raw_fd()).unwrap_or(0) + 80;
        let pressure = DescriptorPressure::new();
        let all = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        pressure.reserve(all.saturating_sub(end));
        Ok((pressure, end))
    }

    #[test]
    fn a_guest_gets_no_descriptor_that_is_reserved() -> Result<(), Os> {
        // Other tests of this process have numbers below, too, and give them back.
        let (pressure, end) = nearly_full()?;
        let mut taken = Vec::new();
        let refused = loop {
            match take(&pressure) {
                Ok(fd) => taken.push(fd),
                Err(error) => break error,
            }
            assert!(taken.len() < 2000, "no end");
        };
        assert_eq!(refused, Os::MFILE);
        assert!(taken.iter().all(|fd| u64::try_from(fd.as_raw_fd()).is_ok_and(|number| number < end)));
        // The host goes on.
        drop(eventfd(0, EventfdFlags::CLOEXEC)?);
        drop(taken);
        assert!(take(&pressure).is_ok() && !pressure.are_few_left.load(SeqCst));
        Ok(())
    }

    #[test]
    fn without_a_reserve_nothing_is_looked_at() {
        let pressure = DescriptorPressure::new();
        assert!(take(&pressure).is_ok() && !pressure.are_few_left.load(SeqCst));
    }
}
