//! Whether anything goes through a connection, and its end where nothing does.

use rustix::net::{Shutdown, connect_unspec};

use super::{Stream, StreamState};
use crate::address::Address;

/// How much has gone through a connection. Two that are equal are a connection without traffic in
/// between, but for what the kernel has still [to send](super::super::unsent).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    received: u64,
    sent: u64,
    /// How many bytes wait for the guest.
    pub unread: u64,
}

impl Stream {
    /// How much has gone through it; `None` where it is not connected.
    pub fn traffic(&self) -> Option<Traffic> {
        let is_connected = matches!(self.lock().state, Some(StreamState::Connected(_)));
        let connected = self.connection.get().filter(|_| is_connected)?;
        let registration = connected.registration();
        let (received, sent) = (registration.received(), registration.sent());
        Some(Traffic { received, sent, unread: connected.unread() })
    }

    /// The number by which the kernel lists its socket.
    pub fn inode(&self) -> Option<u64> {
        rustix::fs::fstat(self.endpoint.fd()).ok().map(|stat| stat.st_ino)
    }

    /// Ends a connection at once: its peer sees a reset, and so does the guest, which still has to
    /// close it. Not where others have the socket too.
    pub fn reset_now(&self) {
        if self.endpoint.is_shared() {
            return;
        }
        self.reset_when_closed();
        // "Connectionless sockets may dissolve the association by connecting to an address with the
        // sa_family member set to AF_UNSPEC" - connect(2). TCP answers that with a reset.
        let is_over_network = matches!(self.local_address(), Ok(Address::Inet(_)));
        if !is_over_network || connect_unspec(self.endpoint.fd()).is_err() {
            let _gone = rustix::net::shutdown(self.endpoint.fd(), Shutdown::Both);
        }
    }

    /// Has the guest see the end of what its peer sends. The peer sees nothing of it.
    pub fn end_receiving(&self) {
        if !self.endpoint.is_shared() {
            let _gone = rustix::net::shutdown(self.endpoint.fd(), Shutdown::Read);
        }
    }
}
