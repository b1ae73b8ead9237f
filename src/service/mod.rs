//! What outlives the instances of a guest: the operator's policy and limits, the observer, on
//! what terms sockets listen, and the sockets that are [held](held) while instances come and go.
//!
//! A [`ServiceState`] is made once for each context that an embedder builds, and every instance
//! that follows the first one, by a restart for instance, belongs to it. An instance keeps
//! its service alive; the service knows nothing of how an instance runs.

mod counters;
mod denials;
mod held;
mod in_flight;
mod instance;
mod lent;
mod limits;
mod report;
mod status;
mod usage;

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::account::Account;
use crate::address::Address;
use crate::io::{Watchers, own_reactor};
use crate::observe::{Event, Observer};
use crate::policy::{Grant, Policy};
use crate::socket::held::{Claim, Made, Owner};
use crate::socket::listen::{ConnectionLimiter, ConnectionLimits, ListenConfig, ListenProfile};
use crate::socket::{AcceptRates, Kind, Socket};

use held::{HeldSockets, MEANT_AFTER, Unclaimed};
use in_flight::KEPT_AFTER_END;
pub(crate) use in_flight::{InFlight, Token};
pub(crate) use instance::Instance;
use instance::State;
pub(crate) use lent::Lent;
pub(crate) use limits::change as limit_change;
pub(crate) use report::{HostFailed, PolicyReceiveFilter, Report};
use report::{PolicyAcceptFilter, ReportedLimits};
pub(crate) use status::{GuestListener, Peak, inode_of};
pub(crate) use usage::Usage;

/// What the operator chose for a service.
pub struct ServiceConfig {
    /// What its guests may do.
    pub policy: Arc<Policy>,
    /// How much each instance may have.
    pub limits: Limits,
    /// The operator's maximum for backlogs.
    pub max_backlog: u32,
    /// The kernel's own.
    pub kernel_max_backlog: u32,
    /// What `listen` means.
    pub listen_profile: ListenProfile,
    /// What it means at some addresses; the first that fits counts.
    pub listen_profiles_at: Vec<(Grant, ListenProfile)>,
    /// Counts connections, where their number is limited.
    pub connection_limiter: Option<Arc<ConnectionLimiter>>,
    /// How many connections may come in a second.
    pub accept_rates: AcceptRates,
    /// How many bytes a buffer of a socket may have, as the kernel counts them.
    pub max_socket_buffer: Option<u32>,
    /// Do the names that Unix sockets make go when they close?
    pub removes_unix_names: bool,
    /// Do the processes of a guest live on whose first one has ended?
    pub keeps_orphans: bool,
    /// Which sockets stay open when an instance ends.
    pub held: Holding,
    /// How long an instance that serves may leave a held socket unclaimed.
    pub unclaimed_timeout: Duration,
    /// Receives events.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Stands for a listener of the host's own where events have the guest's descriptor.
pub(crate) const HOST_LISTENER: u32 = u32::MAX;

/// Which sockets stay open when an instance ends: those that listen, and those that receive
/// datagrams at an address that was not left to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// None.
    Nothing,
    /// Those that were given to the service, and none that a guest makes.
    Inherited,
    /// All, as long as some instance is there: between an instance and the one that takes its
    /// place.
    WhileRunning,
    /// All, as long as the embedder has the service.
    Always,
}

/// How much one instance may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many descriptors may be open at once.
    pub max_fds: u32,
    /// How many threads may run at once, the first one included.
    pub max_threads: u32,
    /// How many processes may there be at once, the first one included.
    pub max_processes: u32,
    /// How many bytes the guest's own memories and tables may have.
    pub max_memory: u64,
    /// How many bytes of stack each thread has.
    pub max_stack: u32,
    /// How many bytes the host may hold for the guest.
    pub max_host_memory: u64,
    /// How many calls may stop a thread of the host's at once.
    pub max_blocking_calls: u32,
    /// How much processor time the guest may use.
    pub max_cpu_time: Option<Duration>,
    /// For how long it may run.
    pub timeout: Option<Duration>,
    /// How long a handler of events may run.
    pub handler_timeout: Option<Duration>,
    /// For how long nothing may go through a connection.
    pub idle_timeout: Option<Duration>,
    /// After how long without traffic a guest that drains sees the end of a connection.
    pub drain_idle: Option<Duration>,
}

