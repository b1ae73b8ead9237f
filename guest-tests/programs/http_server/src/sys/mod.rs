//! Sockets and polling: the calls of the guest's host, or of the native one.
//!
//! Both offer the same names: a [`Listener`] and [`Stream`]s that never wait,
//! and a [`Poller`] whose places are numbered in the order in which they were
//! added.

use std::time::Duration;

#[cfg(not(target_os = "wasi"))]
mod native;
#[cfg(target_os = "wasi")]
mod wasi;

#[cfg(not(target_os = "wasi"))]
pub use native::{Listener, Poller, Stream, is_out_of_descriptors};
#[cfg(target_os = "wasi")]
pub use wasi::{Listener, Poller, Stream, is_out_of_descriptors};

/// What a place of the poller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
    /// Not for its socket, but for time to pass.
    Later(Duration),
}

/// How many connections may wait to be accepted.
#[cfg(target_os = "wasi")]
const BACKLOG: u32 = 1024;
