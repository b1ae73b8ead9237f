//! Things made of bytes, kept for the next time that the same bytes come.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many are kept at most.
const MOST: usize = 32;

/// What bytes are known by. The guest chooses them: so it is by two functions that it does not know, and that differ
/// from one host to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    length: usize,
    hashes: [u64; 2],
}

/// The things that were asked for last.
pub(super) struct Kept<T> {
    functions: [RandomState; 2],
    /// The latest one first.
    entries: Mutex<VecDeque<(Fingerprint, T)>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { functions: [RandomState::new(), RandomState::new()], entries: Mutex::default() }
    }
}

impl<T: Clone> Kept<T> {
    fn fingerprint(&self, bytes: &[u8]) -> Fingerprint {
        let hashes = self.functions.each_ref().map(|function| function.hash_one(bytes));
        Fingerprint { length: bytes.len(), hashes }
    }

    /// What was made of these bytes, or what `make` makes of them now. Nothing is locked meanwhile: two that want the
    /// same at once both make it.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub(super) fn get<E>(&self, bytes: &[u8], make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let fingerprint = self.fingerprint(bytes);
        if let Some(found) = self.find(fingerprint) {
            return Ok(found);
        }
        let made = make()?;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push_front((fingerprint, made.clone()));
        // Dropped when the lock is free again.
        let oldest = if entries.len() > MOST { entries.pop_back() } else { None };
        drop(entries);
        drop(oldest);
        Ok(made)
    }

    fn find(&self, fingerprint: Fingerprint) -> Option<T> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let index = entries.iter().position(|(known, _)| *known == fingerprint)?;
        let entry = entries.remove(index)?;
        let found = entry.1.clone();
        entries.push_front(entry);
        Some(found)
    }
}

/// The same, where one thing is made at a time: to compile a program takes many times its memory, on all processors, and
/// guests have as many processes as they may to ask for it at once.
pub(super) struct KeptInTurn<T> {
    pub(super) kept: Kept<T>,
    turn: Mutex<()>,
}

impl<T> Default for KeptInTurn<T> {
    fn default() -> Self {
        Self { kept: Kept::default(), turn: Mutex::default() }
    }
}

impl<T> KeptInTurn<T> {
    /// Waits for one's turn, which lasts until the result is dropped.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(kept: &Kept<usize>, bytes: &[u8], value: usize) -> usize {
        let made: Result<_, ()> = kept.get(bytes, || Ok(value));
        made.unwrap_or(usize::MAX)
    }

    #[test]
    fn the_same_bytes_are_made_once() {
        let kept = Kept::default();
        assert_eq!(get(&kept, b"a", 1), 1);
        assert_eq!(get(&kept, b"a", 2), 1);
        assert_eq!(get(&kept, b"b", 3), 3);
        assert_eq!(kept.get(b"c", || Err("broken")), Err("broken"));
        assert_eq!(get(&kept, b"c", 4), 4);
    }

    #[test]
    fn what_was_not_asked_for_goes_first() {
        let kept = Kept::default();
        for value in 0..MOST {
            assert_eq!(get(&kept, &value.to_le_bytes(), value), value);
        }
        assert_eq!(get(&kept, &0usize.to_le_bytes(), 100), 0);
        assert_eq!(get(&kept, b"one more", 101), 101);
        assert_eq!(get(&kept, &0usize.to_le_bytes(), 102), 0);
        assert_eq!(get(&kept, &1usize.to_le_bytes(), 103), 103);
    }
}