/// What the instances of a generation share: what the operator chose for it, and what the
/// service has for all generations.
pub struct ServiceState {
    config: ServiceConfig,
    /// Changes while guests run.
    max_backlog: AtomicU32,
    /// What its instances pass to each other.
    in_flight: Arc<InFlight>,
    lasting: Arc<Lasting>,
}

/// What all generations of a service share.
struct Lasting {
    report: Arc<Report>,
    held: HeldSockets,
    /// How many instances there are.
    instances: AtomicUsize,
    last_instance: AtomicU64,
    /// The generation of the newest instance.
    generation: AtomicU32,
    /// Woken by what a supervisor looks at: an instance listens, or has ended, or a retired one
    /// has closed something.
    changes: Watchers,
    /// Has a generation several workers?
    has_workers: AtomicBool,
}

impl ServiceState {
    /// A service without instances.
    pub fn new(mut config: ServiceConfig) -> Arc<Self> {
        let report = Arc::new(Report::new(config.observer.take()));
        let lasting = Arc::new(Lasting {
            report,
            held: HeldSockets::default(),
            instances: AtomicUsize::new(0),
            last_instance: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            changes: Watchers::default(),
            has_workers: AtomicBool::new(false),
        });
        Self::of(config, lasting)
    }

    fn of(config: ServiceConfig, lasting: Arc<Lasting>) -> Arc<Self> {
        let (max_backlog, in_flight) = (AtomicU32::new(config.max_backlog), Arc::default());
        Arc::new(Self { max_backlog, in_flight, lasting, config })
    }

    /// The same service for a generation with other settings, but for those that hold for the
    /// service itself: its observer, and which sockets it holds for how long. Connections go on
    /// being counted.
    pub(crate) fn with_settings(&self, config: ServiceConfig, limits: ConnectionLimits) -> Arc<Self> {
        let mut config = ServiceConfig {
            held: self.config.held,
            unclaimed_timeout: self.config.unclaimed_timeout,
            observer: None,
            connection_limiter: ConnectionLimiter::after(self.config.connection_limiter.as_ref(), limits),
            ..config
        };
        self.lasting.held.inherited().iter().for_each(|(kind, local)| {
            grant_inherited(Arc::make_mut(&mut config.policy), *kind, local);
        });
        Self::of(config, Arc::clone(&self.lasting))
    }

    /// The first instance of the next generation. What it sets on held sockets takes effect when
    /// it is ready; at once, where there is no other instance.
    pub(crate) fn next_generation(self: &Arc<Self>) -> Instance {
        self.instance_of(self.begin_generation(), 0, false)
    }

    /// Another worker of the newest generation, which serves already.
    pub(crate) fn worker(self: &Arc<Self>, worker: u32) -> Instance {
        self.instance_of(self.lasting.generation.load(SeqCst), worker, worker > 0)
    }

    /// Several workers of a generation run from now on.
    pub(crate) fn expect_workers(&self) {
        self.lasting.has_workers.store(true, SeqCst);
    }

    fn has_workers(&self) -> bool {
        self.lasting.has_workers.load(SeqCst)
    }

    /// The number of the next generation, of which there is no instance yet.
    pub(crate) fn begin_generation(&self) -> u32 {
        self.lasting.generation.fetch_add(1, SeqCst).saturating_add(1)
    }

    /// A worker of this generation. Does that serve already? So it does where nobody else is there.
    pub(crate) fn instance_of(self: &Arc<Self>, generation: u32, worker: u32, serves: bool) -> Instance {
        let instance = self.lasting.last_instance.fetch_add(1, SeqCst).saturating_add(1);
        let others = self.lasting.instances.fetch_add(1, SeqCst);
        Instance::new(
            self,
            Owner { instance, generation, worker },
            serves || others == 0,
            self.lasting.report.usage().begin(instance),
        )
    }

    /// An instance is gone, and uses nothing any more.
    fn forget_instance(&self, owner: Owner) {
        self.lasting.report.usage().end(owner.instance);
    }

    /// An instance of this generation, for one connection: it is ready from its start on.
    pub(crate) fn instance_for_connection(self: &Arc<Self>, generation: u32) -> Instance {
        let instance = self.lasting.last_instance.fetch_add(1, SeqCst).saturating_add(1);
        self.lasting.instances.fetch_add(1, SeqCst);
        // Each is a worker by itself: what one listens at is no other's.
        let worker = u32::try_from(instance & u64::from(u32::MAX)).unwrap_or(0);
        let usage = self.lasting.report.usage().begin(instance);
        Instance::for_connection(self, Owner { instance, generation, worker }, usage)
    }

