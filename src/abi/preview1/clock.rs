//! Clocks.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use wiggle::GuestMemory;

use super::bindings::preview1_clock::Preview1Clock;
use crate::abi::call::Call;
use crate::error::{Errno, Error};
use crate::process::Thread;

/// The clocks of preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestClock {
    Realtime,
    Monotonic,
    ProcessCpu,
    ThreadCpu,
}

impl GuestClock {
    /// # Errors
    ///
    /// `EINVAL` for an unknown number.
    pub(super) fn of(id: u32) -> Result<Self, Errno> {
        match id {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            2 => Ok(Self::ProcessCpu),
            3 => Ok(Self::ThreadCpu),
            // "EINVAL: The clock_id argument does not specify a known clock." - clock_gettime(3p)
            _ => Err(Errno::EINVAL),
        }
    }

    /// The time, in nanoseconds.
    pub(super) fn now(self, thread: &Thread) -> Result<u64, Errno> {
        match self {
            Self::Realtime => nanoseconds(thread.process().wall_time()),
            Self::Monotonic => Ok(thread.process().monotonic_time()),
            Self::ProcessCpu => host_nanoseconds(clock_gettime(ClockId::ProcessCPUTime)),
            Self::ThreadCpu => host_nanoseconds(clock_gettime(ClockId::ThreadCPUTime)),
        }
    }

    fn resolution(self, thread: &Thread) -> Result<u64, Errno> {
        match self {
            Self::Realtime => nanoseconds(thread.process().wall_resolution()),
            Self::Monotonic => Ok(thread.process().monotonic_resolution()),
            Self::ProcessCpu => host_nanoseconds(clock_getres(ClockId::ProcessCPUTime)),
            Self::ThreadCpu => host_nanoseconds(clock_getres(ClockId::ThreadCPUTime)),
        }
    }
}

fn nanoseconds(time: Duration) -> Result<u64, Errno> {
    // "EOVERFLOW: The number of seconds will not fit" - clock_gettime(3p)
    u64::try_from(time.as_nanos()).map_err(|_| Errno::EOVERFLOW)
}

fn host_nanoseconds(time: Timespec) -> Result<u64, Errno> {
    nanoseconds(Duration::try_from(time).map_err(|_| Errno::EOVERFLOW)?)
}

impl Preview1Clock for Call<'_> {
    fn clock_res_get(&mut self, _: &mut GuestMemory<'_>, id: u32) -> Result<u64, Error> {
        Ok(GuestClock::of(id)?.resolution(self)?)
    }

    fn clock_time_get(&mut self, _: &mut GuestMemory<'_>, id: u32, _precision: u64) -> Result<u64, Error> {
        Ok(GuestClock::of(id)?.now(self)?)
    }
}
