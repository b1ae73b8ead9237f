//! Connecting: the host is at work; the outcome is taken at the next call.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno as Os;

use super::{Stream, StreamState, Transition};
use crate::address::{Address, UnixName};
use crate::error::Errno;
use crate::io::AsyncFd;
use crate::policy::{Policy, Use};
use crate::socket::endpoint::Endpoint;
use crate::socket::{Domain, Refusal, address, sockaddr, unix};

/// A socket whose attempt to connect is in progress.
#[derive(Debug)]
pub(super) struct Connecting {
    registration: Arc<AsyncFd>,
    peer: Address,
    /// What the socket becomes again should the attempt fail.
    before: StreamState,
}

/// How an attempt stands.
pub(super) enum Settled {
    Pending(Box<Connecting>),
    /// By this registration, to this peer.
    Connected(Arc<AsyncFd>, Address),
    /// The registration is over.
    Failed {
        errno: Errno,
        before: StreamState,
        registration: Arc<AsyncFd>,
    },
}

impl Stream {
    /// Begins to connect. `Ok` means connected.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS` once the attempt is on its way; `EALREADY` while an earlier one
    /// is; `EISCONN` when connected; `EOPNOTSUPP` (`ENOTSUP`) on a listener;
    /// `EAFNOSUPPORT` for another family; once, why the last attempt failed; a denial
    /// of the policy; what the host reports: over `AF_UNIX`, `EAGAIN` where the queue
    /// there is full.
    pub fn try_connect(&self, address: &Address, policy: &Policy) -> Result<(), Refusal> {
        self.endpoint.domain.check(address)?;
        // A program without another way to learn how its attempt went calls again, and
        // would go on forever if each call began anew.
        if let Some(errno) = self.take_connect_error() {
            return Err(errno.into());
        }
        self.change(|state| match state {
            StreamState::Unbound(unbound) => self.start(StreamState::Unbound(unbound), address, policy),
            StreamState::Bound(bound) => self.start(StreamState::Bound(bound), address, policy),
            // "EALREADY: A connection request is already in progress" - connect(3p)
            StreamState::Connecting(connecting) => {
                (StreamState::Connecting(connecting), Err(Errno::EALREADY.into()))
            }
            // "EISCONN: The specified socket is connection-mode and is already connected."
            StreamState::Connected(peer) => (StreamState::Connected(peer), Err(Errno::EISCONN.into())),
            // "EOPNOTSUPP: The socket is listening and cannot be connected."
            StreamState::Listening(listening) => {
                (StreamState::Listening(listening), Err(Errno::ENOTSUP.into()))
            }
            StreamState::Closed => (StreamState::Closed, Err(Errno::EBADF.into())),
        })
    }

    /// How an attempt to connect stands: `EINPROGRESS`, connected, or why it failed.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS`; `ECONNREFUSED`, `ETIMEDOUT` and what else the host reports;
    /// `ENOTCONN` where no attempt was made.
    pub fn try_finish_connect(&self) -> Result<(), Errno> {
        let state = self.inspect(|state| match state {
            StreamState::Connecting(_) => Err(Errno::EINPROGRESS),
            StreamState::Connected(_) => Ok(()),
            _ => Err(Errno::ENOTCONN),
        })?;
        match state {
            Err(Errno::ENOTCONN) => Err(self.take_connect_error().unwrap_or(Errno::ENOTCONN)),
            other => other,
        }
    }
}

impl Stream {
    /// Begins to connect; on failure the socket remains in `before`.
    fn start(&self, before: StreamState, peer: &Address, policy: &Policy) -> Transition<()> {
        match peer {
            Address::Inet(peer) => self.to_network(before, address::destination(*peer), policy),
            Address::Unix(name) => self.to_name(before, name, policy),
        }
    }