    /// An instance has ended. With the last one goes what was held for the next, and what is on its way
    /// to nobody. Who watches is told if `tells`.
    fn instance_ended(self: &Arc<Self>, owner: Owner, tells: bool) {
        let was_last = self.lasting.instances.fetch_sub(1, SeqCst) == 1;
        match was_last {
            true => self.in_flight.clear(),
            false => self.close_sent_later(owner),
        }
        if was_last && self.config.held != Holding::Always {
            self.lasting.held.clear();
        }
        if tells {
            self.changed();
        }
    }

    /// Closes in a while what an instance, which has ended, has sent to others that do not receive it.
    fn close_sent_later(&self, owner: Owner) {
        if self.in_flight.sender_ended(owner.instance) {
            let in_flight = Arc::downgrade(&self.in_flight);
            self.later(KEPT_AFTER_END, move || {
                if let Some(in_flight) = in_flight.upgrade() {
                    in_flight.close_of(owner.instance);
                }
            });
        }
    }

    /// What its instances pass to each other.
    pub(crate) fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// Wakes who watches the instances.
    pub(crate) fn changed(&self) {
        self.lasting.changes.wake_all();
    }

    /// What is woken when an instance listens, or has ended, or a retired one has closed
    /// something.
    pub(crate) fn changes(&self) -> &Watchers {
        &self.lasting.changes
    }

    /// Holds a socket that was opened outside.
    pub(crate) fn inherit(&self, made: Made, is_shared: bool) {
        self.lasting.held.inherit(made, is_shared, false);
    }

    /// Holds a listener that each instance has from its start on.
    pub(crate) fn inherit_preopened(&self, made: Made, is_shared: bool) {
        self.lasting.held.inherit(made, is_shared, true);
    }

    /// Do datagrams come in at a socket that this generation has?
    pub(crate) fn takes_datagrams(&self, generation: u32) -> bool {
        self.lasting.held.takes_datagrams(generation)
    }

    /// Has the generation taken from a socket that is still held?
    pub(crate) fn has_listened(&self, generation: u32) -> bool {
        self.lasting.held.has_listened(generation)
    }

    /// Forgets what generations took that are not among those that are `left`.
    pub(crate) fn forget_but(&self, left: impl Fn(u32) -> bool) {
        self.lasting.held.forget_but(left);
    }

    /// Where the generation `before` has taken from held sockets and `after` does not; and whether
    /// `after` takes from any.
    pub(crate) fn missing(&self, before: u32, after: u32) -> (Vec<Address>, bool) {
        self.lasting.held.missing(before, after)
    }

    /// Closes in a while what no instance that serves has, if the one with this `state` serves
    /// still.
    fn close_unclaimed_later(self: &Arc<Self>, state: &Arc<State>) {
        let (service, state) = (Arc::downgrade(self), Arc::downgrade(state));
        self.later(self.config.unclaimed_timeout, move || {
            if let (Some(service), Some(state)) = (service.upgrade(), state.upgrade())
                && state.serves()
            {
                for Unclaimed { local, is_closed, waited } in service.lasting.held.close_unclaimed() {
                    service.lasting.report.tell(Event::Unclaimed { local: local.clone(), is_closed });
                    service.lasting.report.reset_waiting(local, waited);
                }
            }
        });
    }

    /// Calls `call` in a while.
    fn later(&self, after: Duration, call: impl FnOnce() + Send + 'static) {
        match own_reactor() {
            Ok(reactor) => drop(reactor.spawn(async move {
                tokio::time::sleep(after).await;
                call();
            })),
            // What was to be closed stays open until the service ends.
            Err(errno) => tracing::debug!("the service has no clock: {errno}"),
        }
    }

    /// The held sockets.
    pub(crate) fn held(&self) -> &HeldSockets {
        &self.lasting.held
    }

    /// Are sockets held?
    pub(crate) fn holds(&self) -> bool {
        self.config.held != Holding::Nothing
    }

    /// Are those held that guests make?
    fn holds_made(&self) -> bool {
        self.config.held != Holding::Inherited
    }

    /// How many sockets are held.
    pub(crate) fn held_count(&self) -> usize {
        self.lasting.held.count()
    }

    /// Releases every held socket that no instance has open.
    pub(crate) fn let_go(&self) {
        self.lasting.held.release();
    }

