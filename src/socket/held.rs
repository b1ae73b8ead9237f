//! Sockets that are held: they stay open when the instance that bound them ends, and the
//! next one that binds there gets them. They listen, or carry datagrams.
//!
//! A [`HeldSocket`] is one socket of the kernel's. Each instance that has it has a [`Claim`]:
//! a descriptor of its own, and a [`Gate`], which is an epoll of the kernel's with the socket
//! as its only member. Everything that waits for connections (a blocking accept, a poll, the
//! guest's epolls, the reactor) watches the gate and never the socket itself.
//!
//! Retiring an instance takes the socket out of its gate, which is one system call: a connection
//! makes no waiter ready any more, whatever it waits in, and wakes none. Putting the
//! socket back wakes them where connections wait.
//!
//! A datagram socket sends too, and a retired instance may go on with that: it watches the
//! gate for what comes in, and the socket itself for space to send.
//!
//! Which sockets are held, and for how long, is for a [`Keeper`] to say.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;

use rustix::net::SocketFlags;

use super::lease::Lease;
use super::listen::{Queue, concerns_one_connection, is_idle, reset};
use super::unix::{Held, NameId};
use super::{Family, Kind};
use crate::address::Address;
use crate::error::Errno;
use crate::io::{OnReport, Watchers};

/// What a socket is bound to, as the kernel has it. Two that are equal are one address to a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its family.
    pub family: Family,
    /// What kind of messages it carries.
    pub kind: Kind,
    /// Is it bound to every address, and takes no IPv4 connections?
    pub only_v6: bool,
    /// Where.
    pub at: BoundAt,
}

/// Where a socket is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundAt {
    /// At an address of a network.
    Inet(SocketAddr),
    /// At a name.
    Name(NameId),
}

/// An instance of a service, among those that may have one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its number; no other one of the service has it.
    pub instance: u64,
    /// Its generation.
    pub generation: u32,
    /// Which of the workers of that generation it is.
    pub worker: u32,
}

impl Owner {
    /// Do both stand for the same place in a service, one after the other?
    fn replaces(self, other: Self) -> bool {
        self.generation == other.generation && self.worker == other.worker
    }
}

/// A socket that begins to listen, or to receive datagrams, and may be held from now on.
pub struct Made {
    /// Where it is bound.
    pub binding: Binding,
    /// The same, as the guest or the operator knows it.
    pub local: Address,
    /// Did the guest leave the port to the host?
    pub is_chosen: bool,
    /// The socket.
    pub fd: Arc<OwnedFd>,
    /// The file of its name.
    pub name: Option<Arc<Held>>,
}

/// Keeps sockets for one instance.
pub trait Keeper: Send + Sync {
    /// To be held while a socket begins to listen, where other workers may do so at the same time: two
    /// that leave the port to the host are to get the same.
    fn listening_alone(&self) -> Option<MutexGuard<'_, ()>>;

    /// The held socket that is bound there, where the instance may have it.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    fn adopt(&self, wanted: &Binding) -> Result<Option<Arc<Claim>>, Errno>;

    /// The held socket that takes the place of this one, which is about to listen at a port of
    /// the host's choice: the one that listened there as the same in the order of such. `may`
    /// says whether the policy allows the address that it has.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    fn adopt_chosen(
        &self,
        wanted: &Binding,
        may: &dyn Fn(BorrowedFd<'_>) -> bool,
    ) -> Result<Option<Arc<Claim>>, Errno>;

    /// Holds a socket from now on; `None` where the host has no descriptor for that.
    fn hold(&self, made: Made) -> Option<Arc<Claim>>;

    /// A socket is bound that may listen later. Another worker that binds there meanwhile gets it.
    fn bound(&self, made: Made);

    /// The instance takes what comes in at the socket of `claim` from now on.
    fn takes_in(&self, claim: &Claim);
}

/// A socket of the kernel's that is open while instances come and go.
pub struct HeldSocket {
    fd: Arc<OwnedFd>,
    /// May another process have it too: the service manager that passed it to this one? Then
    /// nothing is set that it would feel.
    is_shared: bool,
    /// The file of its name, which goes with the socket where it is to be removed.
    name: Option<Arc<Held>>,
    claims: Mutex<Vec<Weak<Claim>>>,
    /// The connections that wait, where the host owns the queue. It belongs to the socket and
    /// not to an instance, so that none is reset by a handover.
    queue: Mutex<Option<Arc<Queue>>>,
}

impl HeldSocket {
    /// Holds `fd`.
    pub fn new(fd: Arc<OwnedFd>, name: Option<Arc<Held>>, is_shared: bool) -> Arc<Self> {
        Arc::new(Self { fd, is_shared, name, claims: Mutex::default(), queue: Mutex::default() })
    }

