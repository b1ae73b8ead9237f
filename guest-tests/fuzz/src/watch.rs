//! What goes wrong outside of a call: panics, guests that do not come back, and what is left.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a guest may hold its thread without coming back: it is busy for milliseconds, and
/// a machine may be slow.
const HANG: Duration = Duration::from_secs(60);

/// How often it is asked whether one does.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

/// How long what a guest had may take to be gone.
const SETTLING: Duration = Duration::from_secs(10);

static PANICS: AtomicU64 = AtomicU64::new(0);
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts panics of all threads from now on.
pub(crate) fn count_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        *lock(&LAST_PANIC) = format!("panic at {place}");
        PANICS.fetch_add(1, Relaxed);
        print(info);
    }));
}

pub(crate) fn panics() -> u64 {
    PANICS.load(Relaxed)
}

pub(crate) fn last_panic() -> String {
    lock(&LAST_PANIC).clone()
}

/// How long something may take, looked at now and then. A process that gets no processor looks
/// rarely, and what it waits for gets none either: so the time is over only after as many looks
/// as a quarter of it would have had.
#[derive(Clone)]
pub(crate) struct Patience {
    begun: Instant,
    limit: Duration,
    looks: u32,
    least_looks: u32,
}

impl Patience {
    /// For `limit`, where one look follows another after `interval`.
    pub(crate) fn new(limit: Duration, interval: Duration) -> Self {
        let looks = limit.as_micros() / interval.as_micros().max(1) / 4;
        Self { begun: Instant::now(), limit, looks: 0, least_looks: u32::try_from(looks).unwrap_or(u32::MAX) }
    }

    /// Counts a look; tells whether the time is over.
    pub(crate) fn is_over(&mut self) -> bool {
        self.looks = self.looks.saturating_add(1);
        self.looks > self.least_looks && self.begun.elapsed() > self.limit
    }
}

/// What each job is at.
pub(crate) struct Jobs(Vec<Mutex<Option<(String, Patience)>>>);

impl Jobs {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| Mutex::new(None)).collect())
    }

    pub(crate) fn begin(&self, job: usize, command: String) {
        if let Some(slot) = self.0.get(job) {
            *lock(slot) = Some((command, Patience::new(HANG, LOOK)));
        }
    }

    pub(crate) fn end(&self, job: usize) {
        if let Some(slot) = self.0.get(job) {
            *lock(slot) = None;
        }
    }

    /// The guest that hangs, if one does. Asked each [`LOOK`].
    pub(crate) fn hanging(&self) -> Option<String> {
        let hangs = |slot: &Mutex<Option<(String, Patience)>>| {
            let mut job = lock(slot);
            let (command, patience) = job.as_mut()?;
            patience.is_over().then(|| command.clone())
        };
        self.0.iter().find_map(hangs)
    }
}

/// What the process holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holds {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// KiB.
    pub(crate) resident: u64,
}

impl Holds {
    pub(crate) fn now() -> Self {
        let count = |folder| fs::read_dir(folder).map_or(0, Iterator::count);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            resident: resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0),
        }
    }

    /// What is held once no more than `allowed` is, or after a while.
    pub(crate) fn settled(allowed: Option<Self>) -> Self {
        let Some(allowed) = allowed else { return Self::now() };
        let interval = Duration::from_millis(20);
        let mut patience = Patience::new(SETTLING, interval);
        loop {
            let now = Self::now();
            let is_settled = now.descriptors <= allowed.descriptors && now.threads <= allowed.threads;
            if is_settled || patience.is_over() {
                return now;
            }
            std::thread::sleep(interval);
        }
    }
}

/// Does this process have something below `folder` open, after a while still?
pub(crate) fn stays_open(folder: &Path) -> bool {
    let is_open = || {
        let fds = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path.starts_with(folder))
    };
    let interval = Duration::from_millis(1);
    let mut patience = Patience::new(SETTLING, interval);
    while is_open() {
        if patience.is_over() {
            return true;
        }
        std::thread::sleep(interval);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_alone_does_not_end_patience() {
        let mut patience = Patience::new(Duration::ZERO, Duration::from_millis(1));
        assert!(patience.is_over());
        let mut starved = Patience {
            begun: Instant::now() - Duration::from_secs(60),
            ..Patience::new(Duration::from_secs(4), Duration::from_secs(1))
        };
        assert!(!starved.is_over() && starved.is_over(), "one look is too few, and two are enough");
    }
}
