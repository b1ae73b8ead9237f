//! The sockets that a service holds.
//!
//! docs/service.md has the rules: a guest's `bind` to the address of a held socket gives it that very socket,
//! after the policy was asked. So clients that come while an instance ends and another one
//! begins wait in the kernel's queue, and none is refused.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use super::report::unpoisoned;
use super::status::{inode_of, queue};
use crate::address::Address;
use crate::error::Errno;
use crate::observe::status::ListenerStatus;
use crate::socket::Kind;
use crate::socket::held::{Binding, BoundAt, Claim, HeldSocket, Made, Owner};
use crate::socket::listen::KernelQueues;
use crate::socket::unix::Held;

/// How long an instance lives on after it has closed a listener, for the close to mean that
/// the listener to be released.
pub(super) const MEANT_AFTER: Duration = Duration::from_secs(2);

/// The held sockets: those that were inherited, then the others in the order in which they began
/// to listen or to receive.
#[derive(Default)]
pub(crate) struct HeldSockets {
    all: Mutex<Vec<Entry>>,
    /// Sockets that workers have bound and that do not listen yet. Its lock is taken before that of
    /// the entries.
    bound: Mutex<Vec<BoundSocket>>,
    /// Held while a worker begins to listen. Before the others.
    choosing: Mutex<()>,
}

/// A socket of a worker that does not listen yet.
struct BoundSocket {
    owner: Owner,
    fd: Weak<OwnedFd>,
    binding: Binding,
    local: Address,
    name: Option<Arc<Held>>,
}

struct Entry {
    socket: Arc<HeldSocket>,
    binding: Binding,
    local: Address,
    /// Was it given to the service, which keeps it whatever its guests do?
    is_inherited: bool,
    /// Does each instance have it from its start on, as a descriptor?
    is_preopened: bool,
    /// The only instance that may have it, where that is so.
    lent_to: Option<Owner>,
    /// Was it reported that nobody takes what comes in?
    is_reported: bool,
    /// Where the host chose the port: which one it was of those of its instance.
    number: Option<u32>,
    /// The file of its name.
    file: Option<(u64, u64)>,
    /// Instances that have removed its name: it is hidden from them.
    hidden_from: Vec<Owner>,
    /// Has the last one that said anything of the name removed it? Then it goes with the socket.
    is_removed: bool,
    /// The generations whose instances have taken what came in, of those that there are.
    taken_by: Vec<u32>,
    /// Closed by an instance that had it as the last one, and when that means it.
    closed: Option<(Owner, Instant)>,
}

impl Entry {
    fn new(socket: Arc<HeldSocket>, binding: Binding, local: Address, file: Option<(u64, u64)>) -> Self {
        Self {
            socket,
            binding,
            local,
            is_inherited: false,
            is_preopened: false,
            lent_to: None,
            is_reported: false,
            number: None,
            file,
            hidden_from: Vec::new(),
            is_removed: false,
            taken_by: Vec::new(),
            closed: None,
        }
    }

    /// Gives it to `owner`; `None` where that has it already.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    fn claim(&mut self, owner: Owner, state: (bool, bool)) -> Result<Option<Arc<Claim>>, Errno> {
        if !self.socket.is_free_for(owner) {
            return Ok(None);
        }
        let claim = self.socket.claim(owner, None, state)?;
        self.closed = None;
        self.is_reported = false;
        self.is_removed = false;
        self.hidden_from.retain(|other| *other != owner);
        Ok(Some(claim))
    }
}

/// A held socket that no instance which serves has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unclaimed {
    pub(super) local: Address,
    /// Was it closed?
    pub(super) is_closed: bool,
    /// How many clients were reset with it.
    pub(super) waited: usize,
}

impl HeldSockets {
    /// Holds a socket that was opened outside, for as long as the service lives.
    pub(super) fn inherit(&self, made: Made, is_shared: bool, is_preopened: bool) {
        let Made { binding, local, fd, name, .. } = made;
        let file = name.as_ref().and_then(|name| name.file_id());
        let socket = HeldSocket::new(fd, name, is_shared);
        let mut entry = Entry::new(socket, binding, local, file);
        (entry.is_inherited, entry.is_preopened) = (true, is_preopened);
        unpoisoned(&self.all).push(entry);
    }

    /// Holds a socket that was opened outside, for `owner` alone, until it is [taken back](Self::take_back).
    pub(super) fn lend(&self, made: Made, owner: Owner) {
        let Made { binding, local, fd, name, .. } = made;
        let file = name.as_ref().and_then(|name| name.file_id());
        let mut entry = Entry::new(HeldSocket::new(fd, name, true), binding, local, file);
        (entry.is_inherited, entry.lent_to) = (true, Some(owner));
        unpoisoned(&self.all).push(entry);
    }

