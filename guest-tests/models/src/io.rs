//! The ground of waiting: the host's file of a thread that parks, and stand-ins for the rest.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Errno;

#[path = "../../../src/io/parker.rs"]
mod parker;
mod wake_fd;

pub(crate) use parker::Parker;
pub(crate) use wake_fd::Descriptor;

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

pub async fn sleep(_: Duration) {}
