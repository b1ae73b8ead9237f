//! Listening: connections wait until they are accepted, in the kernel or in a queue of
//! the host's own.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use rustix::net::{Shutdown, SocketFlags};

use crate::address::Address;
use crate::error::Errno;
use crate::io::{AsyncFd, HostRuntime, Pollable};
use crate::policy::Policy;
use crate::socket::endpoint::Endpoint;
use crate::socket::held::{Claim, Keeper};
use crate::socket::lease::Lease;
#[cfg(feature = "components")]
use crate::socket::listen::LimitExceeded;
use crate::socket::listen::{
    AcceptFilter, Capacity, ListenConfig, ListenerQuota, LockedCounts, PendingConnection, Queue,
    RejectReason, concerns_one_connection, is_idle, kernel_backlog, reset,
};
use crate::socket::{Refusal, Socket};

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listening {
    config: ListenConfig,
    /// As the guest passed it last.
    backlog: u32,
    /// How many connections may wait.
    capacity: u32,
    pending: PendingQueue,
    /// Does the service hold the socket? Then a queue of the host's is not the guest's to end.
    is_held: bool,
    /// May the guest not take the connection that waits? That is known where somebody has told of it.
    #[cfg(feature = "components")]
    is_short: bool,
}

/// Where pending connections wait.
#[derive(Debug)]
enum PendingQueue {
    /// A lease where others have the listener too.
    Kernel(Arc<AsyncFd>, Option<Arc<Lease>>),
    Queue(Arc<Queue>),
}

impl PendingQueue {
    fn new(endpoint: &Endpoint, capacity: u32, config: &ListenConfig) -> Result<Self, Errno> {
        if let Some(claim) = endpoint.claim() {
            return Self::of_held(claim, endpoint, capacity, config);
        }
        let fd = Arc::clone(endpoint.fd());
        let lease = endpoint.is_shared.then(|| Lease::new(Arc::clone(&fd))).transpose()?;
        Ok(if config.rules.needs_queue() {
            Self::Queue(Queue::new(fd, lease, endpoint.domain.clone(), capacity, config)?)
        } else {
            Self::Kernel(AsyncFd::new(fd)?, lease.map(Arc::new))
        })
    }

    /// Of a held socket the gate is watched; a queue of the host's is the socket's, and every
    /// instance's that has it.
    fn of_held(
        claim: &Arc<Claim>,
        endpoint: &Endpoint,
        capacity: u32,
        config: &ListenConfig,
    ) -> Result<Self, Errno> {
        let held = claim.socket();
        if !config.rules.needs_queue() {
            let lease = held.lease()?.map(Arc::new);
            return Ok(Self::Kernel(AsyncFd::new(Arc::clone(claim.gate()))?, lease));
        }
        let make =
            || Queue::new(Arc::clone(held.fd()), held.lease()?, endpoint.domain.clone(), capacity, config);
        Ok(Self::Queue(held.queue(make)?))
    }
}

/// Where connections come from.
pub(super) enum AcceptSource {
    /// The kernel, through this filter, with a lease if the listener is shared, and how many
    /// connections can wait there.
    Kernel(Arc<dyn AcceptFilter>, Option<Arc<Lease>>, u32),
    Queue(Arc<Queue>, Arc<dyn AcceptFilter>),
    /// Nowhere: the instance is retired.
    Retired,
}

/// A connection taken from the queue.
#[derive(Debug)]
pub struct Accepted {
    /// The connected socket.
    pub socket: Socket,
    /// The peer's address.
    pub peer: Address,
}

impl Listening {
    /// Has the host listen, at an address that the policy allows. Where the host has
    /// `chosen` the port, it is asked for that too. A keeper holds the socket from now on,
    /// which asked for that address.
    pub(super) fn start(
        endpoint: &Endpoint,
        backlog: u32,
        config: ListenConfig,
        chosen: Option<&Policy>,
        keeper: Option<(&dyn Keeper, &Address)>,
    ) -> Result<Self, Refusal> {
        let capacity = config.capacity(backlog);
        let was_set = endpoint.reuse_address()?;
        // A failed `listen` changes nothing.
        let (pending, local) =
            Self::begin(endpoint, capacity, &config, chosen, keeper).inspect_err(|_| {
                if was_set {
                    endpoint.keep_address();
                }
            })?;
        let is_held = endpoint.claim().is_some();
        if let (Some(claim), Some((keeper, _))) = (endpoint.claim(), keeper) {
            keeper.takes_in(claim);
        }
        let listening = Self {
            config,
            backlog,
            capacity,
            pending,
            is_held,
            #[cfg(feature = "components")]
            is_short: false,
        };
        listening.config.accept_filter.listens(&local, listening.capacity());
        if let PendingQueue::Queue(queue) = &listening.pending {
            queue.serve();
            if is_held {
                // It may be an earlier instance's.
                queue.set_capacity(capacity);
            }
            if endpoint.claim().is_some_and(|claim| claim.is_ready()) {
                queue.use_filter(&listening.config.accept_filter);
            }
        }
        Ok(listening)
    }

