//! What bounds the blocking calls: how long they wait, and for how much.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::TimeOption;

type Timeouts = [Option<Duration>; 4];

/// Limits of the blocking calls; `None` is forever.
#[derive(Debug)]
pub(in crate::socket) struct SocketLimits {
    /// Once one of them is set: for receive, send, connect, accept.
    times: OnceLock<Box<Mutex<Timeouts>>>,
    /// How many bytes a blocking receive waits for: what the kernel has, at hand for
    /// each receive.
    receive_low_water: AtomicUsize,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self { times: OnceLock::new(), receive_low_water: AtomicUsize::new(1) }
    }
}

impl SocketLimits {
    pub(in crate::socket) fn time(&self, option: TimeOption) -> Option<Duration> {
        let mut times = *lock(self.times.get()?);
        slot(&mut times, option).and_then(|limit| *limit)
    }

    pub(super) fn set_time(&self, option: TimeOption, limit: Option<Duration>) {
        let mut times = lock(self.times.get_or_init(Box::default));
        if let Some(slot) = slot(&mut times, option) {
            *slot = limit;
        }
    }

    pub(in crate::socket) fn receive_low_water(&self) -> usize {
        self.receive_low_water.load(Relaxed)
    }

    pub(super) fn set_receive_low_water(&self, bytes: usize) {
        self.receive_low_water.store(bytes, Relaxed);
    }

    /// What a listener's limits are to a connection that it accepts.
    pub(in crate::socket) fn passed_on(&self) -> Self {
        // "creates a new socket with the same properties of s" - accept(2) of 4.2BSD; so
        // do Linux and Winsock.
        let times = match self.times.get().map(|times| *lock(times)) {
            Some([receive, send, ..]) if receive.or(send).is_some() => {
                OnceLock::from(Box::new(Mutex::new([receive, send, None, None])))
            }
            _ => OnceLock::new(),
        };
        Self { times, receive_low_water: AtomicUsize::new(self.receive_low_water()) }
    }
}

fn slot(times: &mut Timeouts, option: TimeOption) -> Option<&mut Option<Duration>> {
    let [receive, send, connect, accept] = times;
    match option {
        TimeOption::Receive => Some(receive),
        TimeOption::Send => Some(send),
        TimeOption::Connect => Some(connect),
        TimeOption::Accept => Some(accept),
        TimeOption::Linger => None,
    }
}

fn lock(times: &Mutex<Timeouts>) -> MutexGuard<'_, Timeouts> {
    // Consistent whenever it is unlocked.
    times.lock().unwrap_or_else(PoisonError::into_inner)
}
