//! Sleeping for as long as the guest asked, to the nanosecond.
//!
//! tokio's own timers count milliseconds, and a runtime may have none. On Linux a limit is a
//! timer descriptor of the kernel instead; elsewhere, and where there is no descriptor left, it
//! is a thread of the host's that sleeps.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::error::Errno;

/// Waits for `duration`; never less.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
pub async fn sleep(duration: Duration) {
    if duration.is_zero() {
        return;
    }
    match Timer::new() {
        Ok(timer) if timer.arm(duration).is_ok() => timer.expired().await,
        // Without a descriptor for a timer, the clock thread still waits long enough.
        _ => match Instant::now().checked_add(duration) {
            Some(deadline) => coarse_until(deadline).await,
            None => std::future::pending().await,
        },
    }
}

/// Waits until `deadline` without a descriptor; never less.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
pub(crate) async fn coarse_until(deadline: Instant) {
    if super::clock::until(deadline).await.is_err() {
        // A host that has neither a descriptor nor a thread left.
        while Instant::now() < deadline {
            yield_now().await;
        }
    }
}

/// Lets other tasks run: the reactor, and whatever shares the thread.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
pub async fn yield_now() {
    // tokio's own waits for its scheduler, which never comes where a blocking embedder
    // has stopped it.
    let mut has_waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub use kernel::Timer;

mod kernel {
    use std::sync::Arc;
    use std::time::Duration;

    use super::Errno;
    use crate::io::{AsyncFd, Events};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// A timer that can be armed again and again.
    #[derive(Debug)]
    pub struct Timer {
        io: Arc<AsyncFd>,
    }

    impl Timer {
        /// A timer that is not armed.
        ///
        /// # Errors
        ///
        /// `ENFILE`, `ENOMEM`: what the host reports.
        pub fn new() -> Result<Self, Errno> {
            let fd =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            let io = AsyncFd::new(Arc::new(fd))?;
            Ok(Self { io })
        }

        /// Expires once, after `after`; an earlier setting is void.
        ///
        /// # Errors
        ///
        /// What the host reports.
        pub fn arm(&self, after: Duration) -> Result<(), Errno> {
            // All zero would disarm the timer.
            let after = after.max(Duration::from_nanos(1));
            // A time beyond the kernel's range is as good as forever.
            let farthest = Duration::from_secs(i64::MAX.unsigned_abs() / 4);
            let value = Timespec::try_from(after.min(farthest)).map_err(|_| Errno::EINVAL)?;
            let spec = Itimerspec { it_interval: Timespec::default(), it_value: value };
            timerfd_settime(self.io.host_fd(), TimerfdTimerFlags::empty(), &spec)?;
            Ok(())
        }

        /// Waits until the timer has expired since it was last armed.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost when the future is dropped.
        pub async fn expired(&self) {
            loop {
                self.io.clear_ready(Events::READ);
                let mut count = [0; 8];
                match rustix::io::read(self.io.host_fd(), &mut count) {
                    Err(rustix::io::Errno::AGAIN) => {}
                    _ => return,
                }
                if self.io.ready(Events::READ).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_is_never_short() {
        for nanoseconds in [1, 1_000, 250_000, 1_500_000] {
            let asked = Duration::from_nanos(nanoseconds);
            let start = Instant::now();
            sleep(asked).await;
            assert!(start.elapsed() >= asked);
        }
    }

    /// Of a host without descriptors for timers, in a runtime without a clock and outside.
    #[test]
    fn the_coarse_clock_is_nobody_elses() -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        for _ in 0..2 {
            let deadline = Instant::now() + Duration::from_millis(3);
            runtime.block_on(coarse_until(deadline));
            assert!(Instant::now() >= deadline);
        }
        let deadline = Instant::now() + Duration::from_millis(3);
        assert!(crate::io::block_on(coarse_until(deadline)).is_ok());
        assert!(Instant::now() >= deadline);
        Ok(())
    }

    #[tokio::test]
    async fn a_timer_forgets_its_earlier_setting() -> Result<(), Errno> {
        let timer = Timer::new()?;
        timer.arm(Duration::from_nanos(1))?;
        timer.expired().await;
        let asked = Duration::from_millis(5);
        let start = Instant::now();
        timer.arm(asked)?;
        timer.expired().await;
        assert!(start.elapsed() >= asked);
        Ok(())
    }
}
