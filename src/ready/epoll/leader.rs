//! Who of the waiters is woken by the kernel's part of an epoll.
//!
//! One of the waiters is the *leader*, which waits for the kernel's part too. A waiter adds its slot
//! before it checks for a leader, and a leader that goes has another waiter woken, which becomes the
//! leader and looks. So as long as there is a waiter, there is a leader, or a woken waiter is about
//! to run. When the kernel's part is created, a sleeping waiter is woken.

use std::task::Waker;

use crate::io::{ReadyList, WaiterSlot};
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::SeqCst;

/// Is a leader needed, and is there one?
#[derive(Default)]
pub(super) struct Leadership {
    is_needed: AtomicBool,
    is_taken: AtomicBool,
}

impl Leadership {
    /// From now on there is something that needs a leader. One of the waiters of `list` is woken.
    pub(super) fn need<T>(&self, list: &ReadyList<T>) {
        self.is_needed.store(true, SeqCst);
        list.wake_one();
        list.watchers().wake_all();
    }

    /// Is one needed, and there is none?
    pub(super) fn is_vacant(&self) -> bool {
        self.is_needed.load(SeqCst) && !self.is_taken.load(SeqCst)
    }
}

/// A waiter of an epoll, until it is dropped.
pub(super) struct Waiter<'a, T> {
    slot: WaiterSlot<'a, T>,
    list: &'a ReadyList<T>,
    leadership: &'a Leadership,
    is_leader: bool,
}

impl<'a, T> Waiter<'a, T> {
    /// One that is not there yet.
    pub(super) fn new(list: &'a ReadyList<T>, leadership: &'a Leadership) -> Self {
        Self { slot: list.slot(), list, leadership, is_leader: false }
    }

    /// Takes its slot, unless it has it.
    pub(super) fn take_slot(&mut self, waker: &Waker) {
        self.slot.take(waker);
    }

    /// Becomes the leader, if one is needed and there is none; returns whether that was
    /// just now.
    pub(super) fn lead(&mut self) -> bool {
        if self.is_leader || !self.leadership.is_vacant() {
            return false;
        }
        self.is_leader = !self.leadership.is_taken.swap(true, SeqCst);
        self.is_leader
    }

    /// Is it the leader?
    pub(super) fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl<T> Drop for Waiter<'_, T> {
    fn drop(&mut self) {
        let was_woken = self.slot.leave();
        if self.is_leader {
            self.leadership.is_taken.store(false, SeqCst);
        }
        let leaves_something = || self.list.len() > 0 || self.leadership.is_vacant();
        if self.is_leader || was_woken && leaves_something() {
            self.list.wake_one();
        }
    }
}
