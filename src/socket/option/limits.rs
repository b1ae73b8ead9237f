//! What bounds the blocking calls: how long they wait, and for how much.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::TimeOption;

type Timeouts = [Option<Duration>; 4];

/// Limits of the blocking calls; `None` is forever. Apart, once one is set: most connections have none.
#[derive(Debug, Default)]
pub(in crate::socket) struct SocketLimits(OnceLock<Box<SetLimits>>);

#[derive(Debug)]
struct SetLimits {
    /// For receive, send, connect, accept.
    times: Mutex<Timeouts>,
    /// How many bytes a blocking receive waits for: what the kernel has, at hand for
    /// each receive.
    receive_low_water: AtomicUsize,
}

impl Default for SetLimits {
    fn default() -> Self {
        Self { times: Mutex::default(), receive_low_water: AtomicUsize::new(1) }
    }
}

impl SocketLimits {
    pub(in crate::socket) fn time(&self, option: TimeOption) -> Option<Duration> {
        let mut times = self.0.get()?.lock();
        slot(&mut times, option).and_then(|limit| *limit)
    }

    pub(super) fn set_time(&self, option: TimeOption, limit: Option<Duration>) {
        let mut times = self.0.get_or_init(Box::default).lock();
        if let Some(slot) = slot(&mut times, option) {
            *slot = limit;
        }
    }

    pub(in crate::socket) fn receive_low_water(&self) -> usize {
        self.0.get().map_or(1, |set| set.receive_low_water.load(Relaxed))
    }

    pub(super) fn set_receive_low_water(&self, bytes: usize) {
        self.0.get_or_init(Box::default).receive_low_water.store(bytes, Relaxed);
    }

    /// What a listener's limits are to a connection that it accepts.
    pub(in crate::socket) fn passed_on(&self) -> Self {
        let Some(set) = self.0.get() else { return Self::default() };
        // "creates a new socket with the same properties of s" - accept(2) of 4.2BSD; so
        // do Linux and Winsock.
        let [receive, send, ..] = *set.lock();
        let low_water = self.receive_low_water();
        if receive.or(send).is_none() && low_water == 1 {
            return Self::default();
        }
        let times = Mutex::new([receive, send, None, None]);
        let passed_on = SetLimits { times, receive_low_water: AtomicUsize::new(low_water) };
        Self(OnceLock::from(Box::new(passed_on)))
    }
}

impl SetLimits {
    fn lock(&self) -> MutexGuard<'_, Timeouts> {
        // Consistent whenever it is unlocked.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
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
