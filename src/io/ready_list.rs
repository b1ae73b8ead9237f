//! The ready list: things that may be ready, and those that wait for one of them.
//!
//! Each watched thing has a [`Node`], which has two wakers, for reading and for writing. A change of
//! the thing wakes one of them, which records the direction in the node, puts the node at the end of
//! the list unless it is there, and wakes one of the waiters. So an event costs the same however many
//! things are watched.
//!
//! # Correctness
//!
//! 1. *What is not listed is armed.* Who takes a node from the list [arms](Node::arm) both wakers and
//!    looks at the thing then. What happened before is found by the look; what happens later wakes, and
//!    lists the node again. And a node leaves the list if a look without a take finds nothing: it is
//!    armed while it is still listed, and [taken out](ReadyList::unlist) only if neither waker was
//!    woken since.
//! 2. *A sleeping waiter has seen an empty list.* A waiter adds its [slot](WaiterSlot) first, takes
//!    from the list then, and sleeps only if it got nothing. What is listed after that wakes the
//!    latest waiter, whose thread is warmest, and removes its slot. A waiter whose slot was removed and
//!    that goes, with something or because its time is over or its call was dropped, has the next one
//!    woken if the list is not empty. So as long as something is listed, no waiter sleeps, or a woken
//!    one is about to run. [Watchers](ReadyList::watchers) are no waiters: all of them are woken.
//!
//! The list keeps no thing open. Its locks, that of the nodes and that of the waiters, are held while
//! nothing else is locked, woken or looked at.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Wake, Waker};

use super::{Events, Pollable, Watchers};
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};
use crate::sync::{Mutex, MutexGuard};

/// The direction of a reader, among the changes of a node.
pub const READ: u8 = 1;

/// The direction of a writer.
pub const WRITE: u8 = 2;

/// The things that may be ready, in the order in which they came to be.
pub struct ReadyList<T> {
    nodes: Mutex<VecDeque<Arc<Node<T>>>>,
    waiters: Mutex<Waiters>,
    /// Those that watch the list itself.
    watchers: Watchers,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Waiters {
    /// In the order in which they came, which is that of their numbers. What it has taken stays, since waiters come and go.
    by_number: Vec<(u64, Waker)>,
    next: u64,
}

impl Waiters {
    /// Where the waiter with this number is.
    fn place(&self, number: u64) -> Option<usize> {
        self.by_number.binary_search_by_key(&number, |(known, _)| *known).ok()
    }
}

/// A watched thing.
pub struct Node<T> {
    /// What the user of the list knows of it.
    pub value: T,
    target: Weak<dyn Pollable>,
    wakers: [Waker; 2],
    /// The directions that were woken since the last take.
    changed: AtomicU8,
    is_listed: AtomicBool,
    /// How often it was woken. Changes under the lock of the list.
    wakes: AtomicU32,
}

/// What the thing of a node holds.
pub struct DirectionWaker<T> {
    node: Weak<Node<T>>,
    list: Weak<ReadyList<T>>,
    direction: u8,
}

impl<T: Send + Sync + 'static> Node<T> {
    /// A node for `target`, which is not listed yet, and whose wakers are not armed.
    pub fn new(list: &Arc<ReadyList<T>>, target: &Arc<dyn Pollable>, value: T) -> Arc<Self> {
        Arc::new_cyclic(|node| {
            let waker = |direction| {
                let (node, list) = (Weak::clone(node), Arc::downgrade(list));
                Waker::from(Arc::new(DirectionWaker { node, list, direction }))
            };
            Self {
                value,
                target: Arc::downgrade(target),
                wakers: [waker(READ), waker(WRITE)],
                changed: AtomicU8::new(0),
                is_listed: AtomicBool::new(false),
                wakes: AtomicU32::new(0),
            }
        })
    }
}

impl<T> Node<T> {
    /// The thing, unless it is closed.
    pub fn target(&self) -> Option<Arc<dyn Pollable>> {
        self.target.upgrade()
    }

    /// Is the thing still open?
    pub fn is_open(&self) -> bool {
        self.target.strong_count() > 0
    }

    /// The address of the thing. No other one has it as long as the node is there.
    pub fn address(&self) -> usize {
        self.target.as_ptr().addr()
    }

    /// Is it in the list?
    pub fn is_listed(&self) -> bool {
        self.is_listed.load(SeqCst)
    }

    /// The directions that have changed since the last time.
    pub fn take_changes(&self) -> u8 {
        self.changed.swap(0, SeqCst)
    }

    /// Notes changes for the next [take](Self::take_changes), without listing the node.
    pub fn note_changes(&self, directions: u8) {
        self.changed.fetch_or(directions, SeqCst);
    }

    /// Arms both wakers at its thing; returns the directions that have changed already.
    pub fn arm(&self, target: &dyn Pollable) -> u8 {
        let mut changed = 0;
        for (waker, (direction, mask)) in self.wakers.iter().zip(DIRECTIONS) {
            if target.register(mask, &mut Context::from_waker(waker)) {
                changed |= direction;
            }
        }
        changed
    }
}

/// What each of the wakers waits for.
const DIRECTIONS: [(u8, Events); 2] = [(READ, Events::OF_READERS), (WRITE, Events::OF_WRITERS)];

