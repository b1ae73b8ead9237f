//! A socket as those see it who wait for what happens to it by itself.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Connected, State, Stream};
use crate::socket::{Heard, Interest, News, Watchable};

/// What can happen to a socket without a call.
pub enum Phase {
    /// Nothing.
    Idle,
    /// An attempt to connect ends.
    Connecting(Arc<dyn Watchable>),
    /// An attempt to connect has failed, and nobody knows yet.
    Failed,
    /// Connections come.
    Listening(Arc<dyn Watchable>),
    /// Data comes, and the end.
    Connected(Connected),
}

impl Phase {
    /// What has news of it.
    pub fn source(&self) -> Option<Arc<dyn Watchable>> {
        match self {
            Self::Idle => None,
            Self::Failed => Some(Arc::new(Over)),
            Self::Connecting(source) | Self::Listening(source) => Some(Arc::clone(source)),
            Self::Connected(connected) => Some(connected.registered()),
        }
    }
}

/// Has had its last news.
struct Over;

impl Watchable for Over {
    fn poll_news(&self, _: Interest, _: &mut Context<'_>) -> Poll<Heard> {
        Poll::Ready(Heard::Last)
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
            Some(State::Unbound(_) | State::Bound(_)) if has_failed => Phase::Failed,
            Some(State::Unbound(_) | State::Bound(_) | State::Closed) | None => Phase::Idle,
            Some(State::Connecting(connecting)) => Phase::Connecting(connecting.registered()),
            Some(State::Listening(listening)) => Phase::Listening(listening.watchable()),
            Some(State::Connected(connected)) => Phase::Connected(connected.clone()),
        }
    }

    /// As [`Socket::poll_news`](crate::socket::Socket::poll_news).
    pub(in crate::socket) fn poll_news(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Heard> {
        // First it is watched, then its state is asked for: no change lies between.
        self.changes.add(context.waker());
        match self.news() {
            News::None => Poll::Pending,
            News::Reactor(registered) => registered.poll_news(interest, context),
            News::Queue(queue) => queue.poll_news(interest, context),
        }
    }

    /// As [`Socket::is_settled`](crate::socket::Socket::is_settled).
    pub(in crate::socket) fn is_settled(&self) -> bool {
        let is_kernels = |state: &State| match state {
            State::Connected(_) => true,
            State::Listening(listening) => matches!(listening.news(), News::Reactor(_)),
            _ => false,
        };
        !self.endpoint.is_handed && self.look(is_kernels).unwrap_or(false)
    }

    /// Did the last attempt to connect fail, and does nobody know yet?
    pub fn has_failed(&self) -> bool {
        matches!(self.phase(), Phase::Failed)
    }
}

impl Connected {
    /// How many bytes wait to be received.
    pub fn unread(&self) -> u64 {
        // The kernel knows no number for a connection that is over.
        rustix::io::ioctl_fionread(self.registered().host_fd()).unwrap_or(0)
    }

    /// How many bytes the guest has received.
    pub fn received(&self) -> u64 {
        self.registered().received()
    }
}
