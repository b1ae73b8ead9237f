//! The process's descriptors, when there are too few.
//!
//! A host without a free descriptor takes no connection. The tasks that would take one wait here
//! until a socket is closed, and a queue whose guest has asked for its next connection goes first.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::sync::Notify;

use super::HostRuntime;

/// How long a task without descriptors waits at most: something other than a socket
/// may have released one.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Who waits for a descriptor.
#[derive(Debug)]
pub(crate) struct DescriptorPressure {
    waiting_tasks: AtomicUsize,
    freed: Notify,
    /// How many queues have a connection that their guest could not accept.
    demands: AtomicUsize,
}

impl DescriptorPressure {
    pub(super) const fn new() -> Self {
        Self { waiting_tasks: AtomicUsize::new(0), freed: Notify::const_new(), demands: AtomicUsize::new(0) }
    }

    /// Waits until a descriptor may be free.
    pub(crate) async fn wait(&self) {
        self.waiting_tasks.fetch_add(1, SeqCst);
        let _until_done = DemandGuard(&self.waiting_tasks);
        // Ended by either; a descriptor that was freed just before costs one timeout.
        let _either = tokio::time::timeout(RETRY_INTERVAL, self.freed.notified()).await;
    }

    /// As [`wait`](Self::wait), for a guest's own thread and for tasks of any runtime.
    #[cfg(feature = "components")]
    pub(crate) async fn wait_anywhere(&self) {
        self.waiting_tasks.fetch_add(1, SeqCst);
        let _until_done = DemandGuard(&self.waiting_tasks);
        tokio::select! {
            () = self.freed.notified() => {}
            () = super::sleep(RETRY_INTERVAL) => {}
        }
    }

    /// The next descriptor is for one queue, as long as the result lives.
    pub(crate) fn demand(&'static self) -> DescriptorDemand {
        self.demands.fetch_add(1, SeqCst);
        DescriptorDemand(&self.demands)
    }

    /// Is the next descriptor for one queue?
    pub(crate) fn has_demand(&self) -> bool {
        self.demands.load(SeqCst) > 0
    }
}

struct DemandGuard<'a>(&'a AtomicUsize);

impl Drop for DemandGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// One queue with a connection that its guest could not accept: the others leave it the next
/// descriptor.
pub(crate) struct DescriptorDemand(&'static AtomicUsize);

impl Drop for DescriptorDemand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Wakes the waiting tasks when it is dropped, because a descriptor is free. The last
/// field of what closes one.
#[derive(Debug)]
pub(crate) struct DescriptorFreed;

impl Drop for DescriptorFreed {
    #[inline]
    fn drop(&mut self) {
        let descriptors = &HostRuntime::of_process().descriptors;
        if descriptors.waiting_tasks.load(SeqCst) > 0 {
            descriptors.freed.notify_waiters();
        }
    }
}
