//! A crowd: thousands of things that are watched at once.
//!
//! Each member has a bell of its own. What happens to the member rings the bell,
//! which puts the member at the end of one list and wakes whoever awaits
//! [`Crowd::next`]. So an event costs the same however many members there are.
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
//! [`Crowd::next`] takes the first listed member and arms it *before* it tells of it.
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

use crate::socket::{Heard, Interest, Watchable};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicU64};
use crate::sync::{Mutex, MutexGuard};

/// Many things watched at once, each by a key of the caller's.
///
/// A source has room for one watcher per interest: it is a member of one crowd
/// at a time.
pub struct Crowd<K> {
    members: HashMap<K, Member<K>>,
    list: Arc<List<K>>,
}

struct Member<K> {
    source: Weak<dyn Watchable>,
    interest: Interest,
    bell: Arc<Bell<K>>,
}

/// Lists one member.
struct Bell<K> {
    key: K,
    /// Is it in the list already?
    is_listed: AtomicBool,
    /// The number of the clapper that may ring it; none has an odd number.
    clapper: AtomicU64,
    list: Arc<List<K>>,
}

struct List<K> {
    state: Mutex<ListState<K>>,
}

struct ListState<K> {
    bells: VecDeque<Arc<Bell<K>>>,
    waiting: Option<Waker>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Crowd<K> {
    /// A crowd of nobody.
    pub fn new() -> Self {
        let state = ListState { bells: VecDeque::new(), waiting: None };
        Self { members: HashMap::new(), list: Arc::new(List { state: Mutex::new(state) }) }
    }

    /// Watches `source` under `key`, in place of what had that key before. Tells of
    /// it soon, whatever happens.
    pub fn insert(&mut self, key: K, source: &Arc<dyn Watchable>, interest: Interest) {
        let bell = Arc::new(Bell {
            key: key.clone(),
            is_listed: AtomicBool::new(false),
            clapper: AtomicU64::new(0),
            list: Arc::clone(&self.list),
        });
        bell.ring();
        self.members.insert(key, Member { source: Arc::downgrade(source), interest, bell });
    }

    /// Watches `key` no more.
    pub fn remove(&mut self, key: &K) {
        self.members.remove(key);
    }

    /// Tells of `key` once more, after those who wait for it already.
    pub fn recall(&self, key: &K) {
        if let Some(member) = self.members.get(key) {
            member.bell.ring();
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
    pub async fn next(&mut self) -> (K, Heard) {
        // A crowd that is always busy still leaves others their turn: the reactor too.
        consume_budget().await;
        poll_fn(|context| {
            loop {
                let Some(bell) = self.list.poll_first(context) else { return Poll::Pending };
                if let Some(news) = self.arm(&bell) {
                    return Poll::Ready((bell.key.clone(), news));
                }
            }
        })
        .await
    }

    /// Arms the member of `bell`; nothing for one that was removed.
    fn arm(&self, bell: &Arc<Bell<K>>) -> Option<Heard> {
        bell.is_listed.store(false, Release);
        // The key may belong to another one by now.
        let member = self.members.get(&bell.key).filter(|member| Arc::ptr_eq(&member.bell, bell))?;
        let Some(source) = member.source.upgrade() else { return Some(Heard::Last) };
        // The one before it, should the source still have it, is mute from here on.
        let number = (bell.clapper.load(Acquire) | 1).wrapping_add(1);
        bell.clapper.store(number, Release);
        let clapper = Arc::new(Clapper { bell: Arc::clone(bell), number });
        let waker = Waker::from(Arc::clone(&clapper));
        let news = match source.poll_news(member.interest, &mut Context::from_waker(&waker)) {
            Poll::Pending => return Some(Heard::Some),
            Poll::Ready(news) => news,
        };
        clapper.mute();
        if news == Heard::Some {
            // It came after what the caller is told of now.
            bell.ring();
        }
        Some(news)
    }
}

impl<K> Bell<K> {
    fn ring(self: &Arc<Self>) {
        if self.is_listed.swap(true, AcqRel) {
            return;
        }
        let waiting = {
            let mut list = self.list.lock();
            list.bells.push_back(Arc::clone(self));
            list.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl<K> List<K> {
    fn lock(&self) -> MutexGuard<'_, ListState<K>> {
        // The list is whole whenever its lock is free.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first bell that rang, or else a wake-up once one rings.
    fn poll_first(&self, context: &Context<'_>) -> Option<Arc<Bell<K>>> {
        let mut list = self.lock();
        let first = list.bells.pop_front();
        if first.is_none() {
            list.waiting = Some(context.waker().clone());
        }
        first
    }
}

/// What a source holds: it rings when the source wakes it, and also when the source
/// goes without a word. Once, unless another one has taken its place.
struct Clapper<K> {
    bell: Arc<Bell<K>>,
    number: u64,
}

impl<K> Clapper<K> {
    /// Rings no more; tells whether it could until now.
    fn mute(&self) -> bool {
        let (mine, none) = (self.number, self.number.wrapping_add(1));
        self.bell.clapper.compare_exchange(mine, none, AcqRel, Relaxed).is_ok()
    }

    fn ring(&self) {
        if self.mute() {
            self.bell.ring();
        }
    }
}

impl<K: Send + Sync> Wake for Clapper<K> {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl<K> Drop for Clapper<K> {
    fn drop(&mut self) {
        self.ring();
    }
}

#[cfg(test)]
#[path = "crowd/tests.rs"]
mod tests;
