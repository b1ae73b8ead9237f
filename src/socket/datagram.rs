//! Sockets that carry individual messages, from and to any address.
//!
//! There is little state: an address of its own or none, and a peer or none. The kernel
//! keeps both too; this is the guest's view of them.

mod receive;
mod send;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::net::SocketAddrAny;

use super::endpoint::Endpoint;
use super::held::{Claim, Keeper};
use super::multicast::{Groups, Membership};
use super::option::{SetOption, SocketLimits, take_own_groups_only};
use super::receive_filter::DatagramFilter;
use super::recent::RecentSenders;
use super::{Domain, Kind, Refusal, ShutdownHow, Status, transfer};
use crate::address::Address;
use crate::error::Errno;
use crate::io::{AsyncFd, DescriptorFreed, Events};
use crate::policy::Policy;

pub use send::Destination;

/// A datagram socket.
#[derive(Debug)]
pub struct Datagram {
    inner: Mutex<DatagramInner>,
    endpoint: Endpoint,
    limits: SocketLimits,
    /// Is no more received, by [`shutdown`](Self::shutdown)?
    is_deaf: AtomicBool,
    /// Is it one of a pair still, and connected to the other one?
    is_pair: AtomicBool,
    /// Discards messages of refused senders, if senders are filtered. Its lock comes before the socket's.
    filter: OnceLock<DatagramFilter>,
    /// Recent senders, which may be sent to without a grant. Boxed: a client has none.
    answers: OnceLock<Box<RecentSenders>>,
    /// After the endpoint: signals that its descriptor is free.
    _descriptor_freed: DescriptorFreed,
}

/// Guarded by the socket's one lock, which is never held across a wait.
#[derive(Debug, Default)]
struct DatagramInner {
    /// Its registration with the reactor, made at the first wait.
    registration: Option<Arc<AsyncFd>>,
    /// Where it is held, that of the gate before what comes in.
    incoming: Option<Arc<AsyncFd>>,
    /// What the guest has set: a socket that this one becomes gets it too.
    #[expect(clippy::box_collection, reason = "most have none")]
    set: Option<Box<Vec<SetOption>>>,
    peer: Option<Address>,
    /// The address that the guest gave it, with the port that it has since.
    bound: Option<SocketAddr>,
    groups: Groups,
    /// The last sender by a name, as the kernel has it and as the guest does: most
    /// senders send again.
    last_sender: Option<(SocketAddrAny, Address)>,
}

impl Datagram {
    pub(super) fn open(domain: Domain) -> Result<Self, Errno> {
        let endpoint = Endpoint::open(domain, Kind::Datagram)?;
        take_own_groups_only(endpoint.host_fd(), endpoint.domain.family());
        Ok(Self::new(endpoint, None))
    }

    /// One of a pair: connected for good, without a name.
    pub(super) fn of_pair(endpoint: Endpoint) -> Self {
        let nameless = endpoint.domain.wildcard();
        let pair = Self::new(endpoint, Some(nameless));
        pair.is_pair.store(true, Relaxed);
        pair
    }

    /// A socket that was opened outside, with a peer or without.
    pub(super) fn from_inherited(endpoint: Endpoint, peer: Option<Address>) -> Self {
        Self::new(endpoint, peer)
    }

