//! What can be waited for, and what a thing is ready for.

use std::task::{Context, Poll};

use rustix::event::PollFlags;

/// What a thing is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u32);

impl Events {
    /// Something to read, or the end of it.
    pub const IN: Self = Self(1);
    /// Space to write.
    pub const OUT: Self = Self(2);
    /// The peer sends no more.
    pub const RDHUP: Self = Self(4);
    /// Something urgent to read.
    pub const PRI: Self = Self(8);
    /// It broke, or there is no reader.
    pub const ERR: Self = Self(16);
    /// Both directions are over, or there is no writer any more.
    pub const HUP: Self = Self(32);
    /// Every one of them.
    pub const ALL: Self = Self(63);
    /// "epoll_wait(2) will always wait for this event; it is not necessary to set it"
    /// - epoll_ctl(2), EPOLLERR and EPOLLHUP
    pub const ALWAYS: Self = Self(16 | 32);
    /// The events for a reader.
    pub(crate) const OF_READERS: Self = Self(1 | 4 | 8 | 16 | 32);
    /// The events for a writer.
    pub(crate) const OF_WRITERS: Self = Self(2 | 16 | 32);

    /// The events that these bits name; other bits are left out.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The bits: in 1, out 2, rdhup 4, pri 8, err 16, hup 32.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Is there none?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in one or in both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These where `condition` holds, else none.
    #[must_use]
    pub(crate) const fn when(self, condition: bool) -> Self {
        if condition { self } else { Self(0) }
    }
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// Data, a connection, or the end of the stream.
    Read,
    /// Space to send, or the end of a connection attempt.
    Write,
}

impl Interest {
    /// What poll(2) is asked for it.
    pub(crate) fn to_poll(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN | PollFlags::RDHUP,
            Self::Write => PollFlags::OUT,
        }
    }

    pub(super) fn to_tokio(self) -> tokio::io::Interest {
        match self {
            Self::Read => tokio::io::Interest::READABLE,
            Self::Write => tokio::io::Interest::WRITABLE,
        }
    }
}

/// A change of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It changed: poll it. There may be more changes later.
    More,
    /// It changed for the last time: the peer has closed, or the source is gone.
    Closed,
}

/// A source that can be watched together with many others: a socket, a listen queue
/// of the host, or one without a host descriptor.
pub trait Watchable: Send + Sync {
    /// Clears the changes so far, and wakes `context` once at the next one. Ready
    /// if there is one already; then `context` is not woken.
    ///
    /// Any number may watch. A waker that is no longer needed is dropped at the next
    /// change.
    fn poll_change(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Change>;
}
