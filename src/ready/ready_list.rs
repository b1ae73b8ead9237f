//! A ready list: watches thousands of sources at once.
//!
//! Each member has a node of its own. A change of the member puts the node at the end of one queue
//! and wakes the caller of [`ReadyList::next`]. So an event costs the same however many members
//! there are.
//!
//! # Correctness
//!
//! A member is in one of three states:
//!
//! * *listed*: it is in the queue, once. So is every new member, since it is unknown
//!   what happened before it was watched.
//! * *armed*: its source holds its wake token. The next change lists it.
//! * *closed*: its source has reported its last change.
//!
//! [`ReadyList::next`] takes the first listed member and arms it *before* it returns it. A poll of
//! the member after that sees everything that happened before, and what happens during it or later
//! lists the member again: no wake-up is lost. At most, a member is returned and nothing is found.
//!
//! A ready list keeps no source alive: a source that is dropped drops its wake token, which
//! lists the member.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::coop::consume_budget;

use crate::io::{Change, Interest, Watchable};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicU64};
use crate::sync::{Mutex, MutexGuard};

/// Many things watched at once, each by a key of the caller's.
///
/// A source has one watcher per interest: it is a member of one ready list at
/// a time.
pub struct ReadyList<K> {
    members: HashMap<K, Member<K>>,
    list: Arc<NodeQueue<K>>,
}

struct Member<K> {
    source: Weak<dyn Watchable>,
    interest: Interest,
    node: Arc<ReadyNode<K>>,
}

/// Lists one member when it is woken.
struct ReadyNode<K> {
    key: K,
    /// Is it in the queue already?
    is_listed: AtomicBool,
    /// The number of the token that may enqueue it; no token has an odd number.
    token: AtomicU64,
    list: Arc<NodeQueue<K>>,
}

struct NodeQueue<K> {
    state: Mutex<NodeQueueState<K>>,
}

struct NodeQueueState<K> {
    nodes: VecDeque<Arc<ReadyNode<K>>>,
    waiting: Option<Waker>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> ReadyList<K> {
    /// An empty ready list.
    pub fn new() -> Self {
        let state = NodeQueueState { nodes: VecDeque::new(), waiting: None };
        Self { members: HashMap::new(), list: Arc::new(NodeQueue { state: Mutex::new(state) }) }
    }

    /// Watches `source` under `key`, in place of what had that key before. Returns it
    /// soon, whatever happens.
    pub fn insert(&mut self, key: K, source: &Arc<dyn Watchable>, interest: Interest) {
        let node = Arc::new(ReadyNode {
            key: key.clone(),
            is_listed: AtomicBool::new(false),
            token: AtomicU64::new(0),
            list: Arc::clone(&self.list),
        });
        node.enqueue();
        self.members.insert(key, Member { source: Arc::downgrade(source), interest, node });
    }

    /// Stops watching `key`.
    pub fn remove(&mut self, key: &K) {
        self.members.remove(key);
    }

    /// Returns `key` once more, after the members that are listed already.
    pub fn requeue(&self, key: &K) {
        if let Some(member) = self.members.get(key) {
            member.node.enqueue();
        }
    }

    /// Is there no member?
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The next member that changed, in the order of the changes. Poll it then: later changes
    /// are returned anew.
    ///
    /// # Cancel safety
    ///
    /// No change is lost when the future is dropped.
    pub async fn next(&mut self) -> (K, Change) {
        // A list that is always busy still yields to other tasks, the reactor included.
        consume_budget().await;
        poll_fn(|context| {
            loop {
                let Some(node) = self.list.poll_first(context) else { return Poll::Pending };
                if let Some(change) = self.arm(&node) {
                    return Poll::Ready((node.key.clone(), change));
                }
            }
        })
        .await
    }

    /// Arms the member of `node`; nothing for one that was removed.
    fn arm(&self, node: &Arc<ReadyNode<K>>) -> Option<Change> {
        node.is_listed.store(false, Release);
        // The key may belong to another member by now.
        let member = self.members.get(&node.key).filter(|member| Arc::ptr_eq(&member.node, node))?;
        let Some(source) = member.source.upgrade() else { return Some(Change::Closed) };
        // The previous token, should the source still have it, is disarmed from here on.
        let number = (node.token.load(Acquire) | 1).wrapping_add(1);
        node.token.store(number, Release);
        let token = Arc::new(WakeToken { node: Arc::clone(node), number });
        let waker = Waker::from(Arc::clone(&token));
        let change = match source.poll_change(member.interest, &mut Context::from_waker(&waker)) {
            Poll::Pending => return Some(Change::More),
            Poll::Ready(change) => change,
        };
        token.disarm();
        if change == Change::More {
            // It came after the change that is returned now.
            node.enqueue();
        }
        Some(change)
    }
}

impl<K> ReadyNode<K> {
    fn enqueue(self: &Arc<Self>) {
        if self.is_listed.swap(true, AcqRel) {
            return;
        }
        let waiting = {
            let mut list = self.list.lock();
            list.nodes.push_back(Arc::clone(self));
            list.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl<K> NodeQueue<K> {
    fn lock(&self) -> MutexGuard<'_, NodeQueueState<K>> {
        // The list is consistent whenever its lock is free.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first listed node, or else a wake-up once there is one.
    fn poll_first(&self, context: &Context<'_>) -> Option<Arc<ReadyNode<K>>> {
        let mut list = self.lock();
        let first = list.nodes.pop_front();
        if first.is_none() {
            list.waiting = Some(context.waker().clone());
        }
        first
    }
}

/// What a source holds: it lists the member when the source wakes it, and also when
/// the source drops it. Once, unless another token has replaced it.
struct WakeToken<K> {
    node: Arc<ReadyNode<K>>,
    number: u64,
}

impl<K> WakeToken<K> {
    /// Disarms the token; returns whether it was armed.
    fn disarm(&self) -> bool {
        let (mine, none) = (self.number, self.number.wrapping_add(1));
        self.node.token.compare_exchange(mine, none, AcqRel, Relaxed).is_ok()
    }

    fn fire(&self) {
        if self.disarm() {
            self.node.enqueue();
        }
    }
}

impl<K: Send + Sync> Wake for WakeToken<K> {
    fn wake(self: Arc<Self>) {
        self.fire();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.fire();
    }
}

impl<K> Drop for WakeToken<K> {
    fn drop(&mut self) {
        self.fire();
    }
}

#[cfg(test)]
#[path = "ready_list/tests.rs"]
mod tests;
