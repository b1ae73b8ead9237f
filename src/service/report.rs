//! Reports events and limits to a guest's operator.
//!
//! Separate from the service, because the queue of a listener reports too, and must not
//! keep the service alive.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::counters::{Counters, ListenerCounters, count};
use super::denials::Denials;
use super::usage::UsageOfAll;
use crate::address::Address;
use crate::observe::status::DenialStatus;
use crate::observe::{Delivery, DrainEnd, Event, Limit, Metrics, Observer, Refused};
use crate::policy::{Denial, Policy, Use};
use crate::socket::listen::{AcceptFilter, Capacity, LimitExceeded, ListenerQuota, RejectReason};
use crate::socket::{AcceptRates, ReceiveFilter, Socket};

/// How long a reported limit is not reported again: a busy server reaches it all
/// the time.
const LIMIT_REST: Duration = Duration::from_secs(60);

/// Passes events to the observer, if there is one.
#[derive(Debug)]
pub(crate) struct Report {
    delivery: Option<Delivery>,
    denials: Denials,
    reported_limits: ReportedLimits,
    counters: Counters,
    usage: UsageOfAll,
}

/// Ends an instance where a thread or a task of the host's has panicked, which did this for it.
pub(crate) type HostFailed = Arc<dyn Fn(&'static str) + Send + Sync>;

impl Report {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            delivery: observer.map(Delivery::new),
            denials: Denials::default(),
            reported_limits: ReportedLimits::default(),
            counters: Counters::default(),
            usage: UsageOfAll::default(),
        }
    }

    /// What was counted so far.
    pub(crate) fn metrics(&self) -> Metrics {
        let used = self.usage.read();
        Metrics {
            denied_calls: self.denials.by_call(),
            received_bytes: used.received_bytes,
            sent_bytes: used.sent_bytes,
            cpu_time: used.cpu_time,
            ..self.counters.read()
        }
    }

    /// What the instances use.
    pub(super) fn usage(&self) -> &UsageOfAll {
        &self.usage
    }

    /// The newest distinct refusals.
    pub(crate) fn denials(&self) -> Vec<DenialStatus> {
        self.denials.newest()
    }

    /// How often a limit was reached.
    pub(crate) fn reached(&self, limit: Limit) -> u64 {
        self.counters.reached(limit)
    }

    /// An instance of the module was made, in so much time.
    pub(crate) fn counted_instantiation(&self, took: Duration) {
        self.counters.instantiations.add(took);
    }

    /// An instance has ended and is started anew.
    pub(crate) fn counted_restart(&self) {
        count(&self.counters.restarts);
    }

    /// An instance was made for a connection.
    pub(crate) fn counted_instance(&self) {
        count(&self.counters.instances);
    }

    /// Such an instance has ended by a trap, a limit or a failing exit code.
    pub(crate) fn counted_failed_instance(&self) {
        count(&self.counters.failed_instances);
    }

    /// Is there somebody to tell?
    pub(crate) fn has_observer(&self) -> bool {
        self.delivery.is_some()
    }

    /// A reload is over; did it put the new generation in the old one's place?
    pub(crate) fn counted_reload(&self, is_done: bool) {
        count(if is_done { &self.counters.reloads } else { &self.counters.failed_reloads });
    }

    /// So many connections were reset at the end of a drain.
    pub(crate) fn counted_reset(&self, connections: usize) {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX);
        self.counters.drain_resets.fetch_add(connections, Relaxed);
    }

    /// So many clients that waited at `local` were reset, for nobody will accept them.
    pub(crate) fn reset_waiting(&self, local: Address, connections: usize) {
        if connections > 0 {
            let counters = self.counters.of(&local);
            counters.left_waiting.fetch_add(u64::try_from(connections).unwrap_or(u64::MAX), Relaxed);
            self.tell(Event::WaitingReset { local, connections });
        }
    }

    /// A connection at the listener `local` was reset because nothing went through it.
    pub(crate) fn counted_idle(&self, local: &Address) {
        count(&self.counters.of(local).idle);
        self.counted_limit(Limit::IdleTimeout);
    }

    /// A limit was reached, of which something else tells.
    pub(crate) fn counted_limit(&self, limit: Limit) {
        self.counters.count_reached(limit);
    }

    /// An instance of this generation, which drained, has ended with so many connections open.
    pub(super) fn cut(&self, generation: u32, connections: usize) {
        let count = u64::try_from(connections).unwrap_or(u64::MAX);
        self.counters.drain_cuts.fetch_add(count, Relaxed);
        self.tell(Event::DrainTimeout { generation, connections, cause: DrainEnd::Ended });
    }

    /// Reports an event.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(delivery) = &self.delivery {
            delivery.send(event);
        }
    }

    /// Does the observer want an event for each connection?
    pub(crate) fn wants_connections(&self) -> bool {
        self.delivery.as_ref().is_some_and(Delivery::wants_connections)
    }

    /// Reports a refusal of `call`, each distinct one once.
    pub(crate) fn report_denial(&self, call: &'static str, denial: Denial) {
        if self.denials.add(call, &denial) {
            self.tell(Event::Denied { call, what: denial.what, rule: denial.rule, flag: denial.flag });
        }
    }

    /// Reports that `fd`, with this address, asked for a larger buffer than allowed.
    pub(crate) fn report_buffer(&self, fd: u32, local: Address, most: u32) {
        let limit = Limit::SocketBuffer;
        self.counters.count_reached(limit);
        if self.reported_limits.is_due(limit) {
            self.tell(Event::Limited { fd, local, peer: None, limit, most });
        }
    }

    /// Reports that the guest was denied memory.
    pub(crate) fn report_memory(&self, limit: Limit, most: u64) {
        self.counters.count_reached(limit);
        if self.reported_limits.is_due(limit) {
            self.tell(Event::MemoryDenied { limit, most });
        }
    }

    /// Tells that the descriptor table of the guest was full.
    pub(crate) fn tell_table_full(&self, most: u64) {
        self.counters.count_reached(Limit::Descriptors);
        if self.reported_limits.is_due(Limit::Descriptors) {
            self.tell(Event::TableFull { most });
        }
    }

    /// Tells that the guest had as many processes as it may have.
    pub(crate) fn tell_too_many_processes(&self, most: u64) {
        self.counters.count_reached(Limit::Processes);
        if self.reported_limits.is_due(Limit::Processes) {
            self.tell(Event::TooManyProcesses { most });
        }
    }

    /// Waits until all that was told has arrived.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        self.delivery.as_ref().is_none_or(|delivery| delivery.flush(limit))
    }
}