    fn new(endpoint: Endpoint, peer: Option<Address>) -> Self {
        let inner = Mutex::new(DatagramInner { peer, ..DatagramInner::default() });
        Self {
            inner,
            endpoint,
            limits: SocketLimits::default(),
            is_deaf: AtomicBool::new(false),
            is_pair: AtomicBool::new(false),
            filter: OnceLock::new(),
            answers: OnceLock::new(),
            _descriptor_freed: DescriptorFreed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, DatagramInner> {
        // Consistent whenever it is unlocked: nothing in here can panic halfway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the socket an address.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` for an address of another family; `EINVAL` where the socket has an
    /// address already; a denial of the policy; what the host reports.
    ///
    /// Where `keeper` holds a socket there, this becomes that very socket. From then on `keeper`
    /// holds one whose port was not left to the host.
    pub fn bind(
        &self,
        address: &Address,
        policy: &Policy,
        keeper: Option<&dyn Keeper>,
    ) -> Result<(), Refusal> {
        self.endpoint.domain.check(address)?;
        // Goes after the lock: what watches one is woken then, and watches the next.
        let mut _ended = [None, None];
        let mut inner = self.lock();
        if self.is_bound() {
            // "EINVAL: The socket is already bound to an address" - bind(3p)
            return Err(Errno::EINVAL.into());
        }
        if let Some(port) = address.port() {
            inner.groups.check(port, policy)?;
        }
        let bound = self.endpoint.bind(address, policy, keeper)?;
        if let Some(keeper) = keeper {
            self.endpoint.hold(&bound, keeper);
            if let Some(claim) = self.claim() {
                keeper.takes_in(claim);
            }
            // Both are made anew, for the socket that it is now.
            _ended = [inner.registration.take(), inner.incoming.take()];
        }
        inner.bound = self.local_address()?.inet();
        if inner.bound.is_some() && policy.lets_answer() {
            self.let_answer();
        }
        Ok(())
    }

    /// Makes `address` the peer: where messages go, and the only one from which they come.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` for an address of another family; a denial of the policy;
    /// `ECONNREFUSED`, `EPROTOTYPE` and what else the host reports.
    pub fn connect(&self, address: &Address, policy: &Policy) -> Result<(), Refusal> {
        let (name, destination) = self.find(address, policy, |_| false)?;
        // As in `bind`.
        let mut _ended = None;
        let mut inner = self.lock();
        if let Some(claim) = self.claim() {
            // With a peer it would receive from nobody else, and so would the other instances.
            self.endpoint.leave(claim)?;
            _ended = inner.registration.take();
        }
        self.is_pair.store(false, Relaxed);
        match destination {
            Destination::Inet(there) => rustix::net::connect(self.endpoint.fd(), &there)?,
            Destination::Name(target) => rustix::net::connect(self.endpoint.fd(), &target.address()?)?,
        }
        // "If the socket is not connection-mode, ... connect() shall set the socket's
        // peer address": the one before is replaced. - connect(3p)
        inner.peer = Some(name);
        Ok(())
    }

    /// Has no peer any more.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn dissolve(&self) -> Result<(), Errno> {
        // "If the sa_family member of address is AF_UNSPEC, the socket's peer address shall
        // be reset." - connect(3p)
        let mut inner = self.lock();
        if self.claim().is_some() {
            // It has none: see `connect`.
            return Ok(());
        }
        self.is_pair.store(false, Relaxed);
        rustix::net::connect_unspec(self.endpoint.fd())?;
        inner.peer = None;
        // Linux takes back a port that it chose itself, although the guest asked for one:
        // no other socket has had time to take it.
        match &inner.bound {
            Some(bound) if !self.is_bound() => Ok(rustix::net::bind(self.endpoint.fd(), bound)?),
            _ => Ok(()),
        }
    }

    /// Joins a group.
    ///
    /// # Errors
    ///
    /// As for [`Socket::join`](super::Socket::join).
    pub(super) fn join(&self, membership: Membership, policy: &Policy) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let port = self.local_address()?.port().unwrap_or(0);
        let joined = inner.groups.join(self.host_fd(), membership, port, policy);
        match joined {
            // An earlier instance has joined, and the socket is the same.
            Err(Refusal::Errno(Errno::EADDRINUSE)) if self.claim().is_some() => Ok(()),
            joined => joined,
        }
    }

    /// Leaves a group.
    ///
    /// # Errors
    ///
    /// As for [`Socket::leave`](super::Socket::leave).
    pub(super) fn leave(&self, membership: Membership) -> Result<(), Errno> {
        if self.is_retired() {
            // The next instance is in it.
            return Ok(());
        }
        self.lock().groups.leave(self.host_fd(), membership)
    }

    /// Set where the service holds the socket.
    pub(super) fn claim(&self) -> Option<&Arc<Claim>> {
        self.endpoint.claim()
    }

    /// Does the instance receive nothing any more?
    pub(super) fn is_retired(&self) -> bool {
        self.claim().is_some_and(|claim| claim.is_retired())
    }

    pub(super) fn note_set(&self, option: SetOption) {
        let mut inner = self.lock();
        let set = inner.set.get_or_insert_default();
        set.retain(|before| !option.replaces(before));
        set.push(option);
    }

    /// What the guest has set, in that order.
    pub(super) fn set_options(&self) -> Vec<SetOption> {
        self.lock().set.as_deref().cloned().unwrap_or_default()
    }

    /// Ends one direction, or both.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` without a peer.
    pub fn shutdown(&self, how: ShutdownHow) -> Result<(), Errno> {
        // "ENOTCONN: The socket is not connected." - shutdown(3p)
        self.peer_address()?;
        transfer::shutdown(self.endpoint.host_fd(), how)?;
        if how != ShutdownHow::Write {
            self.is_deaf.store(true, Relaxed);
        }
        Ok(())
    }

    /// Has the guest shut down receiving? Then an empty queue is the end of data:
    /// the kernel reports that only to a blocking receive.
    pub fn is_deaf(&self) -> bool {
        self.is_deaf.load(Relaxed)
    }

    /// The address that the socket has.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn local_address(&self) -> Result<Address, Errno> {
        self.endpoint.local_address()
    }

