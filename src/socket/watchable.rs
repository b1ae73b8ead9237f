//! Things that have news now and then.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::Interest;
use super::listen::Queue;

/// How many may watch one thing before they all are woken, which empties the list:
/// those that went away without a word are in it too.
const MOST: usize = 1024;

/// What was heard of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something: look what it is. There may be more later.
    More,
    /// The last there will ever be: the peer has ended, or the thing is gone.
    Closed,
}

/// Something that can be watched by whoever watches many things: a socket, a queue of
/// the host's own, or what has no descriptor of the host's at all.
pub trait Watchable: Send + Sync {
    /// Forgets what was heard so far, and has `context` woken once by what comes
    /// after. Ready where that is there already, and then `context` is not woken.
    ///
    /// Any number may watch. A waker that is not needed any more is dropped with the
    /// next news.
    fn poll_change(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Change>;
}

impl Watchable for Queue {
    fn poll_change(&self, _: Interest, context: &mut Context<'_>) -> Poll<Change> {
        self.watch(context).map(|()| Change::Closed)
    }
}

/// Those who want to be woken by the next news of a thing. Woken once: who wants more
/// asks again.
///
/// To be woken without need is allowed, and happens; to be forgotten is not.
#[derive(Debug, Default)]
pub struct Watchers {
    list: Mutex<Vec<Waker>>,
}

impl Watchers {
    /// Has `waker` woken by the next news.
    pub fn add(&self, waker: &Waker) {
        let full_list = {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            if list.iter().any(|known| known.will_wake(waker)) {
                return;
            }
            let full_list = if list.len() >= MOST { std::mem::take(&mut *list) } else { Vec::new() };
            list.push(waker.clone());
            full_list
        };
        full_list.into_iter().for_each(Waker::wake);
    }

    /// Wakes them all, without a lock: a waker may take some of its own.
    pub fn wake_all(&self) {
        let woken = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Watchers {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        self.wake_all();
    }
}
