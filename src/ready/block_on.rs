//! Driving a future on a thread that may stop.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::error::Errno;
use crate::socket::own_reactor;

/// Wakes a thread that waits below.
struct Unpark {
    thread: Thread,
    /// It has something to look at. The thread's own memory of that is not enough: a
    /// guest that waits in `memory.atomic.wait` in between parks too, and uses it up.
    is_due: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Release);
        self.thread.unpark();
    }
}

/// Runs `future` to its end on this thread, which stops while nothing is ready.
///
/// For embedders without an executor. It works inside a tokio runtime too, where
/// tokio's own blocking calls panic: the sockets then live on a reactor thread of
/// ours, so that stopping one of the caller's threads never stops its own events.
///
/// # Errors
///
/// `EAGAIN` where the host can't start the thread of that reactor.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Errno> {
    thread_local! {
        static HERE: (Arc<Unpark>, Waker) = {
            let unpark = Arc::new(Unpark { thread: thread::current(), is_due: AtomicBool::new(false) });
            (Arc::clone(&unpark), Waker::from(unpark))
        };
    }
    let reactor = own_reactor()?;
    let _inside = reactor.enter();
    // A task of the caller's runtime has a budget, and what is over it waits for the
    // scheduler, which does not run while this thread is ours.
    let mut future = pin!(tokio::task::unconstrained(future));
    HERE.with(|(unpark, waker)| {
        let mut context = Context::from_waker(waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return Ok(output),
                // A wake-up between the poll and here makes this return at once.
                Poll::Pending => {
                    while !unpark.is_due.swap(false, Acquire) {
                        thread::park();
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_waits_outside_of_a_runtime() {
        assert_eq!(block_on(crate::ready::sleep(Duration::from_millis(1))), Ok(()));
    }

    #[tokio::test]
    async fn it_waits_inside_a_runtime_of_one_thread() {
        assert_eq!(block_on(crate::ready::sleep(Duration::from_millis(1))), Ok(()));
    }

    #[tokio::test]
    async fn a_long_run_inside_a_runtime_ends() {
        let run = block_on(async {
            for _ in 0..1000 {
                tokio::task::consume_budget().await;
                crate::ready::give_way().await;
            }
        });
        assert_eq!(run, Ok(()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn it_waits_inside_a_runtime_of_many_threads() {
        assert_eq!(block_on(crate::ready::sleep(Duration::from_millis(1))), Ok(()));
    }
}
