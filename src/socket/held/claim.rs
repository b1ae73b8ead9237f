//! What one instance has of a held socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use super::gate::Gate;
use super::{HeldSocket, Owner, unpoisoned};
use crate::error::Errno;
use crate::io::{OnReport, Watchers};
use crate::socket::turnstile::Turnstile;
use crate::socket::unix::Held;

/// A held socket, as one instance has it.
#[derive(Debug)]
pub struct Claim {
    socket: Arc<HeldSocket>,
    owner: Owner,
    fd: Arc<OwnedFd>,
    gate: Gate,
    /// As the instance asked for it, in the kernel's numbers.
    backlog: AtomicI32,
    /// Does what the instance sets take effect? Until then the socket is another one's.
    is_ready: AtomicBool,
    is_retired: AtomicBool,
    is_closed: AtomicBool,
    /// Does the instance take what comes in: does it listen, or receive?
    takes_in: AtomicBool,
    /// Was the guest told that a connection waits, and has it not accepted since?
    was_reported: AtomicBool,
    /// Those that wait for the end of its retirement and watch no gate.
    changes: Watchers,
    /// The socket that the instance goes on with, where it has left the held one.
    left_for: OnceLock<Arc<OwnedFd>>,
}

impl Claim {
    /// One that begins; `state` says whether what the instance sets takes effect, and whether it is retired.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    pub(super) fn new(
        socket: Arc<HeldSocket>,
        owner: Owner,
        fd: Arc<OwnedFd>,
        (is_ready, is_retired): (bool, bool),
    ) -> Result<Self, Errno> {
        let turnstile = socket.turnstile.get();
        let is_held_back = turnstile.is_some_and(|turnstile| turnstile.is_held_back());
        let gate = Gate::before(&fd, !is_retired && !is_held_back)?;
        if let Some(turnstile) = turnstile.filter(|_| !is_retired) {
            gate.watch(turnstile.wake_fd());
        }
        Ok(Self {
            socket,
            owner,
            fd,
            gate,
            backlog: AtomicI32::new(0),
            is_ready: AtomicBool::new(is_ready),
            is_retired: AtomicBool::new(is_retired),
            is_closed: AtomicBool::new(false),
            takes_in: AtomicBool::new(false),
            was_reported: AtomicBool::new(false),
            changes: Watchers::default(),
            left_for: OnceLock::new(),
        })
    }

    /// Has the instance closed it?
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    /// Does the instance take what comes in?
    pub(super) fn takes_in(&self) -> bool {
        self.takes_in.load(SeqCst)
    }

    /// The backlog that the instance asked for.
    pub(super) fn backlog(&self) -> i32 {
        self.backlog.load(SeqCst)
    }

    /// The held socket.
    pub fn socket(&self) -> &Arc<HeldSocket> {
        &self.socket
    }

    /// The instance that has it.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The instance's descriptor of the socket.
    pub(in crate::socket) fn fd(&self) -> &Arc<OwnedFd> {
        self.left_for.get().unwrap_or(&self.fd)
    }

    /// May another process have the socket too?
    pub(in crate::socket) fn is_shared(&self) -> bool {
        self.socket.is_shared
    }

    /// Has the instance another socket instead by now?
    pub(in crate::socket) fn has_left(&self) -> bool {
        self.left_for.get().is_some()
    }

    /// The instance goes on with `own` and leaves the held socket to others. Who waits for what
    /// comes in waits at `own` from now on.
    pub(in crate::socket) fn leave_for(&self, own: Arc<OwnedFd>) {
        self.close();
        let own = self.left_for.get_or_init(|| own);
        self.gate.open_before(own);
        self.is_retired.store(false, SeqCst);
    }

    /// What is readable where a connection waits that the instance may have.
    pub(in crate::socket) fn gate(&self) -> &Arc<OwnedFd> {
        &self.gate.0
    }

    /// The file of the socket's name.
    pub(in crate::socket) fn name(&self) -> Option<Arc<Held>> {
        self.socket.name.clone()
    }

    /// Is nothing to come in any more?
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(SeqCst)
    }

    /// Does what the instance sets take effect?
    pub(in crate::socket) fn is_ready(&self) -> bool {
        self.is_ready.load(SeqCst) && !self.socket.is_shared
    }

    /// Notes that the instance takes what comes in.
    pub(crate) fn note_taking(&self) {
        self.takes_in.store(true, SeqCst);
    }

    /// Has the kernel let so many connections wait, once the instance is ready.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub(in crate::socket) fn listen(&self, backlog: i32) -> Result<(), Errno> {
        let before = self.backlog.swap(backlog, SeqCst);
        self.socket.apply_backlog().inspect_err(|_| self.backlog.store(before, SeqCst))
    }

    /// From now on what the instance sets takes effect.
    pub(in crate::socket) fn make_ready(&self) {
        self.is_ready.store(true, SeqCst);
        self.settle_backlog();
    }

    /// Nothing comes in any more: a connection makes no waiter ready, and wakes none.
    pub fn retire(&self) {
        if !self.has_left() && !self.is_retired.swap(true, SeqCst) {
            self.close_gate();
            self.settle_backlog();
            // They ask again, and watch nothing but the end of the retirement from then on.
            if let Some(queue) = unpoisoned(&self.socket.queue).as_ref() {
                queue.wake_waiters();
            }
            self.changes.wake_all();
        }
    }

    /// Connections come in again; waiters are woken where some wait already.
    pub fn unretire(&self) {
        if self.is_retired.swap(false, SeqCst) {
            self.open_gate();
            self.settle_backlog();
            self.changes.wake_all();
        }
    }

    fn open_gate(&self) {
        let turnstile = self.socket.turnstile.get();
        if !turnstile.is_some_and(|turnstile| turnstile.is_held_back()) {
            self.gate.open_before(&self.fd);
        }
        if let Some(turnstile) = turnstile {
            self.watch(turnstile);
        }
    }

    fn close_gate(&self) {
        self.gate.close_before(&self.fd);
        if let Some(turnstile) = self.socket.turnstile.get() {
            self.gate.forget(turnstile.wake_fd());
        }
    }

    /// A connection that is parked before the socket and may go on is one that waits.
    pub(super) fn watch(&self, turnstile: &Turnstile) {
        self.gate.watch(turnstile.wake_fd());
    }

    /// Those that wait in the queue are not reported for a while.
    pub(super) fn hold_back(&self) {
        self.gate.close_before(&self.fd);
    }

    /// They are reported again.
    pub(super) fn let_on(&self) {
        self.gate.open_before(&self.fd);
    }

    /// Has those that wait for a connection and watch no gate look again.
    pub(super) fn wake_waiters(&self) {
        self.changes.wake_all();
    }

    /// Has `waker` woken by the end of a retirement, for those that watch no gate.
    pub(in crate::socket) fn wake_at_change(&self, waker: &Waker) {
        self.changes.add(waker);
    }

    /// The instance has closed it.
    pub(crate) fn close(&self) {
        if !self.is_closed.swap(true, SeqCst) {
            self.close_gate();
            self.settle_backlog();
        }
    }

    /// Was a connection reported to the guest since it accepted one? Asked once.
    pub(in crate::socket) fn take_report(&self) -> bool {
        self.was_reported.load(SeqCst) && self.was_reported.swap(false, SeqCst)
    }

    fn settle_backlog(&self) {
        // The socket listens already: there is nothing that could fail.
        let _as_before = self.socket.apply_backlog();
    }
}

impl OnReport for Claim {
    fn note_report(&self) {
        if !self.was_reported.load(SeqCst) {
            self.was_reported.store(true, SeqCst);
        }
    }
}

impl AsFd for Claim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
