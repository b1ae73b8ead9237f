//! The time of the host's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::HostWallClock;

/// The host's clock. Before 1970, where a machine without a battery may begin, it is 0:
/// no guest can represent a time before that.
pub(super) struct SystemClock;

impl HostWallClock for SystemClock {
    fn resolution(&self) -> Duration {
        let resolution = rustix::time::clock_getres(rustix::time::ClockId::Realtime);
        Duration::try_from(resolution).unwrap_or(Duration::from_nanos(1))
    }

    fn now(&self) -> Duration {
        since_1970(SystemTime::now())
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_before_1970() {
        let second = Duration::from_secs(1);
        assert_eq!(since_1970(UNIX_EPOCH + second), second);
        assert_eq!(since_1970(UNIX_EPOCH - second), Duration::ZERO);
        assert!(SystemClock.resolution() <= second && SystemClock.now() > Duration::ZERO);
    }
}
