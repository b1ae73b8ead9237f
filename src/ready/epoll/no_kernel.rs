//! For hosts whose kernel has no epoll: everything is an entry of the list.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Happened, Request};
use crate::error::Errno;
use crate::ready::Pollable;
use crate::socket::Change;

/// What the kernel watches for an epoll: nothing.
#[derive(Default)]
pub(super) struct Kernel;

impl Kernel {
    pub(super) fn add(&self, _: u32, _: &Arc<dyn Pollable>, _: Request) -> Option<u32> {
        None
    }

    pub(super) fn modify(&self, _: u32, _: &dyn Pollable, _: Request) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }

    pub(super) fn remove(&self, _: u32, _: &dyn Pollable) {}

    pub(super) fn keep(&self, _: u32) -> bool {
        false
    }

    pub(super) fn is_in_use(&self) -> bool {
        false
    }

    pub(super) fn take(&self, _: usize, _: &mut Vec<Happened>) {}

    pub(super) async fn changed(&self) {
        std::future::pending().await
    }

    pub(super) fn poll_change(&self, _: &mut Context<'_>) -> Poll<Change> {
        Poll::Pending
    }

    pub(super) fn has_ready(&self) -> bool {
        false
    }
}
