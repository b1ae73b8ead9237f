//! What this process uses, as the kernel says it.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// What a process uses. What the kernel does not say is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcessStatus {
    pub(super) cpu_time: Duration,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
    pub(super) resident_bytes: u64,
    /// Since 1970.
    pub(super) started: Duration,
}

impl ProcessStatus {
    /// Now; it began at `started`, since 1970.
    pub(super) fn read(started: Duration) -> Self {
        let count = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            cpu_time: cpu_time().unwrap_or_default(),
            open_fds: u64::try_from(count).unwrap_or(u64::MAX),
            max_fds: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            resident_bytes: resident_bytes().unwrap_or(0),
            started,
        }
    }
}

/// That of its threads, those that have ended included.
fn cpu_time() -> Option<Duration> {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(usage.tv_sec).ok()?, u32::try_from(usage.tv_nsec).ok()?);
    Some(Duration::new(seconds, nanos))
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}