    fn to_network(&self, mut before: StreamState, peer: SocketAddr, policy: &Policy) -> Transition<()> {
        let endpoint = &self.endpoint;
        if let Err(denial) = policy.check(Use::TcpConnect(peer)) {
            return (before, Err(denial.into()));
        }
        if let StreamState::Bound(bound) = &mut before
            && let Err(refusal) = bound.make_real(endpoint, policy)
        {
            return (before, Err(refusal));
        }
        let outcome = rustix::net::connect(endpoint.fd(), &peer);
        if !matches!(outcome, Ok(()) | Err(Os::INPROGRESS | Os::INTR)) {
            return (before, outcome.map_err(Refusal::from));
        }
        // Registered only now: see `AsyncFd`.
        let registration = match AsyncFd::new(Arc::clone(endpoint.fd())) {
            Ok(registration) => registration,
            Err(errno) => return (before, Err(errno.into())),
        };
        let peer = Address::Inet(peer);
        match outcome {
            Ok(()) => (self.connect_by(registration, peer), Ok(())),
            Err(_) => {
                let connecting = Connecting { registration, peer, before };
                (StreamState::Connecting(Box::new(connecting)), Err(Errno::EINPROGRESS.into()))
            }
        }
    }

    /// A Unix name connects or fails at once; `EAGAIN` where the queue there is full.
    fn to_name(&self, before: StreamState, name: &UnixName, policy: &Policy) -> Transition<()> {
        let endpoint = &self.endpoint;
        let connect = || {
            let Domain::Unix(paths) = &endpoint.domain else { return Err(Errno::EAFNOSUPPORT.into()) };
            let (name, target) = unix::target(name, paths.as_ref().as_ref(), policy)?;
            // "EAGAIN: For nonblocking UNIX domain sockets, the socket is nonblocking, and the
            // connection cannot be completed immediately." - connect(2)
            let there = target.address()?;
            rustix::io::retry_on_intr(|| rustix::net::connect(endpoint.fd(), &there))?;
            Ok::<_, Refusal>((AsyncFd::new(Arc::clone(endpoint.fd()))?, name))
        };
        match connect() {
            Ok((registration, name)) => (self.connect_by(registration, Address::Unix(name)), Ok(())),
            Err(refusal) => (before, Err(refusal)),
        }
    }
}

impl Connecting {
    pub(super) fn registration(&self) -> Arc<AsyncFd> {
        Arc::clone(&self.registration)
    }

    /// Checks whether the attempt has ended.
    pub(super) fn settle(self: Box<Self>, endpoint: &Endpoint) -> Settled {
        let mut fds = [PollFd::new(endpoint.fd(), PollFlags::OUT)];
        let ended = rustix::event::poll(&mut fds, Some(&Timespec::default()));
        if !matches!(ended, Ok(count) if count > 0) {
            return Settled::Pending(self);
        }
        match rustix::net::sockopt::socket_error(endpoint.fd()) {
            Ok(Ok(())) => Settled::Connected(self.registration, self.peer),
            Ok(Err(error)) | Err(error) => {
                forget_attempt(endpoint, &self.before);
                let Self { registration, before, .. } = *self;
                Settled::Failed { errno: error.into(), before, registration }
            }
        }
    }
}

/// Makes the host's socket what it was before the attempt.
///
/// The kernel reports it as connecting until it is asked once more for the
/// outcome, which it would otherwise return to the next connect or listen. A port that
/// the kernel had chosen is given up with the attempt; it is taken again.
fn forget_attempt(endpoint: &Endpoint, before: &StreamState) {
    let local = rustix::net::getsockname(endpoint.fd());
    // "dissolve the association by connecting to an address with the sa_family member
    // of sockaddr set to AF_UNSPEC" - connect(2)
    let _fresh_or_bound = rustix::net::connect_unspec(endpoint.fd());
    if let (StreamState::Bound(bound), Ok(Ok(local))) = (before, local.map(sockaddr::inet)) {
        bound.take_again(endpoint, local.port());
    }
}
