//! Locks, atomic words and threads, from one place.
//!
//! What waits and wakes takes them from here, so that `guest-tests/models` can compile the
//! same files with those of a model checker.

pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
pub(crate) use std::thread;