/// How many refused senders of one socket are reported: datagrams may come from any number of
/// addresses, and the guest's own refusals should be reported too.
const MAX_REPORTED_SENDERS: usize = 16;

/// Stands before one datagram socket.
pub(crate) struct PolicyReceiveFilter {
    report: Arc<Report>,
    policy: Arc<Policy>,
    /// The call that receives, as the operator knows it.
    call: &'static str,
    told: Mutex<HashSet<IpAddr>>,
}

impl PolicyReceiveFilter {
    /// Installs the filter on `socket`, if the policy restricts senders.
    pub(crate) fn install_on(
        socket: &Socket,
        report: &Arc<Report>,
        policy: &Arc<Policy>,
        call: &'static str,
    ) {
        if policy.narrows_senders() {
            let (report, policy) = (Arc::clone(report), Arc::clone(policy));
            socket.set_receive_filter(Arc::new(Self { report, policy, call, told: Mutex::default() }));
        }
    }
}

impl ReceiveFilter for PolicyReceiveFilter {
    fn admits(&self, from: SocketAddr) -> bool {
        let Err(denial) = self.policy.check(Use::UdpReceive(from)) else { return true };
        let is_new = {
            let mut told = unpoisoned(&self.told);
            told.len() < MAX_REPORTED_SENDERS && told.insert(from.ip())
        };
        match is_new {
            true => self.report.report_denial(self.call, denial),
            false => self.report.denials.count(self.call),
        }
        false
    }
}

