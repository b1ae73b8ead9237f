//! A standstill: all threads of a program but one write nothing to its memory, so that one can copy it.
//!
//! A thread *rests* while it waits in the host, and goes on through a gate. One that runs comes to the gate at
//! the next increment of the epoch, or when it waits. One in `memory.atomic.wait` comes to no gate, and may wake at any
//! moment: there is no standstill then.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often running threads are reminded, and looked after.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// What the threads of a program rest at.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// May a thread ever ask for a standstill? Else the others need not say when they rest.
    is_used: AtomicBool,
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    is_closed: bool,
    /// How many threads rest.
    resting: usize,
}

impl Gate {
    /// From now on the threads say when they rest: before there is more than one.
    pub(crate) fn begin_to_use(&self) {
        self.is_used.store(true, Release);
    }

    /// Do the threads say when they rest?
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        // Consistent whenever it is unlocked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calling thread rests from now on.
    pub(crate) fn rest(&self) {
        let mut state = self.lock();
        state.resting = state.resting.saturating_add(1);
        if state.is_closed {
            self.changed.notify_all();
        }
    }

    /// The calling thread, which rests, goes on when there is no standstill.
    pub(crate) fn go_on(&self) {
        drop(self.pass(self.lock()));
    }

    fn pass<'a>(&'a self, state: MutexGuard<'a, GateState>) -> MutexGuard<'a, GateState> {
        let passing = self.changed.wait_while(state, |state| state.is_closed);
        let mut state = passing.unwrap_or_else(PoisonError::into_inner);
        state.resting = state.resting.saturating_sub(1);
        state
    }

    /// The calling thread, which runs, rests as long as there is a standstill.
    pub(crate) fn look(&self) {
        if !self.is_used() {
            return;
        }
        let mut state = self.lock();
        if state.is_closed {
            state.resting = state.resting.saturating_add(1);
            self.changed.notify_all();
            drop(self.pass(state));
        }
    }

    /// Has all threads but the calling one rest; nothing where they don't within `limit`. `are_all` says whether all
    /// others do where so many rest, and `remind` has those that run come to the gate.
    pub(crate) fn close(
        &self,
        limit: Duration,
        are_all: impl Fn(usize) -> bool,
        remind: impl Fn(),
    ) -> Option<Standstill<'_>> {
        let begun = Instant::now();
        let mut state = self.lock();
        // Another one may have the standstill: this one rests meanwhile.
        state.resting = state.resting.saturating_add(1);
        self.changed.notify_all();
        let mut state = self.pass(state);
        state.is_closed = true;
        let standstill = Standstill(self);
        while !are_all(state.resting) {
            drop(state);
            if begun.elapsed() > limit {
                return None;
            }
            remind();
            let waited = self.changed.wait_timeout(self.lock(), LOOK_INTERVAL);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        Some(standstill)
    }
}

/// As long as there is one, all threads but its own rest.
#[derive(Debug)]
pub(crate) struct Standstill<'a>(&'a Gate);

impl Drop for Standstill<'_> {
    fn drop(&mut self) {
        self.0.lock().is_closed = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
#[path = "standstill/tests.rs"]
mod tests;
