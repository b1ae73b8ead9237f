//! A descriptor by which a thread that sleeps at descriptors is woken.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};

use super::Events;
use crate::error::Errno;

/// A descriptor that a thread watches by itself, and what for.
pub(super) type PollInterest = (Arc<OwnedFd>, Events);

/// What the kernel reported of one that was watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct PollAnswer {
    pub(super) fd: RawFd,
    /// What it was asked about.
    pub(super) mask: Events,
    pub(super) found: PollFlags,
}

/// One thread polls it, any thread may wake it.
pub(super) struct WakeFd {
    fd: OwnedFd,
}

impl WakeFd {
    /// One that has not been woken yet.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`; `ENOTSUP` where the host has none.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self { fd: new_event_fd()? })
    }

    /// Ends the poll, the next one if there is none now.
    pub(super) fn wake(&self) {
        // A full counter is a wake-up already.
        let _full = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
    }

    /// Blocks the thread until one of `watched` is ready, or it is woken. Returns
    /// what the kernel reports of each, in that order, or nothing after an interruption by a signal.
    ///
    /// # Errors
    ///
    /// Those of poll(2): then it did not stop.
    pub(super) fn poll(&self, watched: &[PollInterest]) -> Result<Vec<PollAnswer>, Errno> {
        let mut asked: Vec<PollFd<'_>> = Vec::with_capacity(watched.len() + 1);
        asked.push(PollFd::new(&self.fd, PollFlags::IN));
        asked.extend(watched.iter().map(|(fd, mask)| PollFd::new(fd, mask.to_poll())));
        let is_told = match rustix::event::poll(&mut asked, None) {
            Ok(_) => true,
            Err(rustix::io::Errno::INTR) => false,
            Err(errno) => return Err(errno.into()),
        };
        let others = asked.get(1..).filter(|_| is_told).unwrap_or_default().iter().zip(watched);
        let answer = |(asked, (fd, mask)): (&PollFd<'_>, &PollInterest)| PollAnswer {
            fd: fd.as_raw_fd(),
            mask: *mask,
            found: asked.revents(),
        };
        Ok(others.map(answer).collect())
    }

    /// As [`poll`](Self::poll), of one descriptor: does the kernel report anything of it?
    ///
    /// # Errors
    ///
    /// Those of poll(2), an interruption among them.
    pub(super) fn poll_one(&self, fd: BorrowedFd<'_>, mask: Events) -> Result<bool, Errno> {
        let mut asked = [PollFd::new(&self.fd, PollFlags::IN), PollFd::from_borrowed_fd(fd, mask.to_poll())];
        rustix::event::poll(&mut asked, None)?;
        let [_, asked] = asked;
        Ok(!asked.revents().is_empty())
    }

    /// Resets the wake-up, which is there or about to be.
    pub(super) fn reset(&self) {
        while rustix::io::read(&self.fd, &mut [0; 8]) == Err(rustix::io::Errno::AGAIN) {
            let _rings = rustix::event::poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], None);
        }
    }
}

fn new_event_fd() -> Result<OwnedFd, Errno> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}
