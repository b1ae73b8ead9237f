//! What keeps messages of the wrong senders from the guest.
//!
//! A datagram socket has no accept at which a sender could be turned away, so each
//! message is looked at first, without its bytes, and taken away unread where its sender
//! is not let in. A guest can't hear of it: neither a receive nor a look at what is
//! ready finds such a message.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Kind, sockaddr, transfer};
use crate::error::Errno;

/// How many messages are taken away before others get their turn. Whoever sends faster
/// than that keeps no thread.
const MOST_AT_ONCE: u32 = 64;

/// Says whose messages come in.
pub trait ReceiveFilter: Send + Sync {
    /// May a message from there reach the guest?
    fn admits(&self, from: SocketAddr) -> bool;
}

/// Stands before one socket.
pub(super) struct DatagramFilter {
    receive_filter: Arc<dyn ReceiveFilter>,
    /// How many messages were taken away.
    dropped: AtomicU64,
    /// How many of them were told of.
    told: AtomicU64,
    /// Held from a look at the first message until it is taken, so that no other thread
    /// takes it in between: the one after it may be a right one. Holds an error that a
    /// look came upon, for the next receive.
    first: Mutex<Option<Errno>>,
}

/// What is first in the queue of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// A message that may come in.
    Admitted,
    /// Perhaps one of a wrong sender still: there were many.
    Unknown,
}

impl DatagramFilter {
    pub(super) fn new(receive_filter: Arc<dyn ReceiveFilter>) -> Self {
        Self { receive_filter, dropped: AtomicU64::new(0), told: AtomicU64::new(0), first: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Errno>> {
        // An error or none: nothing could be torn.
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away what may not come in, up to the first message that may. The guest chose
    /// `peer` itself, where it has one. For whoever holds the [lock](Self::lock).
    ///
    /// # Errors
    ///
    /// `EAGAIN` where nothing is left, and what the host reports.
    pub(super) fn discard_filtered(
        &self,
        fd: BorrowedFd<'_>,
        peer: Option<SocketAddr>,
    ) -> Result<First, Errno> {
        for _ in 0..MOST_AT_ONCE {
            let (_, from) = transfer::receive_from(fd, Kind::Datagram, &mut [], true)?;
            let from = from.and_then(|from| sockaddr::inet(from).ok());
            if from.is_none_or(|from| {
                peer.is_some_and(|peer| is_same(peer, from)) || self.receive_filter.admits(from)
            }) {
                return Ok(First::Admitted);
            }
            transfer::receive_from(fd, Kind::Datagram, &mut [], false)?;
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(First::Unknown)
    }

    /// How many messages were taken away so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// How many of them nobody was told of yet.
    pub(super) fn take_dropped(&self) -> u64 {
        let dropped = self.dropped();
        dropped.saturating_sub(self.told.swap(dropped, Relaxed))
    }
}

/// The same, whatever the scope and the flow say.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip().to_canonical(), one.port()) == (other.ip().to_canonical(), other.port())
}

impl fmt::Debug for DatagramFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramFilter").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}