    /// The socket.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// The file of its name.
    pub fn name(&self) -> Option<&Arc<Held>> {
        self.name.as_ref()
    }

    /// May `owner` have it? Not where a live instance in its place has it already.
    pub fn is_free_for(&self, owner: Owner) -> bool {
        !self.live().iter().any(|claim| claim.owner.replaces(owner))
    }

    /// Does any instance have it?
    pub fn is_claimed(&self) -> bool {
        !self.live().is_empty()
    }

    /// Does an instance that is not retired have it?
    pub fn is_served(&self) -> bool {
        self.live().iter().any(|claim| !claim.is_retired())
    }

    /// Which instances take what comes in here.
    pub fn takers(&self) -> Vec<Owner> {
        self.live().iter().filter(|claim| claim.takes_in.load(SeqCst)).map(|claim| claim.owner).collect()
    }

    /// Ends it for every instance that has it, and resets the clients that wait; tells how many they
    /// were.
    pub fn shut_down(&self) -> usize {
        let queue = unpoisoned(&self.queue).take();
        let waited = queue.map_or(0, |queue| queue.close()).saturating_add(reset_waiting(&self.fd));
        // A datagram socket without a peer refuses, and has nobody who waits.
        let _gone = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
        waited
    }

    /// What keeps `O_NONBLOCK` of a socket as others want it.
    pub(super) fn lease(&self) -> Result<Option<Lease>, Errno> {
        self.is_shared.then(|| Lease::new(Arc::clone(&self.fd))).transpose()
    }

    /// Gives it to `owner`; `fd` is the descriptor of it that this instance has already, if it
    /// has one.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    pub fn claim(
        self: &Arc<Self>,
        owner: Owner,
        fd: Option<Arc<OwnedFd>>,
        (is_ready, is_retired): (bool, bool),
    ) -> Result<Arc<Claim>, Errno> {
        let fd = match fd {
            Some(fd) => fd,
            None => Arc::new(self.fd.try_clone()?),
        };
        let gate = Gate::before(&fd, !is_retired)?;
        let claim = Arc::new(Claim {
            socket: Arc::clone(self),
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
        });
        let mut claims = unpoisoned(&self.claims);
        claims.retain(|claim| claim.strong_count() > 0);
        claims.push(Arc::downgrade(&claim));
        Ok(claim)
    }

    /// The queue of the host's, made by `make` where there is none yet.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub(super) fn queue(
        &self,
        make: impl FnOnce() -> Result<Arc<Queue>, Errno>,
    ) -> Result<Arc<Queue>, Errno> {
        let mut queue = unpoisoned(&self.queue);
        if let Some(queue) = &*queue {
            return Ok(Arc::clone(queue));
        }
        Ok(Arc::clone(queue.insert(make()?)))
    }

    /// How many connections wait in a queue of the host's, and how many may, where it has one.
    pub(crate) fn waiting(&self) -> Option<(u32, u32)> {
        unpoisoned(&self.queue).as_ref().map(|queue| queue.waiting())
    }

    fn live(&self) -> Vec<Arc<Claim>> {
        let claims = unpoisoned(&self.claims);
        let live = claims.iter().filter_map(Weak::upgrade);
        live.filter(|claim| !claim.is_closed.load(SeqCst)).collect()
    }

    /// Tells the kernel how many connections may wait: as many as the largest backlog of those
    /// that serve asks for. An instance that is not ready yet, or retired, does not count.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    fn apply_backlog(&self) -> Result<(), Errno> {
        if self.is_shared {
            return Ok(());
        }
        let serves = |claim: &Arc<Claim>| claim.is_ready.load(SeqCst) && !claim.is_retired.load(SeqCst);
        let live = self.live();
        let backlogs = live.iter().filter(|claim| serves(claim)).map(|claim| claim.backlog.load(SeqCst));
        match backlogs.max() {
            Some(backlog) => Ok(rustix::net::listen(&self.fd, backlog)?),
            None => Ok(()),
        }
    }
}

impl Drop for HeldSocket {
    fn drop(&mut self) {
        let queue = unpoisoned(&self.queue).take();
        if let Some(queue) = queue {
            queue.close();
        }
    }
}

