//! The instances of one generation that serve one connection each.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Handle, WasockCtx};

/// Those that live, so that all of them can be told something.
#[derive(Default)]
pub(super) struct LiveInstances {
    /// Those that are about to begin too.
    count: AtomicUsize,
    handles: Mutex<HashMap<u64, Handle>>,
}

impl LiveInstances {
    /// One more begins, and is counted until [`leave`](Self::leave).
    pub(super) fn enter(&self) {
        self.count.fetch_add(1, SeqCst);
    }

    /// One has ended; returns whether that was the last.
    pub(super) fn leave(&self, number: u64) -> bool {
        self.handles().remove(&number);
        self.count.fetch_sub(1, SeqCst) == 1
    }

    /// The instance `number` has begun, by this context.
    pub(super) fn add(&self, number: u64, ctx: &WasockCtx) {
        self.handles().insert(number, ctx.handle());
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// The handles on those that have begun.
    pub(super) fn all(&self) -> Vec<Handle> {
        self.handles().values().cloned().collect()
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<u64, Handle>> {
        // Whole whenever the lock is free.
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The live instances of every generation.
#[derive(Default)]
pub(super) struct LiveGenerations(Mutex<Vec<Arc<LiveInstances>>>);

impl LiveGenerations {
    /// Those of one more generation.
    pub(super) fn add(&self, live: &Arc<LiveInstances>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else has those of a generation that is gone.
        all.retain(|known| Arc::strong_count(known) > 1);
        all.push(Arc::clone(live));
    }

    /// The handles on all of them.
    pub(super) fn handles(&self) -> Vec<Handle> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().flat_map(|live| live.all()).collect()
    }
}
