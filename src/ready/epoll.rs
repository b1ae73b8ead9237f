//! epoll: one descriptor that watches many others.
//!
//! Most sockets are watched by the [kernel], in an epoll of its own. What follows is about
//! everything else, and about the waiters.
//!
//! # Correctness
//!
//! An epoll has *entries*, one for each watched pair of a number and an open thing, as nodes of a
//! [`ReadyList`], which says why no wake-up of an entry or a waiter is lost. Beyond that:
//!
//! 1. *Level*: a reported entry is put at the end of the list again, and so is
//!    looked at by the next wait, after the others. It leaves the list when a look
//!    finds nothing.
//! 2. *Edge*: an entry is reported only if one of its wakers was woken since the last time, for a
//!    direction that is ready now. Spurious wakes are allowed: an edge may be reported
//!    twice, and is never missed. A new or modified entry counts as woken.
//! 3. *One-shot*: whether an entry is on, and with which mask, is checked and changed in
//!    one step under the entry's lock. Two waiters never both report it.
//! 4. A modified entry counts from the next take on; one that was removed, or whose
//!    thing is closed, is no longer reported. An epoll keeps nothing open.
//! 5. *The kernel's part*: one of the waiters is woken by it too, the [`leader`].
//!
//! Locks: the map of entries, the kernel's records below it, an entry's own, the list's.
//! Except for these two, none is held while another is taken, while a waker is called, or
//! while a thing is looked at: looking at a watched epoll takes that one's locks. That of
//! [`Nesting`] alone comes before all of them.

mod entries;
mod entry;
mod kernel;
mod leader;
mod nesting;
mod wait;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::time_slice::TimeSlice;
use crate::account::Account;
use crate::error::Errno;
use crate::io::{Events, Node, Pollable, READ, ReadyList, Timer, WRITE};
use entries::{Entries, EntryKey, key, small};
use entry::{EntryState, EpollEntry, EpollNode};
use kernel::Kernel;
use leader::Leadership;
pub use nesting::Nesting;
use nesting::{forget_one, is};

/// How many entries are processed between two readings of the clock: some ten microseconds.
const STEP: usize = 32;

/// How many entries there are before those of closed things are looked for.
const FIRST_SWEEP: usize = 64;

/// What to wait for at an entry, and what to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// These, and those that are always reported.
    pub events: Events,
    /// Report changes, not states.
    pub edge: bool,
    /// Report once, then wait to be modified.
    pub one_shot: bool,
    /// The guest's own data.
    pub data: Data,
}

/// What was found at an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The number under which it is watched.
    pub fd: u32,
    /// What it is ready for.
    pub events: Events,
    /// The guest's own data.
    pub data: Data,
}

/// The data that a guest attaches to an entry, as WASIX defines it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// A pointer.
    pub ptr: u32,
    /// 32 bits.
    pub data1: u32,
    /// 64 bits.
    pub data2: u64,
}

/// Watches many things.
pub struct Epoll {
    entries: Mutex<Entries>,
    kernel: Kernel,
    list: Arc<ReadyList<EpollEntry>>,
    leadership: Leadership,
    /// Which of the two is taken first, alternating, so that neither starves.
    is_kernel_first: AtomicBool,
    nesting: Arc<Nesting>,
    /// Epolls that watch this one, each once.
    parents: Mutex<Vec<Weak<Epoll>>>,
    /// Epolls that this one watches, each once.
    children: Mutex<Vec<Weak<Epoll>>>,
    /// Kept between waits: making one costs three system calls.
    timer: Mutex<Option<Timer>>,
}

