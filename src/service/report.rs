//! What a guest's operator is told.
//!
//! Apart from the service, because the queue of a listener tells too, and must not
//! keep the service alive.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::observe::{Delivery, Event, Limit, Observer, Refused};
use crate::policy::{Denial, Policy, Use};
use crate::socket::listen::{AcceptFilter, Capacity, LimitExceeded, ListenerQuota, RejectReason};
use crate::socket::{ReceiveFilter, Socket};

/// How many different refusals are remembered, so that each is told once. A guest
/// that asks for more different things than this is told of without end no more.
const MAX_TOLD_DENIALS: usize = 1024;

/// How long a limit that was told of is not told of again: a busy server reaches it all
/// the time.
const LIMIT_REST: Duration = Duration::from_secs(60);

/// Tells the operator of events, if somebody listens.
#[derive(Debug)]
pub(crate) struct Report {
    delivery: Option<Delivery>,
    told: Mutex<HashSet<(&'static str, Denial)>>,
    told_limits: ToldLimits,
}

/// Ends an instance where a thread or a task of the host's has panicked, which did this for it.
pub(crate) type HostFailed = Arc<dyn Fn(&'static str) + Send + Sync>;

impl Report {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            delivery: observer.map(Delivery::new),
            told: Mutex::default(),
            told_limits: ToldLimits::default(),
        }
    }

    /// Tells of an event.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(delivery) = &self.delivery {
            delivery.send(event);
        }
    }

    /// Does somebody want to hear of each connection?
    pub(crate) fn wants_connections(&self) -> bool {
        self.delivery.as_ref().is_some_and(Delivery::wants_connections)
    }

    /// Tells of a refusal of `call`, each different one once.
    pub(crate) fn tell_denial(&self, call: &'static str, denial: Denial) {
        let is_new = {
            let mut told = unpoisoned(&self.told);
            told.len() < MAX_TOLD_DENIALS && told.insert((call, denial.clone()))
        };
        if is_new {
            self.tell(Event::Denied { call, what: denial.what, rule: denial.rule, flag: denial.flag });
        }
    }

    /// Tells that `fd`, with this address, wanted a larger buffer than it may have.
    pub(crate) fn tell_buffer(&self, fd: u32, local: Address, most: u32) {
        let limit = Limit::SocketBuffer;
        if self.told_limits.is_due(limit) {
            self.tell(Event::Limited { fd, local, peer: None, limit, most });
        }
    }

    /// Tells that the guest was denied memory.
    pub(crate) fn tell_memory(&self, limit: Limit, most: u64) {
        if self.told_limits.is_due(limit) {
            self.tell(Event::MemoryDenied { limit, most });
        }
    }

    /// Tells that the descriptor table of the guest was full.
    pub(crate) fn tell_table_full(&self, most: u64) {
        if self.told_limits.is_due(Limit::Descriptors) {
            self.tell(Event::TableFull { most });
        }
    }

    /// Waits until all that was told has arrived.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        self.delivery.as_ref().is_none_or(|delivery| delivery.flush(limit))
    }
}

/// How many senders of one socket are told of as refused: anybody may send from any
/// address, and what the guest is refused should be told too.
const MAX_TOLD_SENDERS: usize = 16;

/// Stands before one datagram socket.
pub(crate) struct PolicyReceiveFilter {
    report: Arc<Report>,
    policy: Arc<Policy>,
    told: Mutex<HashSet<IpAddr>>,
}

impl PolicyReceiveFilter {
    /// Has one stand before `socket`, where the policy says who may send.
    pub(crate) fn install_on(socket: &Socket, report: &Arc<Report>, policy: &Arc<Policy>) {
        if policy.narrows_senders() {
            let (report, policy) = (Arc::clone(report), Arc::clone(policy));
            socket.set_receive_filter(Arc::new(Self { report, policy, told: Mutex::default() }));
        }
    }
}

impl ReceiveFilter for PolicyReceiveFilter {
    fn admits(&self, from: SocketAddr) -> bool {
        let Err(denial) = self.policy.check(Use::UdpReceive(from)) else { return true };
        let is_new = {
            let mut told = unpoisoned(&self.told);
            told.len() < MAX_TOLD_SENDERS && told.insert(from.ip())
        };
        if is_new {
            self.report.tell_denial("sock_recv_from", denial);
        }
        false
    }
}

/// Stands at the queue of one listener.
pub(crate) struct PolicyAcceptFilter {
    pub(crate) report: Arc<Report>,
    pub(crate) policy: Arc<Policy>,
    /// The descriptor with which it began to listen.
    pub(crate) listener: u32,
    /// The listener's address, where it is known.
    pub(crate) local: Address,
    /// Where its connections are counted, if they are.
    pub(crate) quota: Option<ListenerQuota>,
    /// When it was told that a limit was reached.
    pub(crate) told: ToldLimits,
    /// Ends the instance that listens where the host fails.
    pub(crate) failed: HostFailed,
}

impl AcceptFilter for PolicyAcceptFilter {
    fn listens(&self, local: &Address, capacity: Capacity) {
        let local = local.clone();
        let (fd, Capacity { backlog, now, before }) = (self.listener, capacity);
        self.report.tell(match before {
            None => Event::Listening { fd, local, backlog, result: Ok(now) },
            Some(_) => Event::BacklogChanged { fd, local, backlog, capacity: now },
        });
    }

    fn admit(&self, peer: &Address) -> Result<(), Denial> {
        // Who may reach a name is for the file's mode to say.
        let Some(inet) = peer.inet() else { return Ok(()) };
        self.policy.check(Use::TcpAccept(inet))
    }

    fn quota(&self) -> Option<&ListenerQuota> {
        self.quota.as_ref()
    }

    fn rejected(&self, peer: Address, why: RejectReason) {
        let why = match why {
            RejectReason::QueueFull => Refused::QueueFull,
            RejectReason::Shrunk => Refused::Shrunk,
            RejectReason::Denied(denial) => {
                self.report.tell_denial("sock_accept", denial);
                Refused::Policy
            }
            RejectReason::PeerLimit(reached) => {
                self.tell_limit(reached, Some(peer.clone()));
                Refused::PeerLimit
            }
        };
        if self.report.wants_connections() {
            let (listener, local) = (self.listener, self.local.clone());
            self.report.tell(Event::Refused { listener, local, peer, why });
        }
    }

    fn is_full(&self, reached: LimitExceeded) {
        self.tell_limit(reached, None);
    }

    fn host_failed(&self) {
        (self.failed)("took connections in");
    }
}

impl PolicyAcceptFilter {
    fn tell_limit(&self, reached: LimitExceeded, peer: Option<Address>) {
        let LimitExceeded { limit, most } = reached;
        if self.told.is_due(limit) {
            let (fd, local) = (self.listener, self.local.clone());
            self.report.tell(Event::Limited { fd, local, peer, limit, most });
        }
    }
}

/// When it was last told of each limit that it was reached.
#[derive(Debug, Default)]
pub(crate) struct ToldLimits(Mutex<HashMap<Limit, Instant>>);

impl ToldLimits {
    /// Is it time to tell of `limit`? It is told then.
    pub(super) fn is_due(&self, limit: Limit) -> bool {
        let now = Instant::now();
        let mut told = unpoisoned(&self.0);
        let is_due = told.get(&limit).is_none_or(|last| now.duration_since(*last) >= LIMIT_REST);
        if is_due {
            told.insert(limit, now);
        }
        is_due
    }
}

/// Takes a lock; what it guards is whole whenever the lock is free.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
