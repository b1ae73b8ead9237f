//! Parks a thread at descriptors, without a future.
//!
//! The waker is that of [`park_on`](super::park_on) on this thread. The caller hands it to whatever is to end the sleep,
//! looks whether any of that has happened already, and parks then: a wake-up since is not lost.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::task::Waker;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event};

use super::Events;
use super::block_on::HERE;
use crate::error::Errno;

/// Calls `run` with what wakes this thread.
pub(crate) fn with_waker<T>(run: impl FnOnce(&Waker) -> T) -> T {
    HERE.with(|(_, waker)| run(waker))
}

/// Parks this thread until `fd` is ready for `mask`; false where it was woken before, or may not park.
pub(crate) fn park_at(fd: BorrowedFd<'_>, mask: Events) -> bool {
    HERE.with(|(parker, _)| parker.park_by(|wake_fd| wake_fd.poll_one(fd, mask)).ok().flatten() == Some(true))
}

/// Parks this thread by `sleep`, which the readability of the descriptor that it gets is to end. `None` where it was woken
/// before, or may not park.
pub(crate) fn park_by<T>(sleep: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>) -> Option<T> {
    HERE.with(|(parker, _)| parker.park_by(|wake_fd| sleep(wake_fd.fd())).ok().flatten())
}

/// Parks this thread in `epoll`, which has the number `number` in this process, until that has events, or for as long as
/// `limit` allows: then there are none. `None` where it was woken before, or may not park.
///
/// What wakes it is in that epoll from then on, for as long as the thread is there, and is reported with
/// [`WAKE_WORD`](super::WAKE_WORD).
pub(crate) fn park_in_epoll<'a>(
    epoll: BorrowedFd<'_>,
    number: u64,
    events: &'a mut [MaybeUninit<Event>],
    limit: Option<&Timespec>,
) -> Option<&'a mut [Event]> {
    HERE.with(|(parker, _)| {
        let parked = parker.park_by(|wake_fd| {
            wake_fd.join(epoll, number)?;
            let (events, _) = epoll::wait(epoll, events, limit)?;
            Ok(events)
        });
        parked.ok().flatten()
    })
}