    /// Releases every held socket, and ends those for the instances that have them, but for what
    /// others have too: whoever comes from now on is refused.
    pub(crate) fn shut_down(&self) {
        for (local, waited) in self.lasting.held.shut_down() {
            self.lasting.report.reset_waiting(local, waited);
        }
    }

    /// A guest that goes on has closed a listener, which it had as the last one: after a while
    /// that means it.
    pub(crate) fn closed_by_guest(self: &Arc<Self>, claim: &Claim) {
        if !self.lasting.held.closed(claim) {
            return;
        }
        let service = Arc::downgrade(self);
        self.later(MEANT_AFTER, move || {
            if let Some(service) = service.upgrade() {
                service.lasting.held.let_go_of_closed();
                // A new generation need not listen there any more.
                service.changed();
            }
        });
    }

    /// What its guests may do.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.config.policy
    }

    /// How much each instance may have.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Reports to the operator.
    pub(crate) fn report(&self) -> &Arc<Report> {
        &self.lasting.report
    }

    /// How many bytes a buffer of a socket may have, as the kernel counts them.
    pub fn max_socket_buffer(&self) -> Option<u32> {
        self.config.max_socket_buffer
    }

    /// Do the processes of a guest live on whose first one has ended?
    pub fn keeps_orphans(&self) -> bool {
        self.config.keeps_orphans
    }

    /// Do the names that Unix sockets make go when they close?
    pub fn removes_unix_names(&self) -> bool {
        self.config.removes_unix_names
    }

    /// Changes the operator's maximum for backlogs, for sockets that will listen.
    pub(crate) fn set_max_backlog(&self, maximum: u32) {
        self.max_backlog.store(maximum, Relaxed);
    }

    /// The operator's maximum for backlogs.
    pub(crate) fn max_backlog(&self) -> u32 {
        self.max_backlog.load(Relaxed)
    }

    /// How many connections may be open at once.
    pub(crate) fn connection_limits(&self) -> ConnectionLimits {
        self.config.connection_limiter.as_ref().map_or_else(ConnectionLimits::default, |it| it.limits())
    }

    /// Installs the policy's receive filter on `socket`, if the policy restricts senders. `call` is what
    /// receives.
    pub(crate) fn guard(&self, socket: &Socket, call: &'static str) {
        PolicyReceiveFilter::install_on(socket, &self.lasting.report, &self.config.policy, call);
    }

    /// What `listen` means at this address.
    fn listen_profile(&self, local: &Address) -> ListenProfile {
        let special = self.config.listen_profiles_at.iter().find(|(addresses, _)| addresses.covers(local));
        special.map_or(self.config.listen_profile, |(_, profile)| *profile)
    }

    /// Is the queue of a listener at this address the host's own?
    pub(crate) fn has_own_queue(&self, local: &Address) -> bool {
        self.listen_profile(local).rules().needs_queue()
    }

    /// On what terms a socket with this address listens. What waits in a queue of the host's
    /// is charged on `account`; `failed` ends the instance where a task of the host's panics; `call` is what
    /// accepts.
    pub(crate) fn config(
        &self,
        account: &Arc<Account>,
        call: &'static str,
        listener: u32,
        local: Address,
        failed: HostFailed,
    ) -> ListenConfig {
        let rules = self.listen_profile(&local).rules();
        let (report, policy) = (Arc::clone(&self.lasting.report), Arc::clone(&self.config.policy));
        let quota = self.config.connection_limiter.as_ref().map(ConnectionLimiter::quota);
        let (told, counters) = (ReportedLimits::default(), OnceLock::new());
        ListenConfig {
            rules,
            maximum: self.max_backlog.load(Relaxed),
            kernel_maximum: self.config.kernel_max_backlog,
            account: Arc::clone(account),
            accept_filter: Arc::new(PolicyAcceptFilter {
                report,
                policy,
                call,
                listener,
                local,
                quota,
                rates: self.config.accept_rates,
                told,
                failed,
                counters,
            }),
        }
    }
}

/// Lets a guest bind to the very address of a socket that was given to its service.
pub(crate) fn grant_inherited(policy: &mut Policy, kind: Kind, local: &Address) {
    let grant = Grant::from(local);
    match (kind, local) {
        (Kind::Datagram, Address::Inet(_)) => policy.allow_udp_bind(&grant),
        _ => policy.allow_listen(&grant),
    }
}
