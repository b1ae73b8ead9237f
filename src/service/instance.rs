//! One instance among those of a service, and what it has of the held sockets.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, Weak};

use super::Service;
use super::report::unpoisoned;
use crate::error::Errno;
use crate::socket::held::{Binding, Claim, Keeper, Made, Owner};

/// A program of a service from its start to its end. A restart after a trap is the same one,
/// which begins anew.
pub struct Instance {
    service: Arc<Service>,
    owner: Owner,
    /// How many sockets have begun to listen at a port of the host's choice.
    chosen: AtomicU32,
    is_ready: AtomicBool,
    is_retired: AtomicBool,
    claims: Mutex<Vec<Weak<Claim>>>,
    has_ended: AtomicBool,
}

impl Instance {
    pub(super) fn new(service: &Arc<Service>, owner: Owner, is_ready: bool) -> Self {
        Self {
            service: Arc::clone(service),
            owner,
            chosen: AtomicU32::new(0),
            is_ready: AtomicBool::new(is_ready),
            is_retired: AtomicBool::new(false),
            claims: Mutex::default(),
            has_ended: AtomicBool::new(false),
        }
    }

    /// The service.
    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Removes the name that `file` has, where that is the name of a held socket: the service owns
    /// it, and hides it from this instance until that binds there again.
    ///
    /// `None` where it is not, else the outcome.
    pub(crate) fn unlink_held(&self, file: (u64, u64)) -> Option<Result<(), Errno>> {
        self.service.held().unlink(file, self.owner, self.is_retired())
    }

    /// Has this instance removed the name that `file` has?
    pub(crate) fn has_unlinked(&self, file: (u64, u64)) -> bool {
        self.service.holds() && self.service.held().is_hidden(file, self.owner)
    }

    /// What keeps its sockets, where the service holds any.
    pub(crate) fn keeper(&self) -> Option<&dyn Keeper> {
        self.service.holds().then_some(self as &dyn Keeper)
    }

    /// It has ended. Asked for once more, this does nothing.
    pub(crate) fn end(&self) {
        if !self.has_ended.swap(true, SeqCst) {
            self.service.held().begin_anew(self.owner);
            self.service.instance_ended();
        }
    }

    /// The guest has closed a held socket, and goes on.
    pub(crate) fn closed_by_guest(&self, claim: &Claim) {
        if !self.is_retired() {
            self.service.closed_by_guest(claim);
        }
    }

    /// Begins anew: what it had is closed.
    pub(crate) fn begin_anew(&self) {
        self.chosen.store(0, SeqCst);
        self.service.held().begin_anew(self.owner);
    }

    /// Does what it sets on a held socket take effect?
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(SeqCst)
    }

    /// From now on what it sets on a held socket takes effect.
    pub(crate) fn make_ready(&self) {
        self.is_ready.store(true, SeqCst);
    }

    /// Is nothing to come in any more?
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(SeqCst)
    }

    /// Its listeners are never readable from now on, a blocking accept waits, and a nonblocking
    /// one finds nothing.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, SeqCst);
        self.claims().iter().for_each(|claim| claim.retire());
    }

    /// Takes a retirement back.
    pub(crate) fn unretire(&self) {
        self.is_retired.store(false, SeqCst);
        self.claims().iter().for_each(|claim| claim.unretire());
    }

    fn claims(&self) -> Vec<Arc<Claim>> {
        unpoisoned(&self.claims).iter().filter_map(Weak::upgrade).collect()
    }

    fn note(&self, claim: Arc<Claim>) -> Arc<Claim> {
        {
            let mut claims = unpoisoned(&self.claims);
            claims.retain(|claim| claim.strong_count() > 0);
            claims.push(Arc::downgrade(&claim));
        }
        // A retirement that came meanwhile does not know of it.
        if self.is_retired() {
            claim.retire();
        }
        claim
    }

    pub(super) fn state(&self) -> (bool, bool) {
        (self.is_ready(), self.is_retired())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.end();
    }
}

impl Keeper for Instance {
    fn adopt(&self, wanted: &Binding) -> Option<Arc<Claim>> {
        let claim = self.service.held().adopt(wanted, self.owner, self.state())?;
        Some(self.note(claim))
    }

    fn adopt_chosen(&self, wanted: &Binding, may: &dyn Fn(BorrowedFd<'_>) -> bool) -> Option<Arc<Claim>> {
        let number = self.chosen.load(SeqCst);
        let claim = self.service.held().adopt_chosen(wanted, number, may, self.owner, self.state())?;
        self.chosen.fetch_add(1, SeqCst);
        Some(self.note(claim))
    }

    fn hold(&self, made: Made) -> Option<Arc<Claim>> {
        let number = made.is_chosen.then(|| self.chosen.fetch_add(1, SeqCst));
        match self.service.held().hold(made, number, self.owner, self.state()) {
            Ok(claim) => Some(self.note(claim)),
            Err(errno) => {
                tracing::warn!("a listener is not held, and ends with its instance: {errno}");
                None
            }
        }
    }
}
