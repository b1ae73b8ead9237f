//! Parks a thread at one descriptor, without a future.
//!
//! The waker is that of [`park_on`](super::park_on) on this thread. The caller hands it to whatever is to end the sleep,
//! looks whether any of that has happened already, and parks then: a wake-up since is not lost.

use std::os::fd::BorrowedFd;
use std::task::Waker;

use super::Events;
use super::block_on::HERE;

/// Calls `run` with what wakes this thread.
pub(crate) fn with_waker<T>(run: impl FnOnce(&Waker) -> T) -> T {
    HERE.with(|(_, waker)| run(waker))
}

/// Parks this thread until `fd` is ready for `mask`; false where it was woken before, or may not park.
pub(crate) fn park_at(fd: BorrowedFd<'_>, mask: Events) -> bool {
    HERE.with(|(parker, _)| parker.park_by(|wake_fd| wake_fd.poll_one(fd, mask)).ok().flatten() == Some(true))
}
