//! What listening means: the profiles, and the queue that the host owns where a
//! profile asks for more than the kernel does.
//!
//! Key types: [`ListenProfile`], [`ListenConfig`], [`Queue`], [`AcceptFilter`], [`ListenerQuota`].

mod kernel_queue;
mod limits;
mod profile;
mod queue;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno as Os;

use crate::account::{Account, Charge};
use crate::address::Address;
use crate::policy::Denial;
use crate::socket::AcceptRates;

pub(crate) use kernel_queue::{KernelQueues, kernel_queues};
pub(crate) use limits::LockedCounts;
pub use limits::{ConnectionLimiter, ConnectionLimits, ConnectionPermit, LimitExceeded, ListenerQuota};
pub(in crate::socket) use limits::{Peer, peer_of};
pub(crate) use profile::kernel_backlog;
pub use profile::{
    ListenProfile, ListenRules, NegativeBacklog, OverflowPolicy, QueueCapacity, UnboundListen,
};
pub use queue::Queue;
pub(crate) use queue::reset;

/// How a socket listens: the settings of the operator and of the kernel.
#[derive(Clone)]
pub struct ListenConfig {
    /// What the profile decides.
    pub rules: ListenRules,
    /// The operator's maximum for backlogs.
    pub maximum: u32,
    /// The kernel's own maximum, which it applies to every backlog.
    pub kernel_maximum: u32,
    /// What the connections in a queue of the host's are charged on.
    pub account: Arc<Account>,
    /// Is notified, and admits connections to a queue that the host owns.
    pub accept_filter: Arc<dyn AcceptFilter>,
}

impl ListenConfig {
    /// How many connections may wait for the backlog that the guest passed.
    pub fn capacity(&self, backlog: u32) -> u32 {
        let capacity = self.rules.capacity(backlog, self.maximum);
        if self.rules.needs_queue() {
            return capacity;
        }
        // The kernel holds one more than it is passed, and no more than that.
        capacity.min(self.kernel_maximum.saturating_add(1))
    }
}

impl fmt::Debug for ListenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenConfig").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Decides about the connections of a listener. Called with the lock of the socket or of its
/// queue held, on whichever thread serves it: it must not block.
pub trait AcceptFilter: Send + Sync {
    /// Is called when the socket listens, or its capacity has changed: before a
    /// connection is accepted, or reset because of it.
    fn listens(&self, local: &Address, capacity: Capacity);

    /// Is a connection from this peer admitted?
    ///
    /// # Errors
    ///
    /// The policy's refusal; the peer is to be reset.
    fn admit(&self, peer: &Address) -> Result<(), Denial>;

    /// Where connections are counted, if there is a limit to their number.
    fn quota(&self) -> Option<&ListenerQuota>;

    /// How many connections may come in a second.
    fn rates(&self) -> AcceptRates {
        AcceptRates::default()
    }

    /// Counts a connection that the guest gets.
    fn accepted(&self) {}

    /// Is called when a peer was reset.
    fn rejected(&self, peer: Address, why: RejectReason);

    /// Is called when this limit keeps a connection waiting.
    fn is_full(&self, reached: LimitExceeded);

    /// Is called when the task that takes connections has panicked: no more connections are accepted.
    fn host_failed(&self) {}
}

/// A connection taken from the kernel, and its peer.
#[derive(Debug)]
pub(crate) struct PendingConnection {
    // Before its permit, which is released once the socket is closed.
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Address,
    /// Where connections are counted.
    pub(crate) permit: Option<ConnectionPermit>,
    /// What the host holds for it while it waits in a queue of the host's.
    pub(crate) _held: Option<Charge>,
}

/// How many connections may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The backlog as the guest passed it.
    pub backlog: u32,
    /// How many may wait from now on.
    pub now: u32,
    /// How many could until now; `None` where the socket did not listen.
    pub before: Option<u32>,
}

/// Errors of accept that belong to a connection which broke while it waited, not to
/// the listener.
///
/// "Linux accept() passes already-pending network errors on the new socket as an
/// error code from accept(). ... For reliable operation the application should ...
/// treat them like EAGAIN by retrying." - accept(2)
pub(in crate::socket) fn concerns_one_connection(error: Os) -> bool {
    matches!(
        error,
        Os::CONNABORTED | Os::INTR | Os::PROTO | Os::HOSTUNREACH | Os::NETUNREACH | Os::NOPROTOOPT
    )
}

/// Is the kernel's queue of `listener` empty?
pub(in crate::socket) fn is_idle(listener: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&listener, PollFlags::IN)];
    matches!(rustix::event::poll(&mut fds, Some(&Timespec::default())), Ok(0))
}

/// Why a connection was reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// As many waited as may.
    QueueFull,
    /// It waited already, and exceeds a new backlog.
    Shrunk,
    /// The policy refuses its address.
    Denied(Denial),
    /// Its peer has reached its limit.
    PeerLimit(LimitExceeded),
}
