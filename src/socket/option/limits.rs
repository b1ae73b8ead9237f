//! What bounds the blocking calls: how long they wait, and for how much.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::TimeOption;

/// Limits of the blocking calls; `None` is for ever.
#[derive(Debug)]
pub(in crate::socket) struct Limits {
    times: Mutex<[Option<Duration>; 4]>,
    /// How many bytes a blocking receive waits for: what the kernel has, at hand for
    /// each receive.
    receive_low_water: AtomicUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { times: Mutex::default(), receive_low_water: AtomicUsize::new(1) }
    }
}

impl Limits {
    fn with<T>(&self, option: TimeOption, use_it: impl FnOnce(&mut Option<Duration>) -> T) -> Option<T> {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let [receive, send, connect, accept] = &mut *times;
        match option {
            TimeOption::Receive => Some(use_it(receive)),
            TimeOption::Send => Some(use_it(send)),
            TimeOption::Connect => Some(use_it(connect)),
            TimeOption::Accept => Some(use_it(accept)),
            TimeOption::Linger => None,
        }
    }

    pub(in crate::socket) fn time(&self, option: TimeOption) -> Option<Duration> {
        self.with(option, |limit| *limit).flatten()
    }

    pub(super) fn set_time(&self, option: TimeOption, limit: Option<Duration>) {
        self.with(option, |slot| *slot = limit);
    }

    pub(in crate::socket) fn receive_low_water(&self) -> usize {
        self.receive_low_water.load(Relaxed)
    }

    pub(super) fn set_receive_low_water(&self, bytes: usize) {
        self.receive_low_water.store(bytes, Relaxed);
    }

    /// What a listener's limits are to a connection that it accepts.
    pub(in crate::socket) fn handed_on(&self) -> Self {
        // "creates a new socket with the same properties of s" - accept(2) of 4.2BSD; so
        // do Linux and Winsock.
        let [receive, send, ..] = *self.times.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            times: Mutex::new([receive, send, None, None]),
            receive_low_water: AtomicUsize::new(self.receive_low_water()),
        }
    }
}