impl std::fmt::Debug for HeldSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldSocket").field("fd", &self.fd).finish_non_exhaustive()
    }
}

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
    /// The held socket.
    pub fn socket(&self) -> &Arc<HeldSocket> {
        &self.socket
    }

    /// The instance that has it.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The instance's descriptor of the socket.
    pub(super) fn fd(&self) -> &Arc<OwnedFd> {
        self.left_for.get().unwrap_or(&self.fd)
    }

    /// May another process have the socket too?
    pub(super) fn is_shared(&self) -> bool {
        self.socket.is_shared
    }

    /// Has the instance another socket instead by now?
    pub(super) fn has_left(&self) -> bool {
        self.left_for.get().is_some()
    }

    /// The instance goes on with `own` and leaves the held socket to others. Who waits for what
    /// comes in waits at `own` from now on.
    pub(super) fn leave_for(&self, own: Arc<OwnedFd>) {
        self.close();
        let own = self.left_for.get_or_init(|| own);
        self.gate.open_before(own);
        self.is_retired.store(false, SeqCst);
    }

    /// What is readable where a connection waits that the instance may have.
    pub(super) fn gate(&self) -> &Arc<OwnedFd> {
        &self.gate.0
    }

    /// The file of the socket's name.
    pub(super) fn name(&self) -> Option<Arc<Held>> {
        self.socket.name.clone()
    }

    /// Is nothing to come in any more?
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(SeqCst)
    }

    /// Does what the instance sets take effect?
    pub(super) fn is_ready(&self) -> bool {
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
    pub(super) fn listen(&self, backlog: i32) -> Result<(), Errno> {
        let before = self.backlog.swap(backlog, SeqCst);
        self.socket.apply_backlog().inspect_err(|_| self.backlog.store(before, SeqCst))
    }

    /// From now on what the instance sets takes effect.
    pub(super) fn make_ready(&self) {
        self.is_ready.store(true, SeqCst);
        self.settle_backlog();
    }

    /// Nothing comes in any more: a connection makes no waiter ready, and wakes none.
    pub fn retire(&self) {
        if !self.has_left() && !self.is_retired.swap(true, SeqCst) {
            self.gate.close_before(&self.fd);
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
            self.gate.open_before(&self.fd);
            self.settle_backlog();
            self.changes.wake_all();
        }
    }

    /// Has `waker` woken by the end of a retirement, for those that watch no gate.
    pub(super) fn wake_at_change(&self, waker: &Waker) {
        self.changes.add(waker);
    }

    /// The instance has closed it.
    pub(crate) fn close(&self) {
        if !self.is_closed.swap(true, SeqCst) {
            self.gate.close_before(&self.fd);
            self.settle_backlog();
        }
    }

    /// Was a connection reported to the guest since it accepted one? Asked once.
    pub(super) fn take_report(&self) -> bool {
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

/// An epoll of the kernel's whose only member is one socket.
#[derive(Debug)]
struct Gate(Arc<OwnedFd>);

#[cfg(target_os = "linux")]
impl Gate {
    fn before(socket: &OwnedFd, is_open: bool) -> Result<Self, Errno> {
        use rustix::event::epoll;
        let gate = Self(Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?));
        if is_open {
            gate.add(socket)?;
        }
        Ok(gate)
    }

    fn add(&self, socket: &OwnedFd) -> Result<(), Errno> {
        use rustix::event::epoll;
        Ok(epoll::add(&self.0, socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?)
    }

    fn open_before(&self, socket: &OwnedFd) {
        // It fails where the host has no memory left, or the member is there already.
        if let Err(errno) = self.add(socket) {
            tracing::debug!("a listener is still retired: {errno}");
        }
    }

    fn close_before(&self, socket: &OwnedFd) {
        // It is there, unless the socket was retired from the start.
        let _gone = rustix::event::epoll::delete(&self.0, socket);
    }
}

/// Nothing is held without an epoll of the kernel's.
#[cfg(not(target_os = "linux"))]
impl Gate {
    fn before(_: &OwnedFd, _: bool) -> Result<Self, Errno> {
        Err(Errno::ENOTSUP)
    }

    fn open_before(&self, _: &OwnedFd) {}

    fn close_before(&self, _: &OwnedFd) {}
}

impl AsFd for Claim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// As many as the kernel lets wait at most, unless an operator has raised its limit far.
const MOST_WAITING: usize = 1 << 16;

/// Resets those that wait in the kernel's queue; tells how many they were.
fn reset_waiting(listener: &OwnedFd) -> usize {
    let is_listening = rustix::net::sockopt::socket_acceptconn(listener).unwrap_or(false);
    let mut waited = 0;
    while is_listening && waited < MOST_WAITING && !is_idle(listener) {
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(client) => {
                reset(&client);
                waited += 1;
            }
            Err(error) if concerns_one_connection(error) => {}
            // Whoever is left is reset by the kernel, and not counted.
            Err(_) => break,
        }
    }
    waited
}

/// What these locks guard is whole whenever they are free.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
