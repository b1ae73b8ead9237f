//! A descriptor by which a thread that sleeps at descriptors is woken.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::epoll::{self, EventData, EventFlags};
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
    /// No other one of this process has it.
    number: u32,
    /// The numbers of the epolls that it was last put into.
    joined: Mutex<[u64; JOINED]>,
}

/// How many epolls it notes.
const JOINED: usize = 4;

/// The lower half of the event data of every wake descriptor, by which it is told from what else an epoll watches.
pub(crate) const WAKE_WORD: u32 = u32::MAX;

impl WakeFd {
    /// One that has not been woken yet.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`; `ENOTSUP` where the host has none.
    pub(super) fn new() -> Result<Self, Errno> {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        Ok(Self { fd: new_event_fd()?, number: NUMBERS.fetch_add(1, Relaxed), joined: Mutex::default() })
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

    /// What is readable once it is woken.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The event data by which an epoll reports it.
    pub(super) fn word(&self) -> u64 {
        u64::from(self.number) << 32 | u64::from(WAKE_WORD)
    }

    /// Has `epoll` report it, whose number in this process is `epoll_number`. Once for each.
    ///
    /// # Errors
    ///
    /// Those of epoll_ctl(2).
    pub(super) fn join(&self, epoll: BorrowedFd<'_>, epoll_number: u64) -> Result<(), Errno> {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        if joined.contains(&epoll_number) {
            return Ok(());
        }
        match epoll::add(epoll, &self.fd, EventData::new_u64(self.word()), EventFlags::IN) {
            // It is not noted any more.
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        joined.rotate_right(1);
        if let Some(latest) = joined.first_mut() {
            *latest = epoll_number;
        }
        Ok(())
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
