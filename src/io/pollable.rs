//! What can be waited for: one trait for sockets, listeners, pipes, counters, streams and epoll.
//!
//! Whoever waits for a thing does what this loop does:
//!
//! ```text
//! loop {
//!     if let Ready(done) = attempt() { return done }      // try
//!     thing.register(mask, context);                      // have the next change wake
//!     if !thing.look().and(mask).is_empty() { continue }  // what came before that
//!     sleep();                                            // what comes after it
//! }
//! ```
//!
//! A change between the try and the registration is found by the look, and one after the registration
//! ends the sleep, begun or not: so no wake-up is lost. [`Pollable::poll`] is the two steps in the
//! middle. They are two methods because whoever waits for many things registers with all of them,
//! and has the kernel look at all that it [knows](Pollable::kernel_fd) by one system call.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::Context;

use rustix::event::PollFlags;

/// What a thing is ready for, or what is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    /// What a call waits for that reads: data, a connection, or the end of the stream.
    pub const READ: Self = Self(1 | 4);
    /// What a call waits for that writes: space, or the end of a connection attempt.
    pub const WRITE: Self = Self::OUT;
    /// All that concerns a reader.
    pub(crate) const OF_READERS: Self = Self(1 | 4 | 8 | 16 | 32);
    /// All that concerns a writer.
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

    /// Does a writer wait for them? Of one direction, it is the other one else.
    pub(crate) const fn are_of_writers(self) -> bool {
        self.0 & Self::OUT.0 != 0
    }

    /// Does a reader wait for them?
    pub(crate) const fn are_of_readers(self) -> bool {
        self.0 & (Self::IN.0 | Self::RDHUP.0 | Self::PRI.0) != 0
    }

    /// What poll(2) is asked for them.
    #[inline]
    pub(crate) fn to_poll(self) -> PollFlags {
        match self {
            Self::READ => PollFlags::IN | PollFlags::RDHUP,
            Self::WRITE => PollFlags::OUT,
            mask => FLAGS.iter().fold(PollFlags::empty(), |flags, (event, flag)| {
                if mask.and(*event).is_empty() { flags } else { flags | *flag }
            }),
        }
    }

    /// What poll(2) reports.
    pub(crate) fn from_poll(flags: PollFlags) -> Self {
        let invalid = Self::ERR.when(flags.contains(PollFlags::NVAL));
        FLAGS.iter().fold(invalid, |all, (event, flag)| all.or(event.when(flags.contains(*flag))))
    }
}

/// The events, as bits of ours and of poll(2).
const FLAGS: [(Events, PollFlags); 6] = [
    (Events::IN, PollFlags::IN),
    (Events::OUT, PollFlags::OUT),
    (Events::RDHUP, PollFlags::RDHUP),
    (Events::PRI, PollFlags::PRI),
    (Events::ERR, PollFlags::ERR),
    (Events::HUP, PollFlags::HUP),
];

/// The descriptor of the kernel's that reports what a thing is ready for.
#[derive(Clone, Copy, Debug)]
pub enum KernelFd<'a> {
    /// None does: the kernel does not have the thing, or says more or less of it than is true for
    /// the guest.
    None,
    /// This one, as the thing is now.
    Now(BorrowedFd<'a>),
    /// This one, for as long as the thing is open; and no other process has it too.
    Stable(BorrowedFd<'a>),
}

impl<'a> KernelFd<'a> {
    /// The one that reports it now.
    pub fn now(self) -> Option<BorrowedFd<'a>> {
        match self {
            Self::None => None,
            Self::Now(fd) | Self::Stable(fd) => Some(fd),
        }
    }

    /// The one that always will.
    pub fn stable(self) -> Option<BorrowedFd<'a>> {
        match self {
            Self::None | Self::Now(_) => None,
            Self::Stable(fd) => Some(fd),
        }
    }
}

/// Takes note that the guest is told that a thing is ready. A held listener does.
pub trait OnReport: std::fmt::Debug + Send + Sync {
    /// The guest is told.
    fn note_report(&self);
}

/// Something that can be waited for, alone or together with many others.
pub trait Pollable: Send + Sync {
    /// Wakes `context` once, at the next change of what `mask` names, or at one of
    /// [those that always count](Events::ALWAYS). Spurious wake-ups are allowed, and happen.
    ///
    /// Any number may wait. A waker that is no longer needed is dropped at the next change.
    ///
    /// Returns whether there may have been a change since the last time: who has looked before and
    /// waits alone need not look again where there was none, if the kernel
    /// [knows](Self::kernel_fd) the thing. Who waits for a thing that the kernel does not know, or
    /// that others wait for too, looks in any case.
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool;

    /// What it is ready for now. Takes nothing.
    fn look(&self) -> Events;

    /// The descriptor by which the kernel reports the same as [`look`](Self::look). Many
    /// of them are looked at by one system call.
    fn kernel_fd(&self) -> KernelFd<'_> {
        KernelFd::None
    }

    /// Registers, then looks: what of `mask` and of [those that always count](Events::ALWAYS) it
    /// is ready for now. What comes later wakes `context`.
    fn poll(&self, mask: Events, context: &mut Context<'_>) -> Events {
        self.register(mask, context);
        self.look().and(mask.or(Events::ALWAYS))
    }

    /// How many bytes can be read at once.
    fn readable_bytes(&self) -> u64 {
        1
    }

    /// What takes note when the guest is told that it is ready.
    fn on_report(&self) -> Option<Arc<dyn OnReport>> {
        None
    }
}
