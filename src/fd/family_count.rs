//! How many descriptors the processes of a guest have together.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// How many descriptors all tables of a family have, and how many they may have.
///
/// A descriptor that a table has from the one that it was copied from counts once, until neither has it: so
/// `fork` itself needs none, however many its parent has open. What a process opens or duplicates by itself
/// counts for all.
#[derive(Debug)]
pub(super) struct FamilyCount {
    /// Those that are reserved included.
    taken: AtomicU32,
    /// For calls in progress.
    reserved: AtomicU32,
    most: u32,
}

impl FamilyCount {
    /// None, of `most`.
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU32::new(0), reserved: AtomicU32::new(0), most })
    }

    /// Is there place for one more?
    pub(super) fn has_room(&self) -> bool {
        self.taken.load(Relaxed) < self.most
    }

    /// Takes a place, where there is one; returns whether there was.
    pub(super) fn take(&self) -> bool {
        let more = |taken: u32| taken.checked_add(1).filter(|taken| *taken <= self.most);
        self.taken.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Gives places back.
    pub(super) fn give_back(&self, count: u32) {
        self.taken.fetch_sub(count, Relaxed);
    }

    /// Takes a place for a call in progress, where there is one; returns whether there was.
    pub(super) fn reserve(&self) -> bool {
        let has_room = self.take();
        if has_room {
            self.reserved.fetch_add(1, Relaxed);
        }
        has_room
    }

    /// Reserved places become those of descriptors.
    pub(super) fn use_reserved(&self, count: u32) {
        self.reserved.fetch_sub(count, Relaxed);
    }

    /// Gives places back that were reserved.
    pub(super) fn release(&self, count: u32) {
        self.use_reserved(count);
        self.give_back(count);
    }

    /// How many descriptors there are.
    pub(super) fn open(&self) -> u32 {
        self.taken.load(Relaxed).saturating_sub(self.reserved.load(Relaxed))
    }
}

/// The place of a descriptor that several tables have, one by copying the other. Given back with the last of them.
#[derive(Debug)]
pub(super) struct SharedPlace(pub(super) Arc<FamilyCount>);

impl Drop for SharedPlace {
    fn drop(&mut self) {
        self.0.give_back(1);
    }
}
