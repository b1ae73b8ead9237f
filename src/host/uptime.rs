//! The monotonic clock of a guest, unless its embedder gives it another one.

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use wasmtime_wasi::HostMonotonicClock;

const SECOND: u64 = 1_000_000_000;

/// Counts as the kernel does: "since some unspecified point in the past", on Linux "the number
/// of seconds that the system has been running" - clock_gettime(2). So guests of one machine
/// agree on the time as its processes do, and the clock does not begin at 0, which libraries
/// take for "no time".
pub(super) struct Uptime {
    /// What a machine that has just started lacks of the first second.
    added: u64,
}

impl Uptime {
    pub(super) fn new() -> Self {
        let now = nanoseconds(clock_gettime(ClockId::Monotonic));
        Self { added: if now < SECOND { SECOND } else { 0 } }
    }
}

impl HostMonotonicClock for Uptime {
    fn resolution(&self) -> u64 {
        nanoseconds(clock_getres(ClockId::Monotonic))
    }

    fn now(&self) -> u64 {
        nanoseconds(clock_gettime(ClockId::Monotonic)).saturating_add(self.added)
    }
}

/// A time of this clock as nanoseconds; it has no negative ones.
fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(SECOND).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_beyond_the_first_second_and_goes_on() {
        let clock = Uptime::new();
        let first = clock.now();
        assert!(first >= SECOND);
        assert!(clock.now() >= first);
        assert!(clock.resolution() > 0);
    }

    #[test]
    fn a_machine_that_has_just_started_gets_a_second() {
        let clock = Uptime { added: SECOND };
        assert!(clock.now() >= Uptime { added: 0 }.now() + SECOND / 2);
    }
}