    fn begin(
        endpoint: &Endpoint,
        capacity: u32,
        config: &ListenConfig,
        chosen: Option<&Policy>,
        keeper: Option<(&dyn Keeper, &Address)>,
    ) -> Result<(PendingQueue, Address), Refusal> {
        // Registered with the reactor only after the kernel listens: see `AsyncFd`.
        set_kernel_backlog(endpoint, capacity)?;
        let local = endpoint.local_address()?;
        let is_allowed = chosen.map_or(Ok(()), |policy| policy.narrow(endpoint.use_of(&local)));
        let is_adopted = endpoint.claim().is_some();
        let pending = is_allowed.map_err(Refusal::from).and_then(|()| {
            if let Some((keeper, asked)) = keeper {
                endpoint.hold(asked, keeper);
            }
            set_kernel_backlog(endpoint, capacity)?;
            Ok(PendingQueue::new(endpoint, capacity, config)?)
        });
        let pending = pending.inspect_err(|_| {
            // The kernel stops, too. What came from outside, or from an earlier instance, did
            // listen before.
            if !endpoint.is_inherited && !is_adopted {
                let _stopped = rustix::net::shutdown(endpoint.fd(), Shutdown::Both);
            }
        })?;
        Ok((pending, local))
    }

    /// Listens again. The profile is unchanged.
    pub(super) fn again(
        &mut self,
        endpoint: &Endpoint,
        backlog: u32,
        maximum: u32,
    ) -> Result<Capacity, Errno> {
        self.config.maximum = maximum;
        let now = self.config.capacity(backlog);
        if let PendingQueue::Kernel(..) = &self.pending {
            set_kernel_backlog(endpoint, now)?;
        }
        let capacity = Capacity { backlog, now, before: Some(self.capacity) };
        if (self.backlog, self.capacity) != (backlog, now) {
            self.config.accept_filter.listens(&endpoint.local_address()?, capacity);
        }
        (self.backlog, self.capacity) = (backlog, now);
        if let PendingQueue::Queue(queue) = &self.pending {
            queue.set_capacity(now);
        }
        Ok(capacity)
    }

    /// The limit to the number of connections, where it is reached.
    #[cfg(feature = "components")]
    pub(super) fn reached_limit(&self) -> Option<LimitExceeded> {
        self.config.accept_filter.quota()?.lock_counts().check().err()
    }

    /// Notes whether the guest may not take the connection that waits; returns whether that is new.
    #[cfg(feature = "components")]
    pub(super) fn note_shortage(&mut self, is_short: bool) -> bool {
        let was_short = std::mem::replace(&mut self.is_short, is_short);
        is_short && !was_short
    }

    /// Tells whoever runs the guest of the limit that is reached.
    #[cfg(feature = "components")]
    pub(super) fn tell_limit(&self) {
        if let Some(reached) = self.reached_limit() {
            self.config.accept_filter.is_full(reached);
        }
    }

    pub(super) fn backlog(&self) -> u32 {
        self.backlog
    }

    pub(super) fn capacity(&self) -> Capacity {
        Capacity { backlog: self.backlog, now: self.capacity, before: None }
    }

    /// Where the next connection comes from.
    pub(super) fn source(&self, is_retired: bool) -> AcceptSource {
        match &self.pending {
            _ if is_retired => AcceptSource::Retired,
            PendingQueue::Kernel(_, lease) => {
                AcceptSource::Kernel(Arc::clone(&self.config.accept_filter), lease.clone(), self.capacity)
            }
            PendingQueue::Queue(queue) => {
                AcceptSource::Queue(Arc::clone(queue), Arc::clone(&self.config.accept_filter))
            }
        }
    }

