//! What a guest has written and the host still delivers: its end waits for that a moment.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use crate::io::Watchers;
use crate::ready::timeout;

/// The deliveries of a guest that are not done.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pending: AtomicUsize,
    done: Watchers,
}

/// One of them, until this is dropped.
pub(crate) struct Delivery(Arc<Deliveries>);

impl Deliveries {
    /// One more.
    pub(crate) fn begin(self: &Arc<Self>) -> Delivery {
        self.pending.fetch_add(1, SeqCst);
        Delivery(Arc::clone(self))
    }

    /// Waits until all are done, for `limit` at most.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn done(&self, limit: Duration) {
        let done = poll_fn(|context| {
            // First it is watched, then asked: no end lies between.
            self.done.add(context.waker());
            if self.pending.load(SeqCst) == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        // What is left then is lost with the process.
        let _in_time = timeout(Some(limit), done).await;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.0.pending.fetch_sub(1, SeqCst) == 1 {
            self.0.done.wake_all();
        }
    }
}
