//! Looking at many things by one system call.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use rustix::event::{PollFd, Timespec};
use rustix::process::{Resource, getrlimit};

use super::{Events, Pollable};
use crate::error::Errno;

/// Asks the kernel about all of them, without waiting; returns for how many it reports events.
///
/// # Errors
///
/// `ENOMEM`: what the host reports.
pub(crate) fn ask(all: &mut [PollFd<'_>]) -> Result<usize, Errno> {
    #[cfg(test)]
    ASKED.set(ASKED.get() + 1);
    let mut count = 0;
    for chunk in all.chunks_mut(most_at_once()) {
        count += rustix::io::retry_on_intr(|| rustix::event::poll(chunk, Some(&Timespec::default())))?;
    }
    Ok(count)
}

#[cfg(test)]
thread_local! {
    /// How often this thread has asked.
    pub(crate) static ASKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// How many descriptors the kernel takes in one poll: "EINVAL: The nfds value exceeds
/// the RLIMIT_NOFILE value." - poll(2). Read once; a limit that was raised since is
/// not worth following.
fn most_at_once() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(limit).unwrap_or(usize::MAX).clamp(16, 1 << 16)
    })
}

/// What `fd` is ready for now.
pub(crate) fn look_at(fd: BorrowedFd<'_>) -> Events {
    let mut asked = [PollFd::from_borrowed_fd(fd, Events::ALL.to_poll())];
    match ask(&mut asked) {
        Ok(_) => asked.first().map_or(Events::default(), |fd| Events::from_poll(fd.revents())),
        Err(_) => Events::ERR,
    }
}

/// What each of them is ready for now.
pub(crate) fn look_at_all(things: &[&dyn Pollable]) -> Vec<Events> {
    // Asked once: a socket that connects may fail meanwhile.
    let fds: Vec<_> = things.iter().map(|thing| thing.kernel_fd().now()).collect();
    let mut asked: Vec<_> =
        fds.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, Events::ALL.to_poll())).collect();
    let was_told = asked.is_empty() || ask(&mut asked).is_ok();
    let mut answers = asked.iter().map(|answer| match was_told {
        true => Events::from_poll(answer.revents()),
        false => Events::ERR,
    });
    let each = things.iter().zip(&fds);
    each.map(|(thing, fd)| fd.and_then(|_| answers.next()).unwrap_or_else(|| thing.look())).collect()
}
