//! The ground of waiting: the host's files, and stand-ins for its clock, its reactor and its descriptors.

use std::time::Duration;

use crate::error::Errno;

#[path = "../../../src/io/parker.rs"]
mod parker;
#[path = "../../../src/io/pollable.rs"]
mod pollable;
#[path = "../../../src/io/ready_list.rs"]
mod ready_list;
mod wake_fd;
#[path = "../../../src/io/watchers.rs"]
mod watchers;

pub(crate) use parker::Parker;
pub(crate) use pollable::{Events, Pollable};
pub(crate) use ready_list::{Node, READ, ReadyList, WRITE, WaiterSlot};
pub(crate) use wake_fd::Descriptor;
pub(crate) use watchers::Watchers;

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