    /// What says that a connection waits.
    pub(super) fn pollable(&self) -> Arc<dyn Pollable> {
        match &self.pending {
            PendingQueue::Kernel(io, _) => Arc::<AsyncFd>::clone(io),
            PendingQueue::Queue(queue) => Arc::<Queue>::clone(queue),
        }
    }

    /// The registration of what connections wait at in the kernel.
    pub(super) fn async_fd(&self) -> Option<&Arc<AsyncFd>> {
        match &self.pending {
            PendingQueue::Kernel(io, _) => Some(io),
            PendingQueue::Queue(_) => None,
        }
    }

    /// What it sets takes effect from now on: it decides whom a queue of the host's takes.
    pub(super) fn make_ready(&self) {
        if let PendingQueue::Queue(queue) = &self.pending {
            queue.use_filter(&self.config.accept_filter);
        }
    }

    /// The queue where it is the host's.
    pub(super) fn queue(&self) -> Option<&Arc<Queue>> {
        match &self.pending {
            PendingQueue::Kernel(..) => None,
            PendingQueue::Queue(queue) => Some(queue),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let PendingQueue::Queue(queue) = &self.pending
            && !self.is_held
        {
            queue.close();
        }
    }
}

/// Sets the kernel's queue to `capacity` connections. A shared listener has one queue for all its
/// users, which is left as it is: "The backlog argument provides a hint to the
/// implementation which the implementation shall use to limit the number of outstanding
/// connections in the socket's listen queue." - listen(3p)
fn set_kernel_backlog(endpoint: &Endpoint, capacity: u32) -> Result<(), Errno> {
    if endpoint.is_shared() {
        return Ok(());
    }
    match endpoint.claim() {
        Some(claim) => claim.listen(kernel_backlog(capacity)),
        None => Ok(rustix::net::listen(endpoint.fd(), kernel_backlog(capacity))?),
    }
}

/// How many connections an accept checks, at least: some may be broken.
const LEAST: u32 = 64;

/// Takes the first connection that is still good from the kernel's queue, where `capacity` can wait.
/// Refused peers see a reset.
///
/// Checks no more than can have been pending when it began, so that refused peers that arrive faster than
/// they are rejected do not occupy the thread. Later arrivals are a new change.
pub(super) fn try_accept(
    listener: &Endpoint,
    accept_filter: &dyn AcceptFilter,
    lease: Option<&Lease>,
    capacity: u32,
) -> Result<PendingConnection, Refusal> {
    for _ in 0..=capacity.max(LEAST) {
        if let Some(lease) = lease
            && !lease.may_accept()?
        {
            return Err(Errno::EAGAIN.into());
        }
        // Held until the connection is counted, so that no other call takes the last permit.
        let held = accept_filter.quota().map(ListenerQuota::lock_counts);
        if let Some(Err(reached)) = held.as_ref().map(LockedCounts::check) {
            drop(held);
            // A limit that keeps no connection waiting is not an error.
            if is_idle(listener.fd()) {
                return Err(Errno::EAGAIN.into());
            }
            accept_filter.is_full(reached);
            return Err(Refusal::Limited(reached));
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accept = || rustix::net::acceptfrom_with(listener.fd(), flags);
        let accepted = HostRuntime::of_process().descriptors.for_guest(1, accept, |(fd, _)| fd.as_raw_fd());
        let (socket, peer) = match accepted {
            Ok((socket, Some(peer))) => (socket, listener.domain.read(peer)?),
            // The peer's address comes with the connection; one without is already gone.
            Ok((_, None)) => continue,
            Err(error) if concerns_one_connection(error) => continue,
            Err(error) => return Err(Errno::from(error).into()),
        };
        let permit = accept_filter.admit(&peer).map_err(RejectReason::Denied).and_then(|()| {
            let permit = held.map(|held| held.take(&peer));
            permit.transpose().map_err(RejectReason::PeerLimit)
        });
        match permit {
            Ok(permit) => {
                accept_filter.accepted();
                return Ok(PendingConnection { socket, peer, permit, _held: None });
            }
            Err(why) => {
                reset(&socket);
                drop(socket);
                accept_filter.rejected(peer, why);
            }
        }
    }
    Err(Errno::EAGAIN.into())
}
