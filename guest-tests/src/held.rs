//! What the command's process holds of its operating system, counted by Linux.

use crate::Running;
use anyhow::{Context, Result, ensure};
use std::fs::{read_dir, read_to_string};
use std::time::{Duration, Instant};

/// How long what has ended may take to be given back on a machine with other work.
const WAIT_TIMEOUT: Duration = Duration::from_secs(180);

/// What the host has for itself, some of it from when it is first needed, is no more than these; others are idle, and it
/// keeps them for a moment.
const FEW_THREADS: usize = 12;

/// Threads that live on make what they need when they first need it, such as a descriptor by which they are woken. Rounds
/// that leave one each are more.
const FEW_DESCRIPTORS: usize = 6;

/// What the host holds at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Its open descriptors.
    pub descriptors: usize,
    /// Its threads.
    pub threads: usize,
    /// Its memory, in KiB.
    pub kib: u64,
}

impl Running {
    /// How many threads it has.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn threads(&self) -> Result<usize> {
        Ok(read_dir(format!("/proc/{}/task", self.id()))?.count())
    }

    /// How much of its memory is in use, in KiB.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().next().context("no number")?.parse()?)
    }
}

impl Held {
    /// What `host` holds now.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn by(host: &Running) -> Result<Self> {
        Ok(Self { descriptors: host.descriptors()?, threads: host.threads()?, kib: host.resident_kib()? })
    }

    /// The same with as many threads as there may be when nothing goes on, whatever was going on.
    #[must_use]
    pub fn at_rest(self) -> Self {
        Self { threads: FEW_THREADS, ..self }
    }

    /// Any amount but so many threads.
    #[must_use]
    pub fn of_threads(threads: usize) -> Self {
        Self { descriptors: usize::MAX, threads, kib: u64::MAX / 2 }
    }

    /// Waits until `host` holds no more than this, but for a few descriptors, and for what an allocator keeps of memory: a
    /// quarter and 16 MiB.
    ///
    /// # Errors
    ///
    /// When it still holds more after minutes.
    pub fn is_held_again(self, host: &Running) -> Result<()> {
        let begun = Instant::now();
        loop {
            let now = Self::by(host)?;
            let is_back = now.descriptors <= self.descriptors.saturating_add(FEW_DESCRIPTORS)
                && now.threads <= self.threads
                && now.kib <= self.kib + self.kib / 4 + 16 * 1024;
            if is_back {
                return Ok(());
            }
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "{self:?} before, {now:?} after: {}", host.stderr());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
