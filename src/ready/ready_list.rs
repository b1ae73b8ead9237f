//! A crowd: thousands of things that are watched at once.
//!
//! Each member has a bell of its own. What happens to the member rings the bell,
//! which puts the member at the end of one list and wakes whoever awaits
//! [`ReadyList::next`]. So an event costs the same however many members there are.
//!
//! # Correctness
//!
//! A member is in one of three states:
//!
//! * *listed*: it is in the list, once. So is every new member, since nobody knows
//!   what happened before it was watched.
//! * *armed*: its source holds its bell. Whatever happens now lists it.
//! * *over*: its source said that there will be no more news.
//!
//! [`ReadyList::next`] takes the first listed member and arms it *before* it tells of it.
//! Whoever looks at the member after that sees all that happened before, and what
//! happens while he looks or later lists the member again: no wake-up is lost. At
//! most, a member is told of and nothing is found.
//!
//! A crowd keeps nobody alive: a source that goes drops its bell, and a bell that is
//! dropped rings.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::coop::consume_budget;

use crate::socket::{Change, Interest, Watchable};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicU64};
use crate::sync::{Mutex, MutexGuard};

/// Many things watched at once, each by a key of the caller's.
///
/// A source has room for one watcher per interest: it is a member of one crowd
/// at a time.
pub struct ReadyList<K> {
    members: HashMap<K, Member<K>>,
    list: Arc<NodeQueue<K>>,
}

struct Member<K> {
    source: Weak<dyn Watchable>,
    interest: Interest,
    node: Arc<ReadyNode<K>>,
}

/// Lists one member.
struct ReadyNode<K> {
    key: K,
    /// Is it in the list already?
    is_listed: AtomicBool,
    /// The number of the clapper that may ring it; none has an odd number.
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
    /// A crowd of nobody.
    pub fn new() -> Self {
        let state = NodeQueueState { nodes: VecDeque::new(), waiting: None };
        Self { members: HashMap::new(), list: Arc::new(NodeQueue { state: Mutex::new(state) }) }
    }

    /// Watches `source` under `key`, in place of what had that key before. Tells of
    /// it soon, whatever happens.
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

    /// Watches `key` no more.
    pub fn remove(&mut self, key: &K) {
        self.members.remove(key);
    }

    /// Tells of `key` once more, after those who wait for it already.
    pub fn requeue(&self, key: &K) {
        if let Some(member) = self.members.get(key) {
            member.node.enqueue();
        }
    }

    /// Is there nobody?
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The next member with news, in the order in which they had them. Look at it
    /// then: what happens from now on is told anew.
    ///
    /// # Cancel safety
    ///
    /// No news is lost when the future is dropped.
    pub async fn next(&mut self) -> (K, Change) {
        // A crowd that is always busy still leaves others their turn: the reactor too.
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
        // The key may belong to another one by now.
        let member = self.members.get(&node.key).filter(|member| Arc::ptr_eq(&member.node, node))?;
        let Some(source) = member.source.upgrade() else { return Some(Change::Closed) };
        // The one before it, should the source still have it, is mute from here on.
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
            // It came after what the caller is told of now.
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
        // The list is whole whenever its lock is free.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first bell that rang, or else a wake-up once one rings.
    fn poll_first(&self, context: &Context<'_>) -> Option<Arc<ReadyNode<K>>> {
        let mut list = self.lock();
        let first = list.nodes.pop_front();
        if first.is_none() {
            list.waiting = Some(context.waker().clone());
        }
        first
    }
}

/// What a source holds: it rings when the source wakes it, and also when the source
/// goes without a word. Once, unless another one has taken its place.
struct WakeToken<K> {
    node: Arc<ReadyNode<K>>,
    number: u64,
}

impl<K> WakeToken<K> {
    /// Rings no more; tells whether it could until now.
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
