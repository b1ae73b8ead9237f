//! What one instance uses: bytes that went through its sockets, and processor time of its threads.
//!
//! Each instance counts for itself, so that workers do not share a cache line at every receive. What
//! has ended is added up in the service.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::thread::gettid;

use super::report::unpoisoned;
use crate::io::thread_time;

/// What an instance has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) cpu_time: Duration,
}

impl Used {
    fn and(self, other: Self) -> Self {
        Self {
            received_bytes: self.received_bytes.saturating_add(other.received_bytes),
            sent_bytes: self.sent_bytes.saturating_add(other.sent_bytes),
            cpu_time: self.cpu_time.saturating_add(other.cpu_time),
        }
    }
}

/// Counts what one instance uses. In cache lines of its own: those of several workers are made one after the other, and each
/// is written to at every receive and send.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Usage {
    received: AtomicU64,
    sent: AtomicU64,
    threads: Mutex<ThreadTimes>,
}

/// The threads of the host that run the instance.
#[derive(Debug, Default)]
struct ThreadTimes {
    /// As the kernel numbers them, and what each had used before: one is kept for the next thread of a guest.
    live: Vec<(i32, Duration)>,
    /// What those have used that have ended.
    ended: Duration,
}

impl Usage {
    /// So many bytes came in by a socket.
    #[inline]
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(0), Relaxed);
    }

    /// So many bytes went out by a socket.
    #[inline]
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(0), Relaxed);
    }

    /// The calling thread runs the instance and nothing else, until the result is dropped.
    pub(crate) fn own_thread(self: &Arc<Self>) -> OwnThread {
        let (tid, begun) = (gettid().as_raw_nonzero().get(), thread_time());
        unpoisoned(&self.threads).live.push((tid, begun));
        OwnThread { usage: Arc::clone(self), tid, begun }
    }

    /// What it has used so far.
    pub(crate) fn read(&self) -> Used {
        let (live, ended) = {
            let threads = unpoisoned(&self.threads);
            (threads.live.clone(), threads.ended)
        };
        Used {
            received_bytes: self.received.load(Relaxed),
            sent_bytes: self.sent.load(Relaxed),
            cpu_time: live
                .into_iter()
                .map(|(tid, begun)| time_of(tid).saturating_sub(begun))
                .fold(ended, Duration::saturating_add),
        }
    }
}

/// A thread that runs an instance.
pub(crate) struct OwnThread {
    usage: Arc<Usage>,
    tid: i32,
    begun: Duration,
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        let mut threads = unpoisoned(&self.usage.threads);
        threads.live.retain(|(tid, _)| *tid != self.tid);
        threads.ended = threads.ended.saturating_add(thread_time().saturating_sub(self.begun));
    }
}

/// The processor time of a thread of this process; none where the kernel does not say.
fn time_of(tid: i32) -> Duration {
    // "1) time spent on the cpu (in nanoseconds)" - Documentation/scheduler/sched-stats.rst
    let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|first| first.parse().ok());
    nanos.map_or(Duration::ZERO, Duration::from_nanos)
}

/// What all instances of a service use.
#[derive(Debug, Default)]
pub(super) struct UsageOfAll(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    live: HashMap<u64, Arc<Usage>>,
    ended: Used,
}

impl UsageOfAll {
    /// That of a new instance with this number.
    pub(super) fn begin(&self, instance: u64) -> Arc<Usage> {
        let usage = Arc::<Usage>::default();
        unpoisoned(&self.0).live.insert(instance, Arc::clone(&usage));
        usage
    }

    /// The instance is gone, and counts nothing any more.
    pub(super) fn end(&self, instance: u64) {
        let mut all = unpoisoned(&self.0);
        if let Some(usage) = all.live.remove(&instance) {
            all.ended = all.ended.and(usage.read());
        }
    }

    /// What all have used so far, those that are gone included.
    pub(super) fn read(&self) -> Used {
        let all = unpoisoned(&self.0);
        all.live.values().map(|usage| usage.read()).fold(all.ended, Used::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a thread works, on its own clock.
    const SPIN: Duration = Duration::from_millis(20);

    #[test]
    fn what_has_ended_still_counts() {
        let all = UsageOfAll::default();
        let (one, two) = (all.begin(1), all.begin(2));
        one.received(3);
        two.received(4);
        two.sent(5);
        all.end(1);
        let used = all.read();
        assert_eq!((used.received_bytes, used.sent_bytes), (7, 5));
        assert_eq!(two.read().received_bytes, 4);
    }

    fn spin() {
        let begun = thread_time();
        while thread_time().saturating_sub(begun) < SPIN {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn the_time_of_a_thread_counts_while_it_runs_and_after() {
        let usage = Arc::<Usage>::default();
        let thread = {
            let usage = Arc::clone(&usage);
            std::thread::spawn(move || {
                let _here = usage.own_thread();
                spin();
            })
        };
        assert!(thread.join().is_ok());
        assert!(usage.read().cpu_time >= SPIN, "{usage:?}");
        assert!(unpoisoned(&usage.threads).live.is_empty());
    }

    #[test]
    fn what_a_thread_has_done_before_is_not_counted() {
        let usage = Arc::<Usage>::default();
        let thread = {
            let usage = Arc::clone(&usage);
            std::thread::spawn(move || {
                spin();
                let here = usage.own_thread();
                let live = usage.read().cpu_time;
                drop(here);
                live
            })
        };
        assert!(thread.join().is_ok_and(|live| live < SPIN), "{usage:?}");
        assert!(usage.read().cpu_time < SPIN, "{usage:?}");
    }
}
