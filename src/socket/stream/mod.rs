//! Sockets that connect, over TCP and `AF_UNIX`: the state, and its transitions.
//!
//! One file a state. A transition consumes the state and hands it back when it
//! fails, so that a refused call leaves the socket as it was. [`Stream::change`] is
//! the only place that takes the state out, and nothing waits or returns early
//! while it is out.

mod accept;
mod addresses;
mod bound;
mod connected;
mod connecting;
mod end;
mod listening;
mod phase;
mod traffic;
mod unbound;

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::endpoint::Endpoint;
use super::held::{Claim, Keeper};
#[cfg(feature = "components")]
use super::listen::LimitExceeded;
use super::listen::{Capacity, ConnectionPermit, ListenConfig, Queue};
use super::option::{SetOption, SocketLimits};
use super::{Domain, Kind, Refusal};
use crate::address::Address;
use crate::error::Errno;
use crate::io::{AsyncFd, DescriptorFreed, Watchers};
use crate::policy::Policy;

use bound::Bound;
pub use connected::Connected;
use connected::Peer;
use connecting::{Connecting, Settled};
pub use listening::Accepted;
use listening::Listening;
pub use phase::Phase;
pub use traffic::Traffic;
use unbound::Unbound;

#[derive(Debug)]
enum StreamState {
    Unbound(Unbound),
    // These are apart, for they are larger than the next one, and connections are many.
    Bound(Box<Bound>),
    Connecting(Box<Connecting>),
    Listening(Box<Listening>),
    /// To this peer, by what the socket has as its [`connection`](Stream::connection).
    Connected(Peer),
    /// The last descriptor is closed, and a call is still on its way out.
    Closed,
}

/// What `sock_status` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not usable for data yet: fresh, or connecting.
    Opening,
    /// Bound, listening or connected.
    Opened,
    /// The peer has gone.
    Closed,
    /// The last attempt to connect failed, or the connection broke.
    Failed,
}

/// A socket that connects: a stream, or one of messages in order.
#[derive(Debug)]
pub struct Stream {
    // Before the endpoint: a registration leaves the reactor before its socket closes.
    inner: Mutex<Inner>,
    /// The connection, once it is there: nothing but the end of the socket comes after it, so that
    /// it is found without the lock.
    connection: OnceLock<Connected>,
    endpoint: Endpoint,
    limits: SocketLimits,
    /// Watchers of a socket that has no readiness source yet. Made by the first of them.
    changes: OnceLock<Box<Watchers>>,
    /// Its permit, if it was accepted under a limit. After the endpoint: the next holder
    /// of the permit finds the descriptor free.
    permit: Option<Box<ConnectionPermit>>,
    /// After the endpoint: signals that its descriptor is free.
    _descriptor_freed: DescriptorFreed,
}

/// Guarded by the socket's one lock, which is never held across a wait.
#[derive(Debug)]
struct Inner {
    /// `None` only inside [`Stream::change`].
    state: Option<StreamState>,
    /// Why the last connect failed, until that is read.
    connect_error: Option<Errno>,
    /// What the guest has set before it connected: a socket that this one becomes gets it too.
    #[expect(clippy::box_collection, reason = "a connection has none, and there are many")]
    set: Option<Box<Vec<SetOption>>>,
}

/// The outcome of a transition: the next state, and the result of the call.
type Transition<T> = (StreamState, Result<T, Refusal>);

impl Stream {
    pub(super) fn open(domain: Domain, kind: Kind) -> Result<Self, Errno> {
        let endpoint = Endpoint::open(domain, kind)?;
        Ok(Self::with_state(endpoint, StreamState::Unbound(Unbound), SocketLimits::default()))
    }

    /// One of a pair: connected for good, without a name.
    pub(super) fn of_pair(endpoint: Endpoint) -> Result<Self, Errno> {
        let peer = endpoint.domain.wildcard();
        Self::with_peer(endpoint, peer, SocketLimits::default())
    }

