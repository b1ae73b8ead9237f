//! The host's own files that wait and wake, compiled with the locks, atomic words and
//! threads of a model checker ([`shuttle`]), and the situations that it tries in many orders.
//!
//! The files are those of `src/`, by their paths; [`sync`] is what `src/sync.rs` is there, and
//! the modules beside it stand in for what these files need of the rest of the host. A lost
//! wake-up is a deadlock here, and the checker says in which order it comes about.
//!
//! Why `shuttle` and not `loom`: the argument of the sleeper and of signals is one of
//! sequential consistency (each side stores, then loads), which `loom` does not model, so that
//! it finds deadlocks that cannot be. `shuttle` knows nothing of weaker orders, and tries more
//! threads and longer situations.

#![allow(dead_code, reason = "the files are compiled whole, and the situations use a part")]
#![allow(unreachable_pub, reason = "as in the host")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a situation that goes wrong is to panic"
)]

pub mod futexes;
pub mod parkers;
pub mod signals;

/// What `src/sync.rs` is to the host.
mod sync {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
    pub(crate) use shuttle::thread;
}

#[path = "../../../src/error.rs"]
mod error;

mod io;
mod process;
mod ready;

pub use ready::lists;
