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
pub mod interests;
pub mod parkers;
pub mod signals;

/// What `src/sync.rs` is to the host.
mod sync {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
    pub(crate) use shuttle::thread;
}

#[path = "../../../src/error.rs"]
mod error;

mod socket {
    use std::task::{Context, Poll};

    use crate::error::Errno;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Interest {
        Read,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Change {
        More,
        Closed,
    }

    pub trait Watchable: Send + Sync {
        fn poll_change(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Change>;
    }

    /// As the host's.
    #[derive(Debug, Default)]
    pub struct Watchers {
        list: crate::sync::Mutex<Vec<std::task::Waker>>,
    }

    impl Watchers {
        pub fn add(&self, waker: &std::task::Waker) {
            self.list.lock().unwrap().push(waker.clone());
        }

        pub fn wake_all(&self) {
            let woken = std::mem::take(&mut *self.list.lock().unwrap());
            woken.into_iter().for_each(std::task::Waker::wake);
        }
    }

    /// Alarms have no clock here.
    pub fn own_reactor() -> Result<tokio::runtime::Handle, Errno> {
        Err(Errno::EAGAIN)
    }

    pub fn spawn_guarded(
        _: &tokio::runtime::Handle,
        _: impl Future<Output = ()> + 'static,
        _: impl FnOnce() + 'static,
    ) -> tokio::task::AbortHandle {
        panic!("alarms have no clock here")
    }
}

mod process;
mod ready;
