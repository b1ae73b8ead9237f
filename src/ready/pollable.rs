//! What can be waited for: one trait for sockets, pipes, counters, streams and epoll.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags};

use super::Epoll;
use super::poll::{Readiness, ask, readable_bytes};
use crate::io::{Change, Events, Interest, OnReport as _};
use crate::socket::held::Claim;
use crate::socket::{ReadinessSource, Socket};

/// Something that can be waited for.
///
/// A waiter registers its waker first and polls then: what happens after the poll wakes
/// it, and what happened before is found.
pub trait Pollable: Send + Sync {
    /// As [`Watchable::poll_change`](crate::io::Watchable::poll_change).
    fn poll_change(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Change>;

    /// What it is ready for now.
    fn events(&self) -> Events;

    /// The host descriptor, if the kernel reports the same as [`events`](Self::events). Many
    /// of them are polled by one system call.
    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// As [`host_fd`](Self::host_fd), where that will be so for as long as it is open, and no
    /// other process has it too.
    fn stable_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What notes that its readiness was reported to the guest: a held listener.
    fn claim(&self) -> Option<&Arc<Claim>> {
        None
    }

    /// How many bytes can be read at once.
    fn readable_bytes(&self) -> u64 {
        1
    }

    /// This, if it is an epoll: polling one has much to go through.
    fn as_epoll(&self) -> Option<&Epoll> {
        None
    }

    /// The epoll behind it, where that is what it is: one may watch another.
    fn epoll(&self) -> Option<&Arc<Epoll>> {
        None
    }
}

/// What each of them is ready for now.
pub(super) fn events_of(things: &[&dyn Pollable]) -> Vec<Events> {
    // Asked once: a socket that connects may fail meanwhile.
    let fds: Vec<_> = things.iter().map(|thing| thing.host_fd()).collect();
    let mut asked: Vec<_> = fds.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, asked())).collect();
    let was_told = asked.is_empty() || ask(&mut asked).is_ok();
    let mut answers = asked.iter().map(|answer| if was_told { found(answer.revents()) } else { Events::ERR });
    let each = things.iter().zip(&fds);
    each.map(|(thing, fd)| fd.and_then(|_| answers.next()).unwrap_or_else(|| thing.events())).collect()
}

/// Is it ready in the sense of `poll`? Wakes the caller once it may be.
pub(super) fn poll_readiness(
    pollable: &dyn Pollable,
    interest: Interest,
    context: &mut Context<'_>,
) -> Option<Readiness> {
    let change = pollable.poll_change(interest, context);
    let wanted = match interest {
        Interest::Read => Events::OF_READERS,
        Interest::Write => Events::OF_WRITERS,
    };
    let found = pollable.events().and(wanted);
    if found.is_empty() {
        if change == Poll::Ready(Change::More) {
            // The change came between the two, and another call took it: no waker is called for it.
            context.waker().wake_by_ref();
        }
        return None;
    }
    let over = Events::HUP.or(Events::ERR).or(Events::RDHUP.when(interest == Interest::Read));
    let bytes = match interest {
        Interest::Read => pollable.readable_bytes(),
        Interest::Write => 1,
    };
    Some(Readiness { bytes, hangup: !found.and(over).is_empty() })
}

impl Pollable for Socket {
    fn poll_change(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Change> {
        Self::poll_change(self, interest, context)
    }

    fn events(&self) -> Events {
        if let ReadinessSource::Queue(queue) = self.readiness_source() {
            let Some(claim) = Self::claim(self) else { return Events::IN.when(queue.has_waiting()) };
            let has_waiting = !claim.is_retired() && queue.has_waiting();
            if has_waiting {
                claim.note_report();
            }
            return Events::IN.when(has_waiting);
        }
        // "a connect that failed": the kernel's error is taken already, and kept for
        // the guest.
        if self.stream().is_ok_and(crate::socket::Stream::has_failed) {
            return Events::ALL.and(Events::from_bits(!Events::PRI.bits()));
        }
        let events = kernel_events(self);
        if self.receives_nothing() {
            return events.and(Events::OF_WRITERS);
        }
        // An error is kept for the next receive.
        let has_data = events.and(Events::IN.or(Events::ERR)) == Events::IN;
        if has_data && self.is_filtered() && self.discard_filtered() { kernel_events(self) } else { events }
    }

    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        let is_told_elsewhere = self.is_filtered()
            || matches!(self.readiness_source(), ReadinessSource::Queue(_))
            || self.stream().is_ok_and(crate::socket::Stream::has_failed);
        (!is_told_elsewhere).then(|| self.poll_fd())
    }

    fn claim(&self) -> Option<&Arc<Claim>> {
        Self::claim(self)
    }

    fn stable_fd(&self) -> Option<BorrowedFd<'_>> {
        self.is_stable().then(|| self.poll_fd())
    }

    fn readable_bytes(&self) -> u64 {
        readable_bytes(self.poll_fd())
    }
}

/// What the kernel reports of it, whether or not the messages are admitted.
fn kernel_events(socket: &Socket) -> Events {
    let mut fds = [PollFd::from_borrowed_fd(socket.poll_fd(), asked())];
    match ask(&mut fds) {
        Ok(()) => fds.first().map_or(Events::default(), |fd| found(fd.revents())),
        Err(_) => Events::ERR,
    }
}

fn asked() -> PollFlags {
    PollFlags::IN | PollFlags::OUT | PollFlags::PRI | PollFlags::RDHUP
}

fn found(flags: PollFlags) -> Events {
    let event = |flag: PollFlags, event: Events| event.when(flags.intersects(flag));
    event(PollFlags::IN, Events::IN)
        .or(event(PollFlags::OUT, Events::OUT))
        .or(event(PollFlags::PRI, Events::PRI))
        .or(event(PollFlags::ERR | PollFlags::NVAL, Events::ERR))
        .or(event(PollFlags::HUP, Events::HUP))
        .or(event(PollFlags::RDHUP, Events::RDHUP))
}
