//! A descriptor by which a thread that sleeps at descriptors is woken.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};

use super::Events;
use crate::error::Errno;

/// A descriptor that a thread watches by itself, and what for.
pub(super) type PollInterest = (Arc<OwnedFd>, Events);

/// One thread polls it, any thread may wake it.
pub(super) struct WakeFd(OwnedFd);

impl WakeFd {
    /// One that has not been woken yet.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`; `ENOTSUP` where the host has none.
    pub(super) fn new() -> Result<Self, Errno> {
        new_event_fd().map(Self)
    }

    /// Ends the poll, the next one if there is none now.
    pub(super) fn wake(&self) {
        // A full counter is a wake-up already.
        let _full = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Blocks the thread until one of `watched` is ready, or it is woken. Returns whether it was woken.
    ///
    /// # Errors
    ///
    /// Those of poll(2): then it did not stop. An interruption by a signal is none.
    pub(super) fn poll(&self, watched: &[PollInterest]) -> Result<bool, Errno> {
        let mut asked: Vec<PollFd<'_>> = Vec::with_capacity(watched.len() + 1);
        asked.push(PollFd::new(&self.0, PollFlags::IN));
        asked.extend(watched.iter().map(|(fd, mask)| PollFd::new(fd, mask.to_poll())));
        match rustix::event::poll(&mut asked, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(asked.first().is_some_and(|own| !own.revents().is_empty()))
    }

    /// Resets the wake-up.
    pub(super) fn reset(&self) {
        let _rung = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

fn new_event_fd() -> Result<OwnedFd, Errno> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}
