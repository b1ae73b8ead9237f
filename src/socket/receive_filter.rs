//! Keeps messages of refused senders from the guest.
//!
//! A datagram socket has no accept at which a sender could be rejected, so each message is peeked
//! at first, without its bytes, and discarded unread if its sender is refused. The guest cannot
//! observe it: neither a receive nor a poll finds such a message.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Kind, sockaddr, transfer};
use crate::error::Errno;

/// How many messages are discarded before the call yields, so that a fast sender
/// cannot occupy a thread.
const MOST_AT_ONCE: u32 = 64;

/// Decides whose messages are received.
pub trait ReceiveFilter: Send + Sync {
    /// May a message from there reach the guest?
    fn admits(&self, from: SocketAddr) -> bool;
}

/// The filter of one socket.
pub(super) struct DatagramFilter {
    receive_filter: Arc<dyn ReceiveFilter>,
    /// How many messages were discarded.
    dropped: AtomicU64,
    /// How many of them were reported.
    told: AtomicU64,
    /// Held from peeking at the first message until it is taken, so that no other thread takes it
    /// in between: the message after it may be admitted. Holds an error that a peek consumed, for
    /// the next receive.
    first: Mutex<Option<Errno>>,
}

/// What is first in the queue of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// An admitted message.
    Admitted,
    /// Perhaps still a refused one: there were many.
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

    /// Discards refused messages, up to the first admitted one. `peer` was chosen by the guest itself, if
    /// it is set. The caller holds the [lock](Self::lock).
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

    /// How many messages were discarded so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// How many of them have not been reported yet.
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