    /// A socket that was opened outside: bound, or connected.
    ///
    /// # Errors
    ///
    /// Those of registering with the caller's reactor.
    pub(super) fn from_inherited(
        endpoint: Endpoint,
        local: Address,
        peer: Option<Address>,
    ) -> Result<Self, Errno> {
        let lingers = rustix::net::sockopt::socket_linger(endpoint.fd())?.is_some_and(|time| !time.is_zero());
        endpoint.lingers.store(lingers, Relaxed);
        let limits = SocketLimits::default();
        match peer {
            Some(peer) => Self::with_peer(endpoint, peer, limits),
            None => Ok(Self::with_state(endpoint, StreamState::Bound(Box::new(Bound::new(local))), limits)),
        }
    }

    /// One that is connected to `peer`.
    fn with_peer(endpoint: Endpoint, peer: Address, limits: SocketLimits) -> Result<Self, Errno> {
        let registration = AsyncFd::new(Arc::clone(endpoint.fd()))?;
        let connected = Connected::new(registration, endpoint.kind);
        let mut stream = Self::with_state(endpoint, StreamState::Connected(peer.into()), limits);
        stream.connection = OnceLock::from(connected);
        Ok(stream)
    }

    fn with_state(endpoint: Endpoint, state: StreamState, limits: SocketLimits) -> Self {
        let inner = Inner { state: Some(state), connect_error: None, set: None };
        Self {
            inner: Mutex::new(inner),
            connection: OnceLock::new(),
            endpoint,
            limits,
            changes: OnceLock::new(),
            permit: None,
            _descriptor_freed: DescriptorFreed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The state is whole whenever the lock is free: a panic can't leave it torn.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`lock`](Self::lock), after the outcome of a finished attempt to connect was recorded.
    ///
    fn settled(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        let Some(ended) = inner.settle(self) else { return inner };
        // What watches the attempt is woken without the lock.
        drop(inner);
        drop(ended);
        self.lock()
    }

    /// Swaps the state for what `transition` makes of it.
    fn change<T>(&self, transition: impl FnOnce(StreamState) -> Transition<T>) -> Result<T, Refusal> {
        let mut inner = self.settled();
        let Some(state) = inner.state.take() else { return Err(Errno::EIO.into()) };
        if matches!(state, StreamState::Closed) {
            inner.state = Some(state);
            return Err(Errno::EBADF.into());
        }
        let (state, answer) = transition(state);
        inner.state = Some(state);
        drop(inner);
        // One who is about to watch looks at the state, under the lock, after the watchers were made.
        if let Some(changes) = self.changes.get() {
            changes.wake_all();
        }
        answer
    }

    /// The state of a socket that is connected to `peer` from now on.
    fn connect_by(&self, registration: Arc<AsyncFd>, peer: Address) -> StreamState {
        self.connection.get_or_init(|| Connected::new(registration, self.endpoint.kind));
        StreamState::Connected(peer.into())
    }

    /// Reads the state, after the outcome of a finished attempt to connect was recorded.
    fn inspect<T>(&self, look: impl FnOnce(&StreamState) -> T) -> Result<T, Errno> {
        match &self.settled().state {
            Some(StreamState::Closed) => Err(Errno::EBADF),
            Some(state) => Ok(look(state)),
            None => Err(Errno::EIO),
        }
    }

    /// Gives the socket an address. A port of 0 lets the host choose.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` for an address of another family; `EINVAL` where the socket
    /// has an address already; a denial where the policy grants no listening there;
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` and what else the host reports.
    ///
    /// Where `keeper` holds a socket there, this becomes that very socket.
    pub fn bind(
        &self,
        address: Address,
        policy: &Policy,
        keeper: Option<&dyn Keeper>,
    ) -> Result<(), Refusal> {
        self.endpoint.domain.check(&address)?;
        self.change(|state| match state {
            StreamState::Unbound(unbound) => match unbound.bind(&self.endpoint, address, policy, keeper) {
                Ok(bound) => (StreamState::Bound(Box::new(bound)), Ok(())),
                Err((refusal, unbound)) => (StreamState::Unbound(unbound), Err(refusal)),
            },
            // "EINVAL: The socket is already bound to an address, and the protocol does
            // not support binding to a new address" - bind(3p)
            other => (other, Err(Errno::EINVAL.into())),
        })
    }

    /// Listens, or changes how many connections may wait.
    ///
    /// `backlog` is the guest's number. A socket that listens already keeps its
    /// profile; then only the maximum of `config` is used. From then on `keeper` holds the
    /// socket.
    ///
    /// # Errors
    ///
    /// As the profile says, where the socket has no address, is connected or
    /// connecting; a denial of the policy; `EADDRINUSE` where another socket listens
    /// there by now. The socket is unchanged.
    pub fn listen(
        &self,
        backlog: u32,
        config: ListenConfig,
        policy: &Policy,
        keeper: Option<&dyn Keeper>,
    ) -> Result<Capacity, Refusal> {
        let connected = config.rules.connected;
        let _alone = keeper.and_then(|keeper| keeper.listening_alone());
        self.change(|state| match state {
            StreamState::Bound(bound) => {
                match bound.listen(&self.endpoint, backlog, config, policy, keeper) {
                    Ok(listening) => started(listening),
                    Err((refusal, bound)) => (StreamState::Bound(Box::new(bound)), Err(refusal)),
                }
            }
            StreamState::Unbound(unbound) => {
                match unbound.listen(&self.endpoint, backlog, config, policy, keeper) {
                    Ok(listening) => started(listening),
                    Err((refusal, unbound)) => (StreamState::Unbound(unbound), Err(refusal)),
                }
            }
            // "Listen again" updates the backlog, in every profile.
            StreamState::Listening(mut listening) => {
                let answer = listening.again(&self.endpoint, backlog, config.maximum);
                (StreamState::Listening(listening), answer.map_err(Refusal::from))
            }
            other => (other, Err(connected.into())),
        })
    }

    /// Takes another maximum for backlogs into account; `None` where the socket does
    /// not listen.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn set_max_backlog(&self, maximum: u32) -> Result<Option<Capacity>, Refusal> {
        self.change(|state| match state {
            StreamState::Listening(mut listening) => {
                let answer = listening.again(&self.endpoint, listening.backlog(), maximum);
                (StreamState::Listening(listening), answer.map(Some).map_err(Refusal::from))
            }
            other => (other, Ok(None)),
        })
    }

    /// What `sock_status` reports.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn status(&self) -> Result<Status, Errno> {
        let inner = self.settled();
        let failed = inner.connect_error.is_some();
        match inner.state.as_ref().ok_or(Errno::EIO)? {
            StreamState::Unbound(_) | StreamState::Bound(_) if failed => Ok(Status::Failed),
            StreamState::Unbound(_) | StreamState::Connecting(_) => Ok(Status::Opening),
            StreamState::Bound(_) | StreamState::Listening(_) => Ok(Status::Opened),
            StreamState::Connected(peer) => {
                Ok(self.connection.get().ok_or(Errno::EIO)?.status(peer.is_named()))
            }
            StreamState::Closed => Ok(Status::Closed),
        }
    }

    /// Is it a connection that was accepted?
    pub fn is_accepted(&self) -> bool {
        self.endpoint.is_accepted
    }

    /// Has the socket an address, or a peer, or is it about to get one?
    #[cfg(feature = "components")]
    pub fn is_bound(&self) -> bool {
        self.inspect(|state| !matches!(state, StreamState::Unbound(_))).unwrap_or(false)
    }

    /// Asks the host now for an address whose bind was put off: for a program that does not probe.
    /// A socket that does not get it has none, as before.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind).
    #[cfg(feature = "components")]
    pub fn settle_bind(&self, policy: &Policy) -> Result<(), Refusal> {
        self.change(|state| match state {
            StreamState::Bound(mut bound) => match bound.make_real(&self.endpoint, policy) {
                Ok(()) => (StreamState::Bound(bound), Ok(())),
                Err(refusal) => (StreamState::Unbound(Unbound), Err(refusal)),
            },
            other => (other, Ok(())),
        })
    }

    /// The limit to the number of connections that keeps a listener from the next one now.
    #[cfg(feature = "components")]
    pub fn reached_limit(&self) -> Option<LimitExceeded> {
        match &self.lock().state {
            Some(StreamState::Listening(listening)) => listening.reached_limit(),
            _ => None,
        }
    }

    /// Notes whether the guest of a listener may not take the connection that waits; returns whether that is new.
    #[cfg(feature = "components")]
    pub fn note_shortage(&self, is_short: bool) -> bool {
        match &mut self.lock().state {
            Some(StreamState::Listening(listening)) => listening.note_shortage(is_short),
            _ => false,
        }
    }

    /// Tells whoever runs the guest of the limit that keeps a listener from the next connection.
    #[cfg(feature = "components")]
    pub fn tell_limit(&self) {
        if let Some(StreamState::Listening(listening)) = &self.lock().state {
            listening.tell_limit();
        }
    }

    /// Does the socket listen?
    pub fn is_listening(&self) -> bool {
        self.inspect(|state| matches!(state, StreamState::Listening(_))).unwrap_or(false)
    }

    pub(super) fn take_connect_error(&self) -> Option<Errno> {
        self.settled().connect_error.take()
    }

    pub(super) fn is_shared(&self) -> bool {
        self.endpoint.is_shared()
    }

    pub(super) fn domain(&self) -> &Domain {
        &self.endpoint.domain
    }

    pub(super) fn kind(&self) -> Kind {
        self.endpoint.kind
    }

    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.poll_fd()
    }

    pub(super) fn option_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.option_fd()
    }

    /// Takes note that the guest has set an option, unless the socket is connected: then it is
    /// held no more.
    pub(super) fn note_set(&self, option: SetOption) {
        let mut inner = self.lock();
        if !matches!(
            inner.state,
            Some(StreamState::Unbound(_) | StreamState::Bound(_) | StreamState::Listening(_))
        ) {
            return;
        }
        let set = inner.set.get_or_insert_default();
        set.retain(|before| !option.replaces(before));
        set.push(option);
    }

    /// What the guest has set, in that order.
    pub(super) fn set_options(&self) -> Vec<SetOption> {
        self.lock().set.as_deref().cloned().unwrap_or_default()
    }

    /// What a listener sets takes effect from now on.
    pub(super) fn make_ready(&self) {
        if let Some(StreamState::Listening(listening)) = &self.lock().state {
            listening.make_ready();
        }
    }

    /// Becomes the socket of `claim`, which is the same one.
    pub(crate) fn adopt(&self, claim: Arc<Claim>) {
        self.endpoint.adopt(claim);
    }

    /// Set where the service holds the socket.
    pub fn claim(&self) -> Option<&Arc<Claim>> {
        self.endpoint.claim()
    }

    pub(super) fn outlives_guest(&self) -> bool {
        self.endpoint.outlives_guest()
    }

    pub(super) fn limits(&self) -> &SocketLimits {
        &self.limits
    }

    /// The registration of its descriptor, where it has something to wait for.
    pub fn async_fd(&self) -> Option<Arc<AsyncFd>> {
        match &self.lock().state {
            Some(StreamState::Connecting(connecting)) => Some(connecting.registration()),
            Some(StreamState::Listening(listening)) => listening.async_fd().cloned(),
            Some(StreamState::Connected(_)) => self.connection.get().map(Connected::registration),
            _ => None,
        }
    }

    /// The queue of a listener, where it is the host's.
    pub fn queue(&self) -> Option<Arc<Queue>> {
        match &self.lock().state {
            Some(StreamState::Listening(listening)) => listening.queue().cloned(),
            _ => None,
        }
    }
}

impl Inner {
    /// Records the outcome of an attempt to connect that has ended meanwhile; returns the registration of
    /// one that has failed.
    fn settle(&mut self, stream: &Stream) -> Option<Arc<AsyncFd>> {
        let Some(StreamState::Connecting(connecting)) =
            self.state.take_if(|state| matches!(state, StreamState::Connecting(_)))
        else {
            return None;
        };
        let (state, ended) = match connecting.settle(&stream.endpoint) {
            Settled::Pending(connecting) => (StreamState::Connecting(connecting), None),
            Settled::Connected(registration, peer) => (stream.connect_by(registration, peer), None),
            Settled::Failed { errno, before, registration } => {
                self.connect_error = Some(errno);
                (before, Some(registration))
            }
        };
        self.state = Some(state);
        ended
    }
}

fn started(listening: Listening) -> Transition<Capacity> {
    let capacity = listening.capacity();
    (StreamState::Listening(Box::new(listening)), Ok(capacity))
}

#[cfg(test)]
mod tests;
