//! One instance among those of a service, and what it has of the held sockets.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::report::unpoisoned;
use super::{ServiceState, Usage};
use crate::error::Errno;
use crate::socket::held::{Binding, Claim, Keeper, Made, Owner};

/// A program of a service from its start to its end. A restart after a trap is the same one,
/// which begins anew.
pub struct Instance {
    service: Arc<ServiceState>,
    owner: Owner,
    /// How many sockets have begun to listen at a port of the host's choice.
    chosen: AtomicU32,
    state: Arc<State>,
    claims: Mutex<Vec<Weak<Claim>>>,
    /// Is it to be looked at later whether it has taken all that it is to take?
    is_watched: AtomicBool,
    /// How many calls are about to take a connection.
    accepting: AtomicUsize,
    usage: Arc<Usage>,
    /// Was it made for one connection? Then nobody watches how it stands: there are many.
    is_for_connection: bool,
    /// Retired, it has closed something since it last waited.
    has_just_closed: AtomicBool,
    /// Its connections were reset, and counted so.
    was_reset: AtomicBool,
    /// How many connections it had open when it ended.
    left_open: Arc<AtomicUsize>,
}

/// How an instance stands.
#[derive(Debug)]
pub(super) struct State {
    is_ready: AtomicBool,
    is_retired: AtomicBool,
    has_ended: AtomicBool,
}

impl State {
    /// Does it take what comes in, for good?
    pub(super) fn serves(&self) -> bool {
        self.is_ready.load(SeqCst) && !self.is_retired.load(SeqCst) && !self.has_ended.load(SeqCst)
    }
}

/// A call that is about to take a connection.
pub(crate) struct Accepting<'a>(Option<&'a Instance>);

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        if let Some(instance) = self.0 {
            instance.accepting.fetch_sub(1, SeqCst);
            if instance.is_retired() {
                instance.service.changed();
            }
        }
    }
}

impl Instance {
    pub(super) fn new(service: &Arc<ServiceState>, owner: Owner, is_ready: bool, usage: Arc<Usage>) -> Self {
        Self {
            service: Arc::clone(service),
            owner,
            chosen: AtomicU32::new(0),
            state: Arc::new(State {
                is_ready: AtomicBool::new(is_ready),
                is_retired: AtomicBool::new(false),
                has_ended: AtomicBool::new(false),
            }),
            claims: Mutex::default(),
            is_watched: AtomicBool::new(false),
            accepting: AtomicUsize::new(0),
            usage,
            is_for_connection: false,
            has_just_closed: AtomicBool::new(false),
            was_reset: AtomicBool::new(false),
            left_open: Arc::default(),
        }
    }

