//! The ready list of an epoll: the entries that may be ready, and the waiters for them and for
//! the kernel's part.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::entry::EpollEntry;
use super::unpoisoned;
use crate::io::Watchers;

/// The entries that may be ready, in the order in which they came to be.
#[derive(Default)]
pub(super) struct EpollReadyList {
    entries: Mutex<VecDeque<Arc<EpollEntry>>>,
    /// The waiters.
    pub(super) waiters: Mutex<Waiters>,
    /// Epolls and polls that watch this one.
    pub(super) watchers: Watchers,
    is_closed: AtomicBool,
    /// Is there anything that needs a leader?
    has_kernel: AtomicBool,
    has_leader: AtomicBool,
}

#[derive(Default)]
pub(super) struct Waiters {
    /// In the order in which they came.
    pub(super) by_number: BTreeMap<u64, Waker>,
    next: u64,
}

/// The slot of a waiter, until it is dropped.
pub(super) struct WaiterSlot<'a> {
    list: &'a EpollReadyList,
    number: Option<u64>,
    /// It was removed to wake the waiter.
    was_woken: bool,
}

impl WaiterSlot<'_> {
    /// Adds the slot, unless it is still there.
    pub(super) fn take(&mut self, waker: &Waker) {
        let mut waiters = unpoisoned(&self.list.waiters);
        if let Some(number) = self.number {
            if let Some(known) = waiters.by_number.get_mut(&number) {
                known.clone_from(waker);
                return;
            }
            self.was_woken = true;
        }
        let number = waiters.next;
        waiters.next += 1;
        waiters.by_number.insert(number, waker.clone());
        self.number = Some(number);
    }
}

impl Drop for WaiterSlot<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let was_there = unpoisoned(&self.list.waiters).by_number.remove(&number).is_some();
            self.was_woken |= !was_there;
        }
        if self.was_woken && (self.list.len() > 0 || self.list.lacks_leader()) {
            self.list.wake_one();
        }
    }
}

/// A waiter that may be the leader, until it is dropped.
pub(super) struct LeaderGuard<'a> {
    list: &'a EpollReadyList,
    is_leader: bool,
}

impl LeaderGuard<'_> {
    /// Becomes the leader, if one is needed and there is none; returns whether that was
    /// just now.
    pub(super) fn take(&mut self) -> bool {
        if self.is_leader || !self.list.lacks_leader() {
            return false;
        }
        self.is_leader = !self.list.has_leader.swap(true, SeqCst);
        self.is_leader
    }

    pub(super) fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl Drop for LeaderGuard<'_> {
    fn drop(&mut self) {
        if self.is_leader {
            self.list.has_leader.store(false, SeqCst);
            self.list.wake_one();
        }
    }
}

impl EpollReadyList {
    /// Records the change, lists the entry, wakes one of the waiters.
    pub(super) fn mark_ready(&self, entry: &Arc<EpollEntry>, direction: u8) {
        entry.changed.fetch_or(direction, SeqCst);
        let is_new = {
            let mut entries = unpoisoned(&self.entries);
            entry.wakes.fetch_add(1, Relaxed);
            let is_new = !entry.is_listed.swap(true, SeqCst);
            if is_new {
                entries.push_back(Arc::clone(entry));
            }
            is_new
        };
        if is_new {
            self.wake_one();
        }
        // Also if it was listed: a watcher of this epoll may have found it not ready.
        self.watchers.wake_all();
    }

    /// A slot for a caller that is about to wait.
    pub(super) fn place(&self) -> WaiterSlot<'_> {
        WaiterSlot { list: self, number: None, was_woken: false }
    }

    /// A caller that is about to wait, and not the leader yet.
    pub(super) fn leader(&self) -> LeaderGuard<'_> {
        LeaderGuard { list: self, is_leader: false }
    }

    pub(super) fn lacks_leader(&self) -> bool {
        self.has_kernel.load(SeqCst) && !self.has_leader.load(SeqCst)
    }

    /// Records that the kernel watches something.
    pub(super) fn has_kernel(&self) {
        self.has_kernel.store(true, SeqCst);
        self.wake_one();
        self.watchers.wake_all();
    }

    /// Ends all waits.
    pub(super) fn close(&self) {
        self.is_closed.store(true, SeqCst);
        self.watchers.wake_all();
        let waiters = std::mem::take(&mut unpoisoned(&self.waiters).by_number);
        waiters.into_values().for_each(Waker::wake);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    /// The first that are listed, and how often each was woken.
    pub(super) fn first(&self, most: usize) -> Vec<(Arc<EpollEntry>, u32)> {
        let entries = unpoisoned(&self.entries);
        entries.iter().take(most).map(|entry| (Arc::clone(entry), entry.wakes.load(Relaxed))).collect()
    }

    /// Removes those that were the [first](Self::first), and were not ready after their wakers
    /// were armed, from the list. One that was woken since remains.
    pub(super) fn unlist(&self, idle: &[(Arc<EpollEntry>, u32)]) {
        let mut entries = unpoisoned(&self.entries);
        for (entry, wakes) in idle {
            // Another waiter has taken it, if it is not the first any more.
            if !entries.front().is_some_and(|first| Arc::ptr_eq(first, entry)) {
                continue;
            }
            if let Some(first) = entries.pop_front() {
                match first.wakes.load(Relaxed) == *wakes {
                    true => first.is_listed.store(false, SeqCst),
                    false => entries.push_back(first),
                }
            }
        }
    }

    pub(super) fn clear(&self) {
        unpoisoned(&self.entries).clear();
    }

    /// Wakes one of the waiters.
    fn wake_one(&self) {
        let last = unpoisoned(&self.waiters).by_number.pop_last();
        if let Some((_, waiter)) = last {
            waiter.wake();
        }
    }

    pub(super) fn pop(&self) -> Option<Arc<EpollEntry>> {
        let mut entries = unpoisoned(&self.entries);
        let first = entries.pop_front()?;
        first.is_listed.store(false, SeqCst);
        Some(first)
    }

    pub(super) fn keep(&self, keeps: impl Fn(&Arc<EpollEntry>) -> bool) {
        let mut entries = unpoisoned(&self.entries);
        entries.retain(|entry| {
            let keeps = keeps(entry);
            entry.is_listed.store(keeps, SeqCst);
            keeps
        });
    }

    pub(super) fn len(&self) -> usize {
        unpoisoned(&self.entries).len()
    }
}
