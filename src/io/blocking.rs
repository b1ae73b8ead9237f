//! Runs blocking calls away from the threads that must not block.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use super::start_thread;
use crate::error::Errno;

/// What a thread is called while it blocks; Linux has room for 15 bytes.
const NAME: &str = "wasock-blocking";

/// Threads for the calls of one guest that block.
///
/// They are bounded in number, and begin when they are needed. Further calls wait in the
/// order in which they were made.
#[derive(Debug)]
pub struct BlockingPool {
    turns: Arc<Semaphore>,
}

impl BlockingPool {
    /// At most `threads` at once, and one at least.
    pub fn new(threads: u32) -> Self {
        let threads = usize::try_from(threads).unwrap_or(usize::MAX);
        Self { turns: Arc::new(Semaphore::new(threads.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// Runs `call` on a thread that may block.
    ///
    /// # Cancel safety
    ///
    /// A queued call is not made if the future is dropped. A call that has begun continues in the
    /// background: its thread stays in the pool until the operating system returns from the call.
    /// Its result is dropped.
    ///
    /// # Errors
    ///
    /// Those of `call`; `EAGAIN` where the host can't start a thread; `EIO` where the call
    /// panics, which ends its thread and nothing else.
    pub async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Errno::ECANCELED)?;
        let (sender, receiver) = oneshot::channel();
        start_thread(NAME.to_owned(), move || {
            let done = call();
            // The place is free before the result is seen.
            drop(turn);
            let _abandoned = sender.send(done);
        })?;
        receiver.await.unwrap_or(Err(Errno::EIO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;
    use tokio::time::timeout;

    const MOMENT: Duration = Duration::from_millis(50);
    const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

    /// A call that lasts until its sender is dropped.
    fn held() -> (mpsc::Sender<()>, impl FnOnce() -> Result<(), Errno> + Send + 'static) {
        let (release, held) = mpsc::channel::<()>();
        (release, move || {
            let _released = held.recv_timeout(WAIT_TIMEOUT);
            Ok(())
        })
    }

    #[tokio::test]
    async fn a_call_beyond_the_bound_waits_for_its_turn() {
        let pool = BlockingPool::new(2);
        let ((one, first), (two, second)) = (held(), held());
        let (mut first, mut second) = (Box::pin(pool.run(first)), Box::pin(pool.run(second)));
        assert!(timeout(MOMENT, first.as_mut()).await.is_err());
        assert!(timeout(MOMENT, second.as_mut()).await.is_err());
        let mut third = Box::pin(pool.run(|| Ok(3)));
        assert!(timeout(MOMENT, third.as_mut()).await.is_err(), "a third thread ran");
        drop(one);
        assert_eq!(timeout(WAIT_TIMEOUT, third).await, Ok(Ok(3)));
        drop(two);
        assert_eq!(timeout(WAIT_TIMEOUT, second).await, Ok(Ok(())));
        assert_eq!(timeout(WAIT_TIMEOUT, first).await, Ok(Ok(())));
    }

    #[tokio::test]
    async fn an_abandoned_call_keeps_its_own_turn_and_no_other() {
        let pool = BlockingPool::new(1);
        let (release, first) = held();
        assert!(timeout(MOMENT, pool.run(first)).await.is_err());
        // Dropped while queued: never made.
        let (sender, made) = mpsc::channel();
        let second = pool.run(move || sender.send(()).map_err(|_| Errno::EPIPE));
        assert!(timeout(MOMENT, second).await.is_err());
        drop(release);
        assert_eq!(timeout(WAIT_TIMEOUT, pool.run(|| Ok(3))).await, Ok(Ok(3)));
        assert!(made.try_recv().is_err());
    }

    #[tokio::test]
    async fn one_pool_takes_no_thread_of_another() {
        let (one, other) = (BlockingPool::new(1), BlockingPool::new(1));
        let (_release, first) = held();
        assert!(timeout(MOMENT, one.run(first)).await.is_err());
        assert_eq!(timeout(WAIT_TIMEOUT, other.run(|| Ok(1))).await, Ok(Ok(1)));
    }

    #[test]
    fn the_end_of_a_runtime_waits_for_no_call() -> std::io::Result<()> {
        let pool = BlockingPool::new(1);
        let (release, first) = held();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        assert!(runtime.block_on(async { timeout(MOMENT, pool.run(first)).await }).is_err());
        let begun = std::time::Instant::now();
        drop(runtime);
        assert!(begun.elapsed() < WAIT_TIMEOUT / 2, "it waited for the call");
        drop(release);
        Ok(())
    }

    #[tokio::test]
    async fn a_panic_ends_its_call_alone() {
        let pool = BlockingPool::new(1);
        let panics = || std::panic::resume_unwind(Box::new(()));
        assert_eq!(timeout(WAIT_TIMEOUT, pool.run::<()>(panics)).await, Ok(Err(Errno::EIO)));
        assert_eq!(timeout(WAIT_TIMEOUT, pool.run(|| Ok(1))).await, Ok(Ok(1)));
    }
}