impl<T> Default for ReadyList<T> {
    fn default() -> Self {
        Self {
            nodes: Mutex::default(),
            waiters: Mutex::default(),
            watchers: Watchers::default(),
            is_closed: AtomicBool::new(false),
        }
    }
}

impl<T> ReadyList<T> {
    /// Records the change, lists the node, wakes one of the waiters.
    pub fn mark_ready(&self, node: &Arc<Node<T>>, directions: u8) {
        node.note_changes(directions);
        let is_new = {
            let mut nodes = unpoisoned(&self.nodes);
            node.wakes.fetch_add(1, Relaxed);
            let is_new = !node.is_listed.swap(true, SeqCst);
            if is_new {
                nodes.push_back(Arc::clone(node));
            }
            is_new
        };
        if is_new {
            self.wake_one();
        }
        // Also if it was listed: a watcher of the list may have found it not ready.
        self.watchers.wake_all();
    }

    /// Takes the first node.
    pub fn pop(&self) -> Option<Arc<Node<T>>> {
        let mut nodes = unpoisoned(&self.nodes);
        let first = nodes.pop_front()?;
        first.is_listed.store(false, SeqCst);
        Some(first)
    }

    /// The first that are listed, and how often each was woken.
    pub fn first(&self, most: usize) -> Vec<(Arc<Node<T>>, u32)> {
        let nodes = unpoisoned(&self.nodes);
        nodes.iter().take(most).map(|node| (Arc::clone(node), node.wakes.load(Relaxed))).collect()
    }

    /// Removes those that were the [first](Self::first), and were not ready after their wakers
    /// were armed, from the list. One that was woken since remains.
    pub fn unlist(&self, idle: &[(Arc<Node<T>>, u32)]) {
        let mut nodes = unpoisoned(&self.nodes);
        for (node, wakes) in idle {
            // Another waiter has taken it, if it is not the first any more.
            if !nodes.front().is_some_and(|first| Arc::ptr_eq(first, node)) {
                continue;
            }
            if let Some(first) = nodes.pop_front() {
                match first.wakes.load(Relaxed) == *wakes {
                    true => first.is_listed.store(false, SeqCst),
                    false => nodes.push_back(first),
                }
            }
        }
    }

    /// Removes all nodes but those that `keeps` names.
    pub fn keep(&self, keeps: impl Fn(&Arc<Node<T>>) -> bool) {
        let mut nodes = unpoisoned(&self.nodes);
        nodes.retain(|node| {
            let keeps = keeps(node);
            node.is_listed.store(keeps, SeqCst);
            keeps
        });
    }

    /// How many are listed.
    pub fn len(&self) -> usize {
        unpoisoned(&self.nodes).len()
    }

    /// A slot for a caller that is about to wait.
    pub fn slot(&self) -> WaiterSlot<'_, T> {
        WaiterSlot { list: self, number: None, was_woken: false }
    }

    /// Wakes one of the waiters.
    pub fn wake_one(&self) {
        let last = unpoisoned(&self.waiters).by_number.pop();
        if let Some((_, waiter)) = last {
            waiter.wake();
        }
    }

    /// Those that watch the list: all of them are woken by each change.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Ends all waits.
    pub fn close(&self) {
        self.is_closed.store(true, SeqCst);
        self.watchers.wake_all();
        let waiters = std::mem::take(&mut unpoisoned(&self.waiters).by_number);
        waiters.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Has it been closed?
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    /// How many wait.
    #[cfg(test)]
    pub fn waiters(&self) -> usize {
        unpoisoned(&self.waiters).by_number.len()
    }
}

/// The slot of a waiter, until it is dropped.
pub struct WaiterSlot<'a, T> {
    list: &'a ReadyList<T>,
    number: Option<u64>,
    /// It was removed to wake the waiter.
    was_woken: bool,
}

impl<T> WaiterSlot<'_, T> {
    /// Adds the slot, unless it is still there.
    pub fn take(&mut self, waker: &Waker) {
        let mut waiters = unpoisoned(&self.list.waiters);
        if let Some(number) = self.number {
            let place = waiters.place(number);
            if let Some((_, known)) = place.and_then(|place| waiters.by_number.get_mut(place)) {
                known.clone_from(waker);
                return;
            }
            self.was_woken = true;
        }
        let number = waiters.next;
        waiters.next += 1;
        waiters.by_number.push((number, waker.clone()));
        self.number = Some(number);
    }

    /// Removes the slot; returns whether the waiter was woken by then, and so has to have another
    /// one woken for what it leaves.
    pub fn leave(&mut self) -> bool {
        if let Some(number) = self.number.take() {
            let left = {
                let mut waiters = unpoisoned(&self.list.waiters);
                waiters.place(number).map(|place| waiters.by_number.remove(place))
            };
            self.was_woken |= left.is_none();
        }
        std::mem::take(&mut self.was_woken)
    }
}

impl<T> Drop for WaiterSlot<'_, T> {
    fn drop(&mut self) {
        if self.leave() && self.list.len() > 0 {
            self.list.wake_one();
        }
    }
}

impl<T: Send + Sync> Wake for DirectionWaker<T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let (Some(node), Some(list)) = (self.node.upgrade(), self.list.upgrade()) {
            list.mark_ready(&node, self.direction);
        }
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What each of them guards is consistent whenever it is unlocked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "ready_list/tests.rs"]
mod tests;
