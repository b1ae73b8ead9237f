//! What can happen to a socket without a call, for its watchers.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Connected, Stream, StreamState};
use crate::io::{Change, Interest, Watchable};
use crate::socket::ReadinessSource;

/// What can happen to a socket without a call.
pub enum Phase {
    /// Nothing.
    Idle,
    /// An attempt to connect ends.
    Connecting(Arc<dyn Watchable>),
    /// An attempt to connect has failed, and the error has not been read yet.
    Failed,
    /// Connections come.
    Listening(Arc<dyn Watchable>),
    /// Data comes, and the end.
    Connected(Connected),
}

impl Phase {
    /// The source of its changes.
    pub fn source(&self) -> Option<Arc<dyn Watchable>> {
        match self {
            Self::Idle => None,
            Self::Failed => Some(Arc::new(Over)),
            Self::Connecting(source) | Self::Listening(source) => Some(Arc::clone(source)),
            Self::Connected(connected) => Some(connected.registration()),
        }
    }
}

/// A source without further changes.
struct Over;

impl Watchable for Over {
    fn poll_change(&self, _: Interest, _: &mut Context<'_>) -> Poll<Change> {
        Poll::Ready(Change::Closed)
    }
}

impl Stream {
    /// The socket's phase. Takes nothing from the socket: why an attempt to connect
    /// failed is still there for the guest.
    pub fn phase(&self) -> Phase {
        let mut inner = self.lock();
        inner.settle(&self.endpoint);
        let has_failed = inner.connect_error.is_some();
        match &inner.state {
            Some(StreamState::Unbound(_) | StreamState::Bound(_)) if has_failed => Phase::Failed,
            Some(StreamState::Unbound(_) | StreamState::Bound(_) | StreamState::Closed) | None => Phase::Idle,
            Some(StreamState::Connecting(connecting)) => Phase::Connecting(connecting.registration()),
            Some(StreamState::Listening(listening)) => Phase::Listening(listening.watchable()),
            Some(StreamState::Connected(connected)) => Phase::Connected(connected.clone()),
        }
    }

    /// As [`Socket::poll_change`](crate::socket::Socket::poll_change).
    pub(in crate::socket) fn poll_change(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
    ) -> Poll<Change> {
        // First it is watched, then its state is asked for: no change lies between.
        self.changes.add(context.waker());
        if let Some(claim) = self.endpoint.claim() {
            claim.wake_at_change(context.waker());
        }
        match self.readiness_source() {
            ReadinessSource::None => Poll::Pending,
            ReadinessSource::Reactor(registration) => registration.poll_change(interest, context),
            // The queue is every instance's: a retired one waits for the end of its retirement.
            ReadinessSource::Queue(_) if self.endpoint.claim().is_some_and(|it| it.is_retired()) => {
                Poll::Pending
            }
            ReadinessSource::Queue(queue) => queue.poll_change(interest, context),
        }
    }

    /// As [`Socket::is_stable`](crate::socket::Socket::is_stable).
    pub(in crate::socket) fn is_stable(&self) -> bool {
        let is_kernels = |state: &StreamState| match state {
            StreamState::Connected(_) => true,
            StreamState::Listening(listening) => {
                matches!(listening.readiness_source(), ReadinessSource::Reactor(_))
            }
            _ => false,
        };
        !self.endpoint.is_inherited && self.inspect(is_kernels).unwrap_or(false)
    }

    /// Did the last attempt to connect fail, and is the error still unread?
    pub fn has_failed(&self) -> bool {
        matches!(self.phase(), Phase::Failed)
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