/// Stands at the queue of one listener.
pub(crate) struct PolicyAcceptFilter {
    pub(crate) report: Arc<Report>,
    pub(crate) policy: Arc<Policy>,
    /// The call that accepts, as the operator knows it.
    pub(crate) call: &'static str,
    /// The descriptor with which it began to listen.
    pub(crate) listener: u32,
    /// The listener's address, where it is known.
    pub(crate) local: Address,
    /// Where its connections are counted, if they are.
    pub(crate) quota: Option<ListenerQuota>,
    /// How many may come in a second.
    pub(crate) rates: AcceptRates,
    /// When each limit was last reported.
    pub(crate) told: ReportedLimits,
    /// Ends the instance that listens where the host fails.
    pub(crate) failed: HostFailed,
    /// Known once it listens, for then it has its address.
    pub(super) counters: OnceLock<Arc<ListenerCounters>>,
}

impl AcceptFilter for PolicyAcceptFilter {
    fn listens(&self, local: &Address, capacity: Capacity) {
        self.counters.get_or_init(|| self.report.counters.of(local));
        let local = local.clone();
        let (fd, Capacity { backlog, now, before }) = (self.listener, capacity);
        self.report.tell(match before {
            None => Event::Listening { fd, local, backlog, result: Ok(now) },
            Some(_) => Event::BacklogChanged { fd, local, backlog, capacity: now },
        });
    }

    fn admit(&self, peer: &Address) -> Result<(), Denial> {
        // Access to a name is decided by the mode of its file.
        let Some(inet) = peer.inet() else { return Ok(()) };
        self.policy.check(Use::TcpAccept(inet))
    }

    fn quota(&self) -> Option<&ListenerQuota> {
        self.quota.as_ref()
    }

    fn rates(&self) -> AcceptRates {
        self.rates
    }

    fn accepted(&self) {
        self.count(|counters| &counters.accepted);
    }

    fn rejected(&self, peer: Address, why: RejectReason) {
        self.count(|counters| match why {
            RejectReason::QueueFull => &counters.queue_full,
            RejectReason::Shrunk => &counters.shrunk,
            RejectReason::Denied(_) => &counters.policy,
            RejectReason::PeerLimit(_) => &counters.peer_limit,
        });
        let why = match why {
            RejectReason::QueueFull => Refused::QueueFull,
            RejectReason::Shrunk => Refused::Shrunk,
            RejectReason::Denied(denial) => {
                self.report.report_denial(self.call, denial);
                Refused::Policy
            }
            RejectReason::PeerLimit(reached) => {
                self.report_limit(reached, Some(peer.clone()));
                Refused::PeerLimit
            }
        };
        if self.report.wants_connections() {
            let (listener, local) = (self.listener, self.local.clone());
            self.report.tell(Event::Refused { listener, local, peer, why });
        }
    }

    fn is_full(&self, reached: LimitExceeded) {
        self.count(|counters| &counters.limit_reached);
        self.report_limit(reached, None);
    }

    fn host_failed(&self) {
        (self.failed)("took connections in");
    }
}

impl PolicyAcceptFilter {
    fn count(&self, which: impl FnOnce(&ListenerCounters) -> &AtomicU64) {
        if let Some(counters) = self.counters.get() {
            count(which(counters));
        }
    }

    fn report_limit(&self, reached: LimitExceeded, peer: Option<Address>) {
        let LimitExceeded { limit, most } = reached;
        self.report.counters.count_reached(limit);
        if self.told.is_due(limit) {
            let (fd, local) = (self.listener, self.local.clone());
            self.report.tell(Event::Limited { fd, local, peer, limit, most });
        }
    }
}

/// When each limit was last reported as reached.
#[derive(Debug, Default)]
pub(crate) struct ReportedLimits(Mutex<HashMap<Limit, Instant>>);

impl ReportedLimits {
    /// Is it time to report `limit`? If so, it counts as reported now.
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
pub(super) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