    /// Counts what it uses.
    #[inline]
    pub(crate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// What tells it from every other instance of its service.
    pub(crate) fn number(&self) -> u64 {
        self.owner.instance
    }

    /// Has got a held socket that another instance claimed: it is retired with this one too.
    pub(crate) fn takes_over(&self, claim: &Arc<Claim>) {
        if claim.owner() != self.owner {
            drop(self.note(Arc::clone(claim)));
        }
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Its generation.
    pub(crate) fn generation(&self) -> u32 {
        self.owner.generation
    }

    /// One that was made for a connection.
    pub(super) fn for_connection(service: &Arc<ServiceState>, owner: Owner, usage: Arc<Usage>) -> Self {
        let mut instance = Self::new(service, owner, true, usage);
        instance.is_for_connection = true;
        instance
    }

    /// The service.
    pub(crate) fn service(&self) -> &Arc<ServiceState> {
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
        if !self.state.has_ended.swap(true, SeqCst) {
            self.service.held().begin_anew(self.owner);
            self.service.instance_ended(self.owner, !self.is_for_connection);
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
        self.is_watched.store(false, SeqCst);
        self.service.held().begin_anew(self.owner);
        self.service.in_flight().close_of(self.owner.instance);
    }

    /// Does what it sets on a held socket take effect?
    pub(crate) fn is_ready(&self) -> bool {
        self.state.is_ready.load(SeqCst)
    }

    /// From now on what it sets on a held socket takes effect.
    pub(crate) fn make_ready(&self) {
        self.state.is_ready.store(true, SeqCst);
        self.watch_unclaimed();
    }

    /// Is nothing to come in any more?
    pub(crate) fn is_retired(&self) -> bool {
        self.state.is_retired.load(SeqCst)
    }

    /// Its listeners are never readable from now on, a blocking accept waits, and a nonblocking
    /// one finds nothing.
    pub(crate) fn retire(&self) {
        self.state.is_retired.store(true, SeqCst);
        self.claims().iter().for_each(|claim| claim.retire());
    }

    /// Takes a retirement back.
    pub(crate) fn unretire(&self) {
        self.state.is_retired.store(false, SeqCst);
        self.claims().iter().for_each(|claim| claim.unretire());
    }

    /// Does it listen, or receive, at a held socket?
    pub(crate) fn takes_any(&self) -> bool {
        self.service.held().takes_any(self.owner)
    }

    /// To be held while a call takes a connection, until the guest has it.
    pub(crate) fn accepting(&self) -> Accepting<'_> {
        if !self.service.holds() {
            return Accepting(None);
        }
        self.accepting.fetch_add(1, SeqCst);
        Accepting(Some(self))
    }

    /// Is a call about to take a connection?
    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting.load(SeqCst) > 0
    }

    /// Something that it had is closed.
    pub(crate) fn note_closed(&self) {
        if self.is_retired() {
            self.has_just_closed.store(true, SeqCst);
            self.service.changed();
        }
    }

    /// A call of it is about to wait: it has done what it had to do.
    pub(crate) fn note_waiting(&self) {
        if self.is_retired() && self.has_just_closed.swap(false, SeqCst) {
            self.service.changed();
        }
    }

    /// Has it, retired, closed something since it last waited?
    pub(crate) fn has_just_closed(&self) -> bool {
        self.has_just_closed.load(SeqCst)
    }

    /// The host resets its connections, and counts them.
    pub(crate) fn note_reset(&self) {
        self.was_reset.store(true, SeqCst);
    }

    /// How many connections it had open when it ended, which is known before its thread is done.
    pub(crate) fn left_open(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.left_open)
    }

    /// Does anybody ask how many connections it ends with?
    pub(crate) fn counts_cut(&self) -> bool {
        !self.is_for_connection || self.is_retired()
    }

    /// It ends with so many connections open. Counts those of one that drains.
    pub(crate) fn note_cut(&self, connections: usize) {
        self.left_open.fetch_add(connections, SeqCst);
        if connections > 0 && self.is_retired() && !self.was_reset.load(SeqCst) {
            self.service.report().cut(self.owner.generation, connections);
        }
    }

    /// From its first listener on it has a while to take the other held sockets too.
    fn watch_unclaimed(&self) {
        if self.state.serves() && self.takes_any() && !self.is_watched.swap(true, SeqCst) {
            self.service.close_unclaimed_later(&self.state);
        }
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
        self.service.forget_instance(self.owner);
    }
}

impl Keeper for Instance {
    fn listening_alone(&self) -> Option<MutexGuard<'_, ()>> {
        self.service.has_workers().then(|| self.service.held().choosing())
    }

    fn adopt(&self, wanted: &Binding) -> Result<Option<Arc<Claim>>, Errno> {
        let claim = self.service.held().adopt(wanted, self.owner, self.state())?;
        Ok(claim.map(|claim| self.note(claim)))
    }

    fn adopt_chosen(
        &self,
        wanted: &Binding,
        may: &dyn Fn(BorrowedFd<'_>) -> bool,
    ) -> Result<Option<Arc<Claim>>, Errno> {
        let number = self.chosen.load(SeqCst);
        let claim = self.service.held().adopt_chosen(wanted, number, may, self.owner, self.state())?;
        Ok(claim.map(|claim| {
            self.chosen.fetch_add(1, SeqCst);
            self.note(claim)
        }))
    }

    fn bound(&self, made: Made) {
        if self.service.has_workers() && self.service.holds_made() {
            self.service.held().note_bound(made, self.owner);
        }
    }

    fn takes_in(&self, claim: &Claim) {
        self.service.held().note_taking(claim);
        self.watch_unclaimed();
        self.service.changed();
    }

    fn hold(&self, made: Made) -> Option<Arc<Claim>> {
        if !self.service.holds_made() {
            return None;
        }
        let number = made.is_chosen.then(|| self.chosen.fetch_add(1, SeqCst));
        match self.service.held().hold(made, number, self.owner, self.state()) {
            Ok(claim) => Some(self.note(claim)),
            Err(errno) => {
                tracing::warn!("a socket is not held, and ends with its instance: {errno}");
                None
            }
        }
    }
}