    /// The address that the guest is shown: the same, but for a port that is published.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn shown_address(&self) -> Result<Address, Errno> {
        self.endpoint.shown_address()
    }

    /// The peer.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` where there is none.
    pub fn peer_address(&self) -> Result<Address, Errno> {
        match self.lock().peer.clone().ok_or(Errno::ENOTCONN)? {
            // The kernel knows the scope.
            Address::Inet(given) => match rustix::net::getpeername(self.endpoint.fd()) {
                Ok(Some(peer)) => self.endpoint.domain.read(peer),
                _ => Ok(Address::Inet(given)),
            },
            name @ Address::Unix(_) => Ok(name),
        }
    }

    /// Has it an address? The host gives one to a socket that sends without.
    fn is_bound(&self) -> bool {
        match self.endpoint.local_address() {
            Ok(Address::Inet(local)) => local.port() != 0,
            Ok(Address::Unix(name)) => name.path().is_some(),
            Err(_) => false,
        }
    }

    /// What `sock_status` reports: it is open once it has an address or a peer.
    pub fn status(&self) -> Status {
        let is_open = self.lock().peer.is_some() || self.is_bound();
        if is_open { Status::Opened } else { Status::Opening }
    }

    /// Its registration with the reactor, for the direction of `mask`.
    ///
    /// # Errors
    ///
    /// As for [`AsyncFd::new`].
    pub fn registration(&self, mask: Events) -> Result<Arc<AsyncFd>, Errno> {
        let mut inner = self.lock();
        let is_gate = !mask.are_of_writers() && self.endpoint.was_held();
        let known = if is_gate { &mut inner.incoming } else { &mut inner.registration };
        if let Some(registration) = known {
            return Ok(Arc::clone(registration));
        }
        let registration = match (is_gate, self.endpoint.was_held()) {
            (true, _) => AsyncFd::new(Arc::clone(self.endpoint.incoming()))?,
            // What comes in is not for a waiter here, and wakes none.
            (false, true) => AsyncFd::for_writing(Arc::clone(self.endpoint.fd()))?,
            (false, false) => AsyncFd::new(Arc::clone(self.endpoint.fd()))?,
        };
        *known = Some(Arc::clone(&registration));
        Ok(registration)
    }

    /// Ends the socket where a call still has hold of it.
    pub(super) fn close(&self) {
        self.endpoint.remove_name();
    }

    /// Is it one of a pair still, and connected to the other one?
    pub(super) fn is_pair(&self) -> bool {
        self.is_pair.load(Relaxed)
    }

    /// Was it opened outside?
    pub(super) fn is_inherited(&self) -> bool {
        self.endpoint.is_inherited
    }

    pub(super) fn outlives_guest(&self) -> bool {
        self.endpoint.outlives_guest()
    }

    pub(super) fn is_shared(&self) -> bool {
        self.endpoint.is_shared()
    }

    pub(super) fn option_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.option_fd()
    }

    pub(super) fn domain(&self) -> &Domain {
        &self.endpoint.domain
    }

    pub(super) fn host_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.host_fd()
    }

    pub(super) fn limits(&self) -> &SocketLimits {
        &self.limits
    }
}
