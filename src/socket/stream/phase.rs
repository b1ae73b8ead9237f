//! What can happen to a socket without a call, and where changes of it come from.

use std::sync::Arc;
use std::task::Context;

use super::{Connected, Stream, StreamState};
use crate::io::{Events, KernelFd, Pollable};
use crate::socket::pollable::of_kernel;

/// What can happen to a socket without a call.
pub enum Phase {
    /// Nothing.
    Idle,
    /// An attempt to connect ends.
    Connecting(Arc<dyn Pollable>),
    /// An attempt to connect has failed, and the error has not been read yet.
    Failed,
    /// Connections come.
    Listening(Arc<dyn Pollable>),
    /// Data comes, and the end.
    Connected(Connected),
}

impl Phase {
    /// The source of its changes, which tells one connection of a socket from its next one; nothing
    /// where no change comes any more.
    pub fn source(&self) -> Option<Arc<dyn Pollable>> {
        match self {
            Self::Idle | Self::Failed => None,
            Self::Connecting(source) | Self::Listening(source) => Some(Arc::clone(source)),
            Self::Connected(connected) => Some(connected.registration()),
        }
    }
}

impl Stream {
    /// The socket's phase. Takes nothing from the socket: why an attempt to connect
    /// failed is still there for the guest.
    pub fn phase(&self) -> Phase {
        let inner = self.settled();
        let has_failed = inner.connect_error.is_some();
        match &inner.state {
            Some(StreamState::Unbound(_) | StreamState::Bound(_)) if has_failed => Phase::Failed,
            Some(StreamState::Unbound(_) | StreamState::Bound(_) | StreamState::Closed) | None => Phase::Idle,
            Some(StreamState::Connecting(connecting)) => Phase::Connecting(connecting.registration()),
            Some(StreamState::Listening(listening)) => Phase::Listening(listening.pollable()),
            Some(StreamState::Connected(_)) => {
                self.connection.get().cloned().map_or(Phase::Idle, Phase::Connected)
            }
        }
    }

    /// As [`Pollable::register`](crate::io::Pollable::register).
    pub(in crate::socket) fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        // Nothing but the end comes after a connection.
        if let Some(connected) = self.known_connection() {
            return connected.register(mask, context);
        }
        // First it is watched, then its state is asked for: no change lies between.
        self.changes.get_or_init(Box::default).add(context.waker());
        if let Some(claim) = self.endpoint.claim() {
            claim.wake_at_change(context.waker());
        }
        if let Some(io) = self.async_fd() {
            return io.register(mask, context);
        }
        // The queue is every instance's: a retired one waits for the end of its retirement.
        let is_retired = self.endpoint.claim().is_some_and(|claim| claim.is_retired());
        !is_retired && self.queue().is_some_and(|queue| queue.register(mask, context))
    }

    /// As [`Pollable::kernel_fd`](crate::io::Pollable::kernel_fd).
    pub(in crate::socket) fn kernel_fd(&self) -> KernelFd<'_> {
        let will_stay = self.known_connection().is_some() || {
            let inner = self.settled();
            match &inner.state {
                Some(StreamState::Listening(listening)) if listening.queue().is_some() => {
                    return KernelFd::None;
                }
                Some(StreamState::Listening(_) | StreamState::Connected(_)) => true,
                // The kernel's error is taken already.
                _ if inner.connect_error.is_some() => return KernelFd::None,
                _ => false,
            }
        };
        of_kernel(self.poll_fd(), will_stay && !self.endpoint.is_inherited)
    }
}

impl Connected {
    /// How many bytes wait to be received.
    pub fn unread(&self) -> u64 {
        // The kernel knows no number for a connection that is over.
        rustix::io::ioctl_fionread(self.registration().host_fd()).unwrap_or(0)
    }

    /// How many bytes the guest has received.
    pub fn received(&self) -> u64 {
        self.registration().received()
    }
}
