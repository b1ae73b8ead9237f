//! Driving a future on a thread that may stop.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::error::Errno;
use crate::socket::own_reactor;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
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
        static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
    }
    let reactor = own_reactor()?;
    let _inside = reactor.enter();
    // A task of the caller's runtime has a budget, and what is over it waits for the
    // scheduler, which does not run while this thread is ours.
    let mut future = pin!(tokio::task::unconstrained(future));
    WAKER.with(|waker| {
        let mut context = Context::from_waker(waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return Ok(output),
                // A wake-up between the poll and here makes this return at once.
                Poll::Pending => thread::park(),
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
