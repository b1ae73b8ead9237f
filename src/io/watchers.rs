//! The wakers of those that watch one source.

use std::sync::PoisonError;
use std::task::{Wake, Waker};

use crate::sync::Mutex;

/// How many may watch one source before all of them are woken, which empties the
/// list: watchers that were dropped without notice are in it too.
const MOST: usize = 1024;

/// The wakers for the next change of a source. Each is woken once, and is added again for
/// more.
///
/// Spurious wake-ups are allowed, and happen; lost ones are not.
#[derive(Debug, Default)]
pub struct Watchers {
    list: Mutex<Vec<Waker>>,
}

impl Watchers {
    /// Wakes `waker` at the next change.
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

    /// Wakes all of them, without holding the lock: a waker may take locks of its own.
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
