//! What stands at the listeners of the host's.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError, RwLock};

use crate::address::Address;
use crate::policy::{Denial, Policy, Use};
use crate::socket::AcceptRates;
use crate::socket::listen::{AcceptFilter, Capacity, LimitExceeded, ListenerQuota, RejectReason};

/// The filter of a listener that outlives generations: which peers are admitted is for the policy of the
/// generation that serves.
pub(super) struct CurrentFilter {
    inner: Arc<dyn AcceptFilter>,
    policy: RwLock<Option<Arc<Policy>>>,
    /// Does somebody wait because of a limit, who was counted?
    is_full: AtomicBool,
}

impl CurrentFilter {
    pub(super) fn new(inner: Arc<dyn AcceptFilter>) -> Self {
        Self { inner, policy: RwLock::default(), is_full: AtomicBool::new(false) }
    }

    /// Nobody waits because of a limit to connections: the next one who does is counted anew.
    pub(super) fn nobody_waits(&self) {
        self.is_full.store(false, SeqCst);
    }

    /// Counts one who was kept waiting by `limit`, and was accepted then.
    pub(super) fn has_waited(&self, limit: LimitExceeded) {
        self.inner.is_full(limit);
    }

    /// From now on `policy` decides.
    pub(super) fn decide_by(&self, policy: &Arc<Policy>) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(policy));
    }
}

impl AcceptFilter for CurrentFilter {
    fn listens(&self, local: &Address, capacity: Capacity) {
        self.inner.listens(local, capacity);
    }

    fn admit(&self, peer: &Address) -> Result<(), Denial> {
        let policy = self.policy.read().unwrap_or_else(PoisonError::into_inner).clone();
        match (policy, peer.inet()) {
            (Some(policy), Some(inet)) => policy.check(Use::TcpAccept(inet)),
            _ => self.inner.admit(peer),
        }
    }

    fn quota(&self) -> Option<&ListenerQuota> {
        self.inner.quota()
    }

    fn rates(&self) -> AcceptRates {
        self.inner.rates()
    }

    fn accepted(&self) {
        self.nobody_waits();
        self.inner.accepted();
    }

    fn rejected(&self, peer: Address, why: RejectReason) {
        self.inner.rejected(peer, why);
    }

    /// A worker asks again and again: one wait is counted once.
    fn is_full(&self, reached: LimitExceeded) {
        if !self.is_full.swap(true, SeqCst) {
            self.inner.is_full(reached);
        }
    }

    fn host_failed(&self) {
        self.inner.host_failed();
    }
}

/// The same filter for one more worker, which does not report that it listens.
pub(super) struct SilentFilter(pub(super) Arc<dyn AcceptFilter>);

impl AcceptFilter for SilentFilter {
    fn listens(&self, _: &Address, _: Capacity) {}

    fn admit(&self, peer: &Address) -> Result<(), Denial> {
        self.0.admit(peer)
    }

    fn quota(&self) -> Option<&ListenerQuota> {
        self.0.quota()
    }

    fn rates(&self) -> AcceptRates {
        self.0.rates()
    }

    fn accepted(&self) {
        self.0.accepted();
    }

    fn rejected(&self, peer: Address, why: RejectReason) {
        self.0.rejected(peer, why);
    }

    fn is_full(&self, reached: LimitExceeded) {
        self.0.is_full(reached);
    }

    fn host_failed(&self) {
        self.0.host_failed();
    }
}
