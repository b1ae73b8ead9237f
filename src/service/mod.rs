//! What outlives the instances of a guest: the operator's policy and limits, the observer,
//! and on what terms sockets listen.
//!
//! A [`Service`] is made once for each context that an embedder builds, and every instance
//! that follows the first one, by a restart for instance, belongs to it. An instance keeps
//! its service alive; the service knows nothing of how an instance runs.

mod report;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::account::Account;
use crate::address::Address;
use crate::observe::Observer;
use crate::policy::{Grant, Policy};
use crate::socket::Socket;
use crate::socket::listen::{ConnectionLimiter, ListenConfig, ListenProfile};

pub(crate) use report::{HostFailed, PolicyReceiveFilter, Report};
use report::{PolicyAcceptFilter, ToldLimits};

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
    /// How many bytes a buffer of a socket may have, as the kernel counts them.
    pub max_socket_buffer: Option<u32>,
    /// Do the names that Unix sockets make go when they close?
    pub removes_unix_names: bool,
    /// Receives events.
    pub observer: Option<Arc<dyn Observer>>,
}

/// How much one instance may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many descriptors may be open at once.
    pub max_fds: u32,
    /// How many threads may run at once, the first one included.
    pub max_threads: u32,
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
}

/// What the instances of a guest share, and what outlives each of them.
pub struct Service {
    config: ServiceConfig,
    /// Changes while guests run.
    max_backlog: AtomicU32,
    report: Arc<Report>,
}

impl Service {
    /// A service without instances.
    pub fn new(mut config: ServiceConfig) -> Arc<Self> {
        let report = Arc::new(Report::new(config.observer.take()));
        Arc::new(Self { max_backlog: AtomicU32::new(config.max_backlog), report, config })
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
        &self.report
    }

    /// How many bytes a buffer of a socket may have, as the kernel counts them.
    pub fn max_socket_buffer(&self) -> Option<u32> {
        self.config.max_socket_buffer
    }

    /// Do the names that Unix sockets make go when they close?
    pub fn removes_unix_names(&self) -> bool {
        self.config.removes_unix_names
    }

    /// Changes the operator's maximum for backlogs, for sockets that will listen.
    pub(crate) fn set_max_backlog(&self, maximum: u32) {
        self.max_backlog.store(maximum, Relaxed);
    }

    /// Installs the policy's receive filter on `socket`, if the policy restricts senders.
    pub(crate) fn guard(&self, socket: &Socket) {
        PolicyReceiveFilter::install_on(socket, &self.report, &self.config.policy);
    }

    /// What `listen` means at this address.
    fn listen_profile(&self, local: &Address) -> ListenProfile {
        let special = self.config.listen_profiles_at.iter().find(|(addresses, _)| addresses.covers(local));
        special.map_or(self.config.listen_profile, |(_, profile)| *profile)
    }

    /// On what terms a socket with this address listens. What waits in a queue of the host's
    /// is charged on `account`; `failed` ends the instance where a task of the host's panics.
    pub(crate) fn config(
        &self,
        account: &Arc<Account>,
        listener: u32,
        local: Address,
        failed: HostFailed,
    ) -> ListenConfig {
        let rules = self.listen_profile(&local).rules();
        let (report, policy) = (Arc::clone(&self.report), Arc::clone(&self.config.policy));
        let quota = self.config.connection_limiter.as_ref().map(ConnectionLimiter::quota);
        let told = ToldLimits::default();
        ListenConfig {
            rules,
            maximum: self.max_backlog.load(Relaxed),
            kernel_maximum: self.config.kernel_max_backlog,
            account: Arc::clone(account),
            accept_filter: Arc::new(PolicyAcceptFilter {
                report,
                policy,
                listener,
                local,
                quota,
                told,
                failed,
            }),
        }
    }
}
