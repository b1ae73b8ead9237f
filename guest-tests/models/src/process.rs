//! What threads of a guest share: the host's files.

use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

#[path = "../../../src/process/futex.rs"]
pub mod futex;
#[path = "../../../src/process/signal.rs"]
pub mod signal;

pub(crate) use futex::{Futexes, Woken};
pub(crate) use signal::{PendingSignals, Signal, Signals};

pub(crate) const MAIN: u32 = 1;

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
