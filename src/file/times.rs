//! New time stamps for a file or directory.

use cap_fs_ext::SystemTimeSpec;
use cap_std::time::SystemTime;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::time::Duration;

/// The time stamps to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The time of the last read.
    pub atim: SetTime,
    /// The time of the last change of the content.
    pub mtim: SetTime,
}

impl Times {
    pub(super) fn to_host(self) -> Timestamps {
        Timestamps { last_access: self.atim.to_host(), last_modification: self.mtim.to_host() }
    }
}

/// What becomes of one time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// It is left unchanged.
    Keep,
    /// It becomes the time of the host's clock.
    Now,
    /// It becomes this many nanoseconds since 1970.
    At(u64),
}

impl SetTime {
    fn to_host(self) -> Timespec {
        match self {
            Self::Keep => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            Self::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
            Self::At(ns) => {
                let time = Duration::from_nanos(ns);
                Timespec {
                    // 2^64 ns are 584 years, far below the limit of an i64.
                    tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: time.subsec_nanos().into(),
                }
            }
        }
    }

    pub(super) fn to_cap(self) -> Option<SystemTimeSpec> {
        match self {
            Self::Keep => None,
            Self::Now => Some(SystemTimeSpec::SymbolicNow),
            Self::At(ns) => {
                let time = std::time::UNIX_EPOCH + Duration::from_nanos(ns);
                Some(SystemTimeSpec::Absolute(SystemTime::from_std(time)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_split_into_seconds_and_rest() {
        let host = SetTime::At(5_000_000_007).to_host();
        assert_eq!((host.tv_sec, host.tv_nsec), (5, 7));
        let host = SetTime::At(u64::MAX).to_host();
        assert_eq!((host.tv_sec, host.tv_nsec), (18_446_744_073, 709_551_615));
    }

    #[test]
    fn keep_and_now_are_not_times() {
        assert_eq!(SetTime::Keep.to_host().tv_nsec, UTIME_OMIT);
        assert_eq!(SetTime::Now.to_host().tv_nsec, UTIME_NOW);
        assert!(SetTime::Keep.to_cap().is_none());
    }
}