impl Epoll {
    /// An epoll that watches nothing. Its entries are charged on `account`; `nesting` is that of all
    /// epolls of the guest.
    pub fn of_guest(account: &Arc<Account>, nesting: &Arc<Nesting>) -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::new(Entries::new(account)),
            kernel: Kernel::default(),
            list: Arc::default(),
            leadership: Leadership::default(),
            is_kernel_first: AtomicBool::new(false),
            nesting: Arc::clone(nesting),
            parents: Mutex::default(),
            children: Mutex::default(),
            timer: Mutex::default(),
        })
    }

    /// One of the host's own: no account limits it.
    pub fn new() -> Arc<Self> {
        Self::of_guest(&Account::unlimited(), &Arc::default())
    }

    /// Watches `target`, which the guest calls `fd`.
    ///
    /// # Errors
    ///
    /// `EEXIST` where it does already; `ENOSPC` where the host may hold no more for the guest.
    pub fn add(&self, fd: u32, target: &Arc<dyn Pollable>, request: Request) -> Result<(), Errno> {
        self.insert(fd, target, request, None)
    }

    fn insert(
        &self,
        fd: u32,
        target: &Arc<dyn Pollable>,
        request: Request,
        inner: Option<&Arc<Self>>,
    ) -> Result<(), Errno> {
        let mut entries = unpoisoned(&self.entries);
        // "EEXIST: op was EPOLL_CTL_ADD, and the supplied file descriptor fd is already
        // registered with this epoll instance." - epoll_ctl(2)
        let key = key(fd, target);
        if entries.of_kernel.contains_key(&small(key)) || entries.own.contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        if entries.count() >= entries.sweep_at {
            self.sweep(&mut entries);
        }
        self.charge_one(&mut entries)?;
        let is_first = !self.kernel.is_in_use();
        if let Some(record) = self.kernel.add(fd, target, request) {
            entries.of_kernel.insert(small(key), record);
            drop(entries);
            if is_first {
                self.leadership.need(&self.list);
            }
            return Ok(());
        }
        let state = Mutex::new(EntryState { request, is_on: true });
        let entry = Node::new(&self.list, target, EpollEntry { fd, state, inner: inner.map(Arc::downgrade) });
        entries.own.insert(key, Arc::clone(&entry));
        drop(entries);
        self.list.mark_ready(&entry, READ | WRITE);
        Ok(())
    }

    /// Charges one entry more. If the account is exhausted, entries of closed things are removed first.
    ///
    /// # Errors
    ///
    /// `ENOSPC`.
    fn charge_one(&self, entries: &mut Entries) -> Result<(), Errno> {
        if entries.charge(1) {
            return Ok(());
        }
        self.sweep(entries);
        if entries.charge(1) {
            return Ok(());
        }
        entries.held.account().deny();
        // "ENOSPC: The limit imposed by /proc/sys/fs/epoll/max_user_watches was encountered
        // while trying to register (EPOLL_CTL_ADD) a new file descriptor on an epoll instance."
        // - epoll_ctl(2)
        Err(Errno::ENOSPC)
    }

    /// Removes entries of closed things, once there are twice as many entries as the last time.
    fn sweep(&self, entries: &mut Entries) {
        entries.own.retain(|_, entry| entry.is_open());
        entries.of_kernel.retain(|_, record| self.kernel.keep(*record));
        self.list.keep(|entry| entry.is_open());
        entries.sweep_at = (entries.count() * 2).max(FIRST_SWEEP);
        entries.charge(0);
    }

    /// Waits for something else at `fd` from now on; switches it on again.
    ///
    /// # Errors
    ///
    /// `ENOENT` where it is not watched.
    pub fn modify(&self, fd: u32, target: &Arc<dyn Pollable>, request: Request) -> Result<(), Errno> {
        let mut entries = unpoisoned(&self.entries);
        // "ENOENT: op was EPOLL_CTL_MOD or EPOLL_CTL_DEL, and fd is not registered with
        // this epoll instance." - epoll_ctl(2)
        let key = key(fd, target);
        if let Some(record) = entries.of_kernel.get(&small(key)) {
            return self.kernel.modify(*record, target.as_ref(), request);
        }
        let entry = Arc::clone(entries.own.get(&key).ok_or(Errno::ENOENT)?);
        let is_first = !self.kernel.is_in_use();
        // One that has settled since, such as a connection that is there now.
        if let Some(record) = self.kernel.add(fd, target, request) {
            entries.own.remove(&key);
            entries.of_kernel.insert(small(key), record);
            drop(entries);
            self.retire(&entry);
            if is_first {
                self.leadership.need(&self.list);
            }
            return Ok(());
        }
        drop(entries);
        *unpoisoned(&entry.value.state) = EntryState { request, is_on: true };
        self.list.mark_ready(&entry, READ | WRITE);
        Ok(())
    }

    /// Stops reporting an entry.
    fn retire(&self, retired: &Arc<EpollNode>) {
        unpoisoned(&retired.value.state).is_on = false;
        if retired.is_listed() {
            self.list.keep(|entry| !Arc::ptr_eq(entry, retired));
        }
    }

    /// Watches `fd` no more.
    ///
    /// # Errors
    ///
    /// `ENOENT` where it is not watched.
    pub fn remove(&self, fd: u32, target: &Arc<dyn Pollable>) -> Result<(), Errno> {
        let mut entries = unpoisoned(&self.entries);
        let key = key(fd, target);
        if let Some(record) = entries.of_kernel.remove(&small(key)) {
            entries.charge(0);
            self.kernel.remove(record, target.as_ref());
            return Ok(());
        }
        let removed = entries.own.remove(&key).ok_or(Errno::ENOENT)?;
        entries.charge(0);
        drop(entries);
        self.retire(&removed);
        if let Some(inner) = removed.value.inner.as_ref().and_then(Weak::upgrade) {
            let is_it =
                |entry: &Arc<EpollNode>| entry.value.inner.as_ref().is_some_and(|other| is(other, &inner));
            let still = unpoisoned(&self.entries).own.values().any(is_it);
            if !still {
                forget_one(&inner.parents, self);
                forget_one(&self.children, &inner);
            }
        }
        Ok(())
    }

    /// Closes it: its last descriptor is closed. Its waiters are woken.
    pub fn close(&self) {
        self.list.close();
    }

    /// Is everything that it watches the kernel's to watch?
    pub fn is_kernels_alone(&self) -> bool {
        self.kernel.is_in_use() && unpoisoned(&self.entries).own.is_empty()
    }

    /// All that are not the kernel's.
    fn entries(&self) -> Vec<Arc<EpollNode>> {
        unpoisoned(&self.entries).own.values().cloned().collect()
    }

    /// Is there anything that [`Epoll::take`] would return? What is not ready leaves the list,
    /// as on Linux: the next poll need not go through it again.
    fn has_ready(&self) -> bool {
        if self.kernel.has_ready() {
            return true;
        }
        let mut left = self.list.len();
        while left > 0 {
            let step = left.min(STEP);
            if self.poll_first(step) {
                return true;
            }
            left -= step;
        }
        false
    }

    /// Polls so many entries of the list, or up to one that is ready; returns whether there is
    /// one. The others leave the list, with their wakers armed.
    fn poll_first(&self, count: usize) -> bool {
        let mut first = self.list.first(count);
        let ready = first.iter().position(|(entry, _)| self.is_ready(entry));
        first.truncate(ready.unwrap_or(usize::MAX));
        self.list.unlist(&first);
        ready.is_some()
    }

    /// Arms the wakers of a listed entry, and looks at it: is it ready?
    fn is_ready(&self, entry: &Arc<EpollNode>) -> bool {
        let Some(target) = entry.target() else {
            self.remove_entry(entry);
            return false;
        };
        entry.note_changes(entry.arm(target.as_ref()));
        let ready = target.look();
        let state = unpoisoned(&entry.value.state);
        state.is_on && !ready.and(state.request.events.or(Events::ALWAYS)).is_empty()
    }

    /// Removes what is not ready from the list, and yields in between: a poll after that
    /// has little to go through.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`TimeSlice::step`].
    pub async fn prune_unready(&self, slice: &mut TimeSlice) -> Result<(), Errno> {
        let mut left = self.list.len();
        while left > 0 {
            let step = left.min(STEP);
            if self.poll_first(step) {
                break;
            }
            left -= step;
            slice.step().await?;
        }
        Ok(())
    }

    fn remove_entry(&self, entry: &Arc<EpollNode>) {
        let key = (entry.value.fd, entry.address());
        let mut entries = unpoisoned(&self.entries);
        if entries.own.get(&key).is_some_and(|found| Arc::ptr_eq(found, entry)) {
            entries.own.remove(&key);
            entries.charge(0);
        }
    }
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = unpoisoned(&self.entries).count();
        f.debug_struct("Epoll").field("entries", &entries).finish_non_exhaustive()
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // The list's entries would keep their wakers, which would be woken in vain.
        self.list.keep(|_| false);
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What each of them guards is consistent whenever it is unlocked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "epoll/tests.rs"]
mod tests;
