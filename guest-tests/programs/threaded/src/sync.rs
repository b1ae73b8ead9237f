//! Locks, on words that a futex waits at.

use crate::{futex_wait, futex_wake, futex_wake_all};
use alloc::collections::VecDeque;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, with waiters.
const WANTED: u32 = 2;

/// A value that one thread uses at a time.
pub struct Mutex<T: ?Sized> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

/// The right to use it.
pub struct Guard<'a, T: ?Sized>(&'a Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self { word: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    pub fn lock(&self) -> Guard<'_, T> {
        if self.word.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_err() {
            while self.word.swap(WANTED, Acquire) != FREE {
                futex_wait(&self.word, WANTED, None);
            }
        }
        Guard(self)
    }
}

impl<T: ?Sized> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if self.0.word.swap(FREE, Release) == WANTED {
            futex_wake(&self.0.word);
        }
    }
}

impl<T: ?Sized> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the only one.
        unsafe { &*self.0.value.get() }
    }
}

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only one.
        unsafe { &mut *self.0.value.get() }
    }
}

/// Waits for something that a [`Mutex`] guards.
pub struct Condvar {
    turn: AtomicU32,
}

impl Condvar {
    pub const fn new() -> Self {
        Self { turn: AtomicU32::new(0) }
    }

    /// Gives the lock up until it is notified; may return without that.
    pub fn wait<'a, T: ?Sized>(&self, guard: Guard<'a, T>) -> Guard<'a, T> {
        let (mutex, turn) = (guard.0, self.turn.load(Relaxed));
        drop(guard);
        futex_wait(&self.turn, turn, None);
        mutex.lock()
    }

    pub fn notify_one(&self) {
        self.turn.fetch_add(1, Relaxed);
        futex_wake(&self.turn);
    }

    pub fn notify_all(&self) {
        self.turn.fetch_add(1, Relaxed);
        futex_wake_all(&self.turn);
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

/// What some threads put, others take, in that order.
pub struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    filled: Condvar,
}

impl<T> Queue<T> {
    pub const fn new() -> Self {
        Self { items: Mutex::new(VecDeque::new()), filled: Condvar::new() }
    }

    pub fn put(&self, item: T) {
        self.items.lock().push_back(item);
        self.filled.notify_one();
    }

    /// Waits until there is one.
    pub fn take(&self) -> T {
        let mut items = self.items.lock();
        loop {
            match items.pop_front() {
                Some(item) => return item,
                None => items = self.filled.wait(items),
            }
        }
    }

    pub fn try_take(&self) -> Option<T> {
        self.items.lock().pop_front()
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A latch: it opens once, for all waiters.
pub struct Door(AtomicU32);

impl Door {
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub fn open(&self) {
        self.0.store(1, Release);
        futex_wake_all(&self.0);
    }

    pub fn is_open(&self) -> bool {
        self.0.load(Acquire) != 0
    }

    pub fn pass(&self) {
        while !self.is_open() {
            futex_wait(&self.0, 0, None);
        }
    }
}

impl Default for Door {
    fn default() -> Self {
        Self::new()
    }
}
