//! How much processor time a guest has used, where that is limited.
//!
//! What counts is the processor time of the threads that poll the guest, while they do:
//! its own code, and the calls of the host that it makes. A thread that sleeps in a call
//! uses none.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::Process;
use crate::error::Terminated;
use crate::io::thread_time_ns;

thread_local! {
    /// Up to when this thread's time is counted, in nanoseconds of its own clock, while it
    /// polls a guest whose time is limited.
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The processor time of one guest.
#[derive(Debug)]
pub(crate) struct CpuTime {
    limit: Duration,
    used_ns: AtomicU64,
    /// How many threads poll it now.
    polling: AtomicU32,
}

impl CpuTime {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, used_ns: AtomicU64::new(0), polling: AtomicU32::new(0) }
    }

    /// How much the guest may use.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// How much is left of it. What threads have used since they last looked is not counted
    /// yet.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(Duration::from_nanos(self.used_ns.load(Relaxed)))
    }

    /// How many threads run the guest's code, or a call of it.
    pub(crate) fn polling(&self) -> u32 {
        self.polling.load(Relaxed)
    }

    /// Counts what the calling thread has used since it last looked, where it polls the
    /// guest.
    pub(super) fn count(&self) {
        if let Some(before) = COUNTED.get() {
            let now = thread_time_ns();
            COUNTED.set(Some(now));
            self.used_ns.fetch_add(now.saturating_sub(before), Relaxed);
        }
    }

    /// Counts what the calling thread uses for `work`.
    pub(super) fn counted<T>(&self, work: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a CpuTime, Option<u64>);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.count();
                self.0.polling.fetch_sub(1, Relaxed);
                COUNTED.set(self.1);
            }
        }
        self.polling.fetch_add(1, Relaxed);
        let _end = End(self, COUNTED.replace(Some(thread_time_ns())));
        work()
    }

    /// Does not count what the calling thread uses for `wait`, in a call that is
    /// [counted](Self::counted).
    pub(super) fn uncounted<T>(&self, wait: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a CpuTime);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.polling.fetch_add(1, Relaxed);
                COUNTED.set(Some(thread_time_ns()));
            }
        }
        self.count();
        if COUNTED.take().is_none() {
            return wait();
        }
        self.polling.fetch_sub(1, Relaxed);
        let _end = End(self);
        wait()
    }
}

impl Process {
    /// The processor time that it has used, where that is limited.
    pub(crate) fn cpu_time(&self) -> Option<&CpuTime> {
        self.cpu_time.as_deref()
    }

    /// Counts what the calling thread has used, and ends the guest where that is too much.
    pub(crate) fn check_cpu_time(&self) {
        if let Some(time) = &self.cpu_time {
            time.count();
            if time.left().is_zero() {
                self.family.terminate(Terminated::CpuTime(time.limit()));
            }
        }
    }

    /// Polls the guest by `poll`, and counts what that uses.
    pub(crate) fn counted<T>(&self, poll: impl FnOnce() -> T) -> T {
        let Some(time) = &self.cpu_time else { return poll() };
        let polled = time.counted(poll);
        self.check_cpu_time();
        polled
    }

    /// Does not count what `wait` uses, but for what is [counted](Self::counted) in it.
    pub(crate) fn uncounted<T>(&self, wait: impl FnOnce() -> T) -> T {
        match &self.cpu_time {
            Some(time) => time.uncounted(wait),
            None => wait(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::thread_time;
    use std::time::Instant;

    /// Computes for 20 ms of the thread's own time.
    fn compute() {
        let begun = thread_time();
        while thread_time() - begun < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn only_what_is_polled_counts_and_sleep_does_not() {
        let time = CpuTime::new(Duration::from_secs(1));
        compute();
        assert_eq!(time.left(), time.limit());
        let begun = Instant::now();
        time.counted(|| {
            assert_eq!(time.polling(), 1);
            compute();
            time.count();
            compute();
            std::thread::sleep(Duration::from_millis(50));
        });
        let used = time.limit() - time.left();
        assert!(used >= Duration::from_millis(40) && used < begun.elapsed(), "{used:?}");
        assert_eq!(time.polling(), 0);
        time.count();
        assert_eq!(used, time.limit() - time.left());
    }

    #[test]
    fn a_wait_in_what_is_counted_does_not_count() {
        let time = CpuTime::new(Duration::from_secs(1));
        time.counted(|| {
            time.uncounted(|| {
                assert_eq!(time.polling(), 0);
                let before = time.left();
                compute();
                assert_eq!(time.left(), before);
                // The half of a call that waits is polled there.
                time.counted(compute);
                assert!(before - time.left() >= Duration::from_millis(20));
            });
            assert_eq!(time.polling(), 1);
            compute();
        });
        assert!(time.limit() - time.left() >= Duration::from_millis(40));
        // Outside of what is counted there is nothing to leave out.
        time.uncounted(compute);
        assert_eq!(time.polling(), 0);
    }
}
