//! Sockets that are held: they stay open when the instance that bound them ends, and the
//! next one that binds there gets them. They listen, or carry datagrams.
//!
//! A [`HeldSocket`] is one socket of the kernel's. Each instance that has it has a [`Claim`]:
//! a descriptor of its own, and a [`Gate`](gate::Gate), which is an epoll of the kernel's with the socket
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

mod claim;
mod gate;

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::net::SocketFlags;

use super::lease::Lease;
use super::listen::{Queue, concerns_one_connection, is_idle, reset};
use super::turnstile::Turnstile;
use super::unix::{Held, NameId};
use super::{AcceptRates, Family, Kind};
use crate::address::Address;
use crate::error::Errno;

pub use claim::Claim;

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
    /// Where as many as come may not come.
    turnstile: OnceLock<Arc<Turnstile>>,
}

impl HeldSocket {
    /// Holds `fd`.
    pub fn new(fd: Arc<OwnedFd>, name: Option<Arc<Held>>, is_shared: bool) -> Arc<Self> {
        Arc::new(Self {
            fd,
            is_shared,
            name,
            claims: Mutex::default(),
            queue: Mutex::default(),
            turnstile: OnceLock::new(),
        })
    }

    /// The socket.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// The file of its name.
    pub fn name(&self) -> Option<&Arc<Held>> {
        self.name.as_ref()
    }

    /// May another process have it too?
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// May `owner` have it? Not where a live instance in its place has it already.
    pub fn is_free_for(&self, owner: Owner) -> bool {
        !self.live().iter().any(|claim| claim.owner().replaces(owner))
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
        self.live().iter().filter(|claim| claim.takes_in()).map(|claim| claim.owner()).collect()
    }

    /// Ends it for every instance that has it, and resets the clients that wait; tells how many they
    /// were. One that others have too goes on for those: only clients that this process has taken are
    /// reset.
    pub fn shut_down(&self) -> usize {
        let queue = unpoisoned(&self.queue).take();
        let parked = self.turnstile.get().map_or(0, |turnstile| turnstile.close());
        let taken = parked + queue.map_or(0, |queue| queue.close());
        if self.is_shared {
            return taken;
        }
        let waited = taken + reset_waiting(&self.fd);
        // A datagram socket without a peer refuses, and has nobody who waits.
        let _gone = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
        waited
    }

    /// What stands before it, where the number of connections in a second is limited, or was.
    pub(super) fn turnstile(self: &Arc<Self>, rates: AcceptRates) -> Option<&Arc<Turnstile>> {
        if self.turnstile.get().is_none() && !rates.is_unlimited() {
            match Turnstile::before(Arc::downgrade(self)) {
                Ok(turnstile) => {
                    let turnstile = self.turnstile.get_or_init(|| turnstile);
                    let live = self.live();
                    let open = live.iter().filter(|claim| !claim.is_retired());
                    open.for_each(|claim| claim.watch(turnstile));
                }
                Err(errno) => tracing::warn!("connections come without a limit to their rate: {errno}"),
            }
        }
        self.turnstile.get()
    }

    /// What stands before it, if anything does.
    pub(super) fn known_turnstile(&self) -> Option<&Arc<Turnstile>> {
        self.turnstile.get()
    }

    /// Nothing reports the socket from now on.
    pub(super) fn close_gates(&self) {
        self.live().iter().for_each(|claim| claim.hold_back());
    }

    /// It is reported again, to those that are not retired.
    pub(super) fn open_gates(&self) {
        self.live().iter().filter(|claim| !claim.is_retired()).for_each(|claim| claim.let_on());
        self.wake_waiters();
    }

    /// Has those that wait for a connection and watch no gate look again.
    pub(super) fn wake_waiters(&self) {
        if let Some(queue) = unpoisoned(&self.queue).as_ref() {
            queue.wake_waiters();
        }
        self.live().iter().for_each(|claim| claim.wake_waiters());
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
        state: (bool, bool),
    ) -> Result<Arc<Claim>, Errno> {
        let fd = match fd {
            Some(fd) => fd,
            None => Arc::new(self.fd.try_clone()?),
        };
        let claim = Arc::new(Claim::new(Arc::clone(self), owner, fd, state)?);
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
        live.filter(|claim| !claim.is_closed()).collect()
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
        let serves = |claim: &Arc<Claim>| claim.is_ready() && !claim.is_retired();
        let live = self.live();
        let backlogs = live.iter().filter(|claim| serves(claim)).map(|claim| claim.backlog());
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