    /// Holds no more what was lent.
    pub(super) fn take_back(&self, fd: &Arc<OwnedFd>) {
        let mut over = self.let_go(|entry| Arc::ptr_eq(entry.socket.fd(), fd));
        // Its name is the other's too.
        over.iter_mut().for_each(|entry| entry.is_removed = false);
    }

    /// What kind each of those is that were opened outside for guests to bind to, and its address.
    pub(super) fn inherited(&self) -> Vec<(Kind, Address)> {
        let all = unpoisoned(&self.all);
        let inherited = all.iter().filter(|entry| entry.is_inherited && !entry.is_preopened);
        inherited.map(|entry| (entry.binding.kind, entry.local.clone())).collect()
    }

    /// The socket that is bound there. Several that share an address match by their order.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    pub(super) fn adopt(
        &self,
        wanted: &Binding,
        owner: Owner,
        state: (bool, bool),
    ) -> Result<Option<Arc<Claim>>, Errno> {
        let held = {
            let mut all = unpoisoned(&self.all);
            let is_for = |entry: &Entry| entry.lent_to.is_none_or(|instance| instance == owner);
            let mut there = all.iter_mut().filter(|entry| entry.binding == *wanted && is_for(entry));
            there.find_map(|entry| entry.claim(owner, state).transpose()).transpose()?
        };
        if held.is_some() { Ok(held) } else { self.adopt_bound(wanted, owner, state) }
    }

    /// The socket that another worker of the same generation has bound there.
    fn adopt_bound(
        &self,
        wanted: &Binding,
        owner: Owner,
        state: (bool, bool),
    ) -> Result<Option<Arc<Claim>>, Errno> {
        let mut bound = unpoisoned(&self.bound);
        let is_it = |it: &BoundSocket| {
            it.binding == *wanted
                && it.owner.generation == owner.generation
                && it.owner.worker != owner.worker
        };
        let known = bound.iter().find(|it| is_it(it));
        let Some((known, fd)) = known.and_then(|it| Some((it, it.fd.upgrade()?))) else { return Ok(None) };
        let (binding, local, name) = (known.binding.clone(), known.local.clone(), known.name.clone());
        let file = name.as_ref().and_then(|name| name.file_id());
        let mut entry = Entry::new(HeldSocket::new(Arc::clone(&fd), name, false), binding, local, file);
        let claim = entry.claim(owner, state)?;
        bound.retain(|it| !std::ptr::eq(it.fd.as_ptr(), Arc::as_ptr(&fd)));
        unpoisoned(&self.all).push(entry);
        Ok(claim)
    }

    /// Notes that `owner` has bound a socket, for its fellow workers.
    pub(super) fn note_bound(&self, made: Made, owner: Owner) {
        let Made { binding, local, fd, name, .. } = made;
        let mut bound = unpoisoned(&self.bound);
        bound.retain(|known| known.fd.strong_count() > 0);
        bound.push(BoundSocket { owner, fd: Arc::downgrade(&fd), binding, local, name });
    }

    /// The socket that had this `number` among those whose port the host chose.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    pub(super) fn adopt_chosen(
        &self,
        wanted: &Binding,
        number: u32,
        may: &dyn Fn(BorrowedFd<'_>) -> bool,
        owner: Owner,
        state: (bool, bool),
    ) -> Result<Option<Arc<Claim>>, Errno> {
        let mut all = unpoisoned(&self.all);
        let entry = all.iter_mut().find(|entry| {
            entry.number == Some(number)
                && is_same_but_port(&entry.binding, wanted)
                && may(entry.socket.fd().as_fd())
        });
        entry.map_or(Ok(None), |entry| entry.claim(owner, state))
    }

    /// Holds a socket of `owner`'s.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor for it.
    pub(super) fn hold(
        &self,
        made: Made,
        number: Option<u32>,
        owner: Owner,
        state: (bool, bool),
    ) -> Result<Arc<Claim>, Errno> {
        let Made { binding, local, fd, name, .. } = made;
        unpoisoned(&self.bound).retain(|known| !std::ptr::eq(known.fd.as_ptr(), Arc::as_ptr(&fd)));
        // Another worker may have got it since it was bound.
        let same = |entry: &&Entry| Arc::ptr_eq(entry.socket.fd(), &fd);
        let known = unpoisoned(&self.all).iter().find(same).map(|entry| Arc::clone(&entry.socket));
        if let Some(socket) = known {
            return socket.claim(owner, Some(fd), state);
        }
        let file = name.as_ref().and_then(|name| name.file_id());
        let socket = HeldSocket::new(Arc::clone(&fd), name, false);
        let claim = socket.claim(owner, Some(fd), state)?;
        let mut all = unpoisoned(&self.all);
        // The one before it at that place is found by its address alone.
        all.iter_mut().filter(|entry| number.is_some() && entry.number == number).for_each(|entry| {
            entry.number = None;
        });
        let mut entry = Entry::new(socket, binding, local, file);
        entry.number = number;
        all.push(entry);
        Ok(claim)
    }

    /// Takes note that `owner`, which goes on, has closed `claim`. Tells whether that was the last
    /// one: then [`let_go_of_closed`](Self::let_go_of_closed) is to be called after
    /// [`MEANT_AFTER`].
    pub(super) fn closed(&self, claim: &Claim) -> bool {
        let mut all = unpoisoned(&self.all);
        let entry = all.iter_mut().find(|entry| Arc::ptr_eq(&entry.socket, claim.socket()));
        let Some(entry) = entry.filter(|entry| !entry.is_inherited && !entry.socket.is_claimed()) else {
            return false;
        };
        entry.closed = Instant::now().checked_add(MEANT_AFTER).map(|meant| (claim.owner(), meant));
        true
    }

    /// Releases what was closed long enough ago by an instance that lives on.
    pub(super) fn let_go_of_closed(&self) {
        let now = Instant::now();
        let is_meant = |entry: &Entry| entry.closed.is_some_and(|(_, meant)| meant <= now);
        drop(self.let_go(|entry| is_meant(entry) && !entry.socket.is_claimed()));
    }

    /// Hides the name that `file` has from `owner`, which removes it; one that is retired changes
    /// nothing. `None` where that is no name of a held socket, else the outcome.
    pub(super) fn unlink(
        &self,
        file: (u64, u64),
        owner: Owner,
        is_retired: bool,
    ) -> Option<Result<(), Errno>> {
        let mut all = unpoisoned(&self.all);
        let entry = all.iter_mut().find(|entry| entry.file == Some(file))?;
        if entry.hidden_from.contains(&owner) {
            return Some(Err(Errno::ENOENT));
        }
        if !is_retired {
            entry.hidden_from.push(owner);
            entry.is_removed = true;
        }
        Some(Ok(()))
    }

    /// Is the name that `file` has hidden from `owner`?
    pub(super) fn is_hidden(&self, file: (u64, u64), owner: Owner) -> bool {
        let all = unpoisoned(&self.all);
        all.iter().any(|entry| entry.file == Some(file) && entry.hidden_from.contains(&owner))
    }

    /// Takes note that `owner` begins anew, or has ended: what it closed on its way it did not
    /// mean.
    pub(super) fn begin_anew(&self, owner: Owner) {
        for entry in unpoisoned(&self.all).iter_mut() {
            entry.closed = entry.closed.filter(|(closer, _)| *closer != owner);
            entry.hidden_from.retain(|other| *other != owner);
        }
    }

    /// Closes what no instance that serves has, and returns it; of what was inherited too, which
    /// stays open, but once only.
    pub(super) fn close_unclaimed(&self) -> Vec<Unclaimed> {
        let unclaimed = self.let_go(|entry| !entry.is_inherited && !entry.socket.is_served());
        let closed = unclaimed.iter().map(|entry| {
            let waited = entry.socket.shut_down();
            Unclaimed { local: entry.local.clone(), is_closed: true, waited }
        });
        let mut found: Vec<_> = closed.collect();
        for entry in unpoisoned(&self.all).iter_mut() {
            if !entry.is_preopened
                && !entry.socket.is_served()
                && !std::mem::replace(&mut entry.is_reported, true)
            {
                found.push(Unclaimed { local: entry.local.clone(), is_closed: false, waited: 0 });
            }
        }
        found
    }

    /// Notes that the owner of `claim` takes what comes in.
    pub(super) fn note_taking(&self, claim: &Claim) {
        claim.note_taking();
        let mut all = unpoisoned(&self.all);
        let entry = all.iter_mut().find(|entry| Arc::ptr_eq(&entry.socket, claim.socket()));
        let generation = claim.owner().generation;
        if let Some(entry) = entry.filter(|entry| !entry.taken_by.contains(&generation)) {
            entry.taken_by.push(generation);
        }
    }

    /// Has an instance of this generation listened, or received, at a socket that is still held?
    pub(super) fn has_listened(&self, generation: u32) -> bool {
        unpoisoned(&self.all).iter().any(|entry| entry.taken_by.contains(&generation))
    }

    /// Do datagrams come in at a socket that an instance of this generation has?
    pub(super) fn takes_datagrams(&self, generation: u32) -> bool {
        let takes = |entry: &Entry| entry.socket.takers().iter().any(|owner| owner.generation == generation);
        unpoisoned(&self.all).iter().any(|entry| entry.binding.kind == Kind::Datagram && takes(entry))
    }

    /// Forgets what the generations took that are not among those that are `left`.
    pub(super) fn forget_but(&self, left: impl Fn(u32) -> bool) {
        for entry in unpoisoned(&self.all).iter_mut() {
            entry.taken_by.retain(|generation| left(*generation));
        }
    }

    /// The addresses where the generation `before` has taken what comes in, though it may be between two
    /// instances now, and those of `after` do not; and does `after` take from any?
    pub(super) fn missing(&self, before: u32, after: u32) -> (Vec<Address>, bool) {
        let (mut missing, mut has_any) = (Vec::new(), false);
        for entry in unpoisoned(&self.all).iter() {
            let takers = entry.socket.takers();
            let has_it = takers.iter().any(|owner| owner.generation == after);
            has_any |= has_it;
            if entry.taken_by.contains(&before) && !has_it {
                missing.push(entry.local.clone());
            }
        }
        (missing, has_any)
    }

    /// Does `owner` take from any?
    pub(super) fn takes_any(&self, owner: Owner) -> bool {
        unpoisoned(&self.all).iter().any(|entry| entry.socket.takers().contains(&owner))
    }

    /// Releases everything that the guests have made.
    pub(super) fn clear(&self) {
        drop(self.let_go(|entry| !entry.is_inherited));
    }

    /// Releases everything, and ends it for the instances too, but for what others have. Returns where
    /// clients waited, and how many.
    pub(super) fn shut_down(&self) -> Vec<(Address, usize)> {
        let all = self.let_go(|_| true);
        let is_own =
            |entry: &&Entry| !entry.is_inherited || (entry.is_preopened && !entry.socket.is_shared());
        let own = all.iter().filter(is_own);
        own.map(|entry| (entry.local.clone(), entry.socket.shut_down())).collect()
    }

    /// To be held while a worker begins to listen.
    pub(super) fn choosing(&self) -> MutexGuard<'_, ()> {
        unpoisoned(&self.choosing)
    }

    /// Releases everything.
    pub(super) fn release(&self) {
        drop(self.let_go(|_| true));
    }

    /// Those at which connections come in, with their inodes, and how their queues stand.
    pub(super) fn listeners(&self, kernel: &KernelQueues) -> Vec<(Option<u64>, ListenerStatus)> {
        let all = unpoisoned(&self.all);
        let listening = all.iter().filter(|entry| entry.binding.kind != Kind::Datagram);
        let status = listening.map(|entry| {
            let inode = inode_of(entry.socket.fd());
            let (queue_length, queue_capacity) =
                inode.map_or((None, None), |inode| queue(kernel, inode, entry.socket.waiting()));
            let mut generations: Vec<_> =
                entry.socket.takers().iter().map(|owner| owner.generation).collect();
            generations.sort_unstable();
            generations.dedup();
            let (local, is_inherited) = (entry.local.clone(), entry.is_inherited);
            (inode, ListenerStatus { local, queue_length, queue_capacity, is_inherited, generations })
        });
        status.collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        unpoisoned(&self.all).len()
    }

    /// Takes out what is over: it is closed when the result goes, with the lock free again.
    fn let_go(&self, is_over: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut all = unpoisoned(&self.all);
        let (over, kept) = std::mem::take(&mut *all).into_iter().partition(|entry| is_over(entry));
        *all = kept;
        over
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let (true, Some(file), Some(name)) = (self.is_removed, self.file, self.socket.name()) {
            name.remove_file(file);
        }
    }
}

/// Is it the same but for the port, which the host chose?
fn is_same_but_port(held: &Binding, wanted: &Binding) -> bool {
    match (&held.at, &wanted.at) {
        (BoundAt::Inet(held_at), BoundAt::Inet(at)) => {
            let mut at = *at;
            at.set_port(held_at.port());
            *held_at == at && *held == Binding { at: BoundAt::Inet(at), ..*wanted }
        }
        _ => false,
    }
}
