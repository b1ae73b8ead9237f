//! What a socket is ready for.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::Context;

use super::held::Claim;
use super::{Connected, Datagram, Socket, Stream};
use crate::io::{Events, KernelFd, OnReport, Pollable, look_at};

impl Pollable for Socket {
    /// Whatever its state: a call that makes it listen or connect is a change too.
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        match self {
            Self::Stream(stream) => stream.register(mask, context),
            Self::Datagram(datagram) => datagram.register(mask, context),
        }
    }

    fn look(&self) -> Events {
        match self {
            Self::Stream(stream) => stream.look(),
            Self::Datagram(datagram) => datagram.look(),
        }
    }

    fn kernel_fd(&self) -> KernelFd<'_> {
        match self {
            Self::Stream(stream) => stream.kernel_fd(),
            Self::Datagram(datagram) => datagram.kernel_fd(),
        }
    }

    fn readable_bytes(&self) -> u64 {
        rustix::io::ioctl_fionread(self.poll_fd()).unwrap_or(1)
    }

    fn on_report(&self) -> Option<Arc<dyn OnReport>> {
        Some(Arc::<Claim>::clone(self.claim()?))
    }
}

/// A connection, without the socket that it belongs to.
impl Pollable for Connected {
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        Self::register(self, mask, context)
    }

    fn look(&self) -> Events {
        look_at(self.fd())
    }

    fn kernel_fd(&self) -> KernelFd<'_> {
        KernelFd::Now(self.fd())
    }
}

impl Datagram {
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        // What comes in has a registration of its own where the socket is held. Without one there are
        // no changes: a waiter learns the reason by trying again.
        let mut has_change = false;
        if mask.are_of_readers() {
            let reads = Events::from_bits(mask.bits() & !Events::OUT.bits());
            has_change |= self.registration(reads).is_ok_and(|io| io.register(reads, context));
        }
        if mask.are_of_writers() {
            let io = self.registration(Events::WRITE);
            has_change |= io.is_ok_and(|io| io.register(Events::WRITE, context));
        }
        has_change
    }

    fn look(&self) -> Events {
        let events = look_at(self.host_fd());
        if self.is_retired() {
            return events.and(Events::OF_WRITERS);
        }
        // An error is kept for the next receive.
        let has_data = events.and(Events::IN.or(Events::ERR)) == Events::IN;
        if has_data && self.is_filtered() && self.discard_filtered() {
            return look_at(self.host_fd());
        }
        events
    }

    fn kernel_fd(&self) -> KernelFd<'_> {
        // What the kernel has may be nothing for the guest.
        if self.is_filtered() {
            return KernelFd::None;
        }
        of_kernel(self.host_fd(), !self.is_inherited())
    }
}

impl Stream {
    /// What it is ready for where the kernel does not know: a listener whose queue is the host's,
    /// and an attempt to connect that failed, the error of which is kept for the guest.
    pub(super) fn look(&self) -> Events {
        if let Some(fd) = self.kernel_fd().now() {
            return look_at(fd);
        }
        if let Some(queue) = self.queue() {
            let claim = self.claim();
            let is_retired = claim.is_some_and(|claim| claim.is_retired());
            let turnstile = claim.and_then(|claim| claim.socket().known_turnstile());
            let is_waiting = match turnstile {
                Some(turnstile) if turnstile.has_due() => true,
                Some(turnstile) if turnstile.is_held_back() => false,
                _ => queue.has_waiting(),
            };
            return Events::IN.when(!is_retired && is_waiting);
        }
        Events::ALL.and(Events::from_bits(!Events::PRI.bits()))
    }
}

/// A descriptor of a socket's, which reports all that happens to it, now or for good. One that was
/// opened outside may be open when the guest has closed it, and then is still watched.
pub(super) fn of_kernel(fd: BorrowedFd<'_>, is_stable: bool) -> KernelFd<'_> {
    if is_stable { KernelFd::Stable(fd) } else { KernelFd::Now(fd) }
}
