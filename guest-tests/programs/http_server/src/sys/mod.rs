//! Sockets and polling: the calls of the guest's host, or of the native one.
//!
//! Both offer the same names: a [`Listener`] and [`Stream`]s that never wait,
//! and two [`Poller`]s, [`Poll`] and [`Epoll`].

use std::io;
use std::time::Duration;

#[cfg(not(target_os = "wasi"))]
mod native;
// Of the package in benches/peers alone.
#[cfg(all(target_os = "wasi", feature = "p2"))]
mod p2;
#[cfg(all(target_os = "wasi", not(feature = "p2")))]
mod wasi;

#[cfg(not(target_os = "wasi"))]
use native as host;
#[cfg(all(target_os = "wasi", feature = "p2"))]
use p2 as host;
#[cfg(all(target_os = "wasi", not(feature = "p2")))]
use wasi as host;

pub use host::{Epoll, Listener, Poll, Source, Stream, is_out_of_descriptors};

/// Waits for many descriptors at once. Its places are numbered in the order in which
/// they were added.
pub trait Poller: Sized {
    fn new() -> io::Result<Self>;

    fn add(&mut self, source: &impl Source, interest: Interest) -> io::Result<()>;

    fn set_interest(&mut self, place: usize, interest: Interest) -> io::Result<()>;

    /// Takes a place away, whose descriptor is closed next; the last place moves there.
    fn swap_remove(&mut self, place: usize);

    /// Waits, and puts the places that are ready into `ready`, none of them twice.
    fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()>;
}

/// What a place of the poller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
    /// Not for its socket, but for time to pass.
    Later(Duration),
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
