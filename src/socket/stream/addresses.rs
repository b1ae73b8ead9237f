//! The addresses of a socket that connects.

use super::bound::Bound;
use super::{Stream, StreamState};
use crate::address::Address;
use crate::error::Errno;
use crate::socket::endpoint::Endpoint;

impl Stream {
    /// The address that the socket has; the wildcard with port 0 while it has none.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn local_address(&self) -> Result<Address, Errno> {
        self.address(Endpoint::local_address, |_| {})
    }

    /// The address that the guest is shown: the same, but for a port that is published.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn shown_address(&self) -> Result<Address, Errno> {
        self.address(Endpoint::shown_address, Bound::note_known)
    }

    /// The address `of` the host's socket; `note` takes note of one that is only bound.
    fn address(
        &self,
        of: impl Fn(&Endpoint) -> Result<Address, Errno>,
        note: impl Fn(&Bound),
    ) -> Result<Address, Errno> {
        let known = self.inspect(|state| match state {
            // The kernel still reports the port of an attempt that failed.
            StreamState::Unbound(_) => Some(self.endpoint.domain.wildcard()),
            StreamState::Bound(bound) => {
                note(bound);
                bound.deferred_address()
            }
            _ => None,
        })?;
        match known {
            Some(address) => Ok(address),
            None => of(&self.endpoint),
        }
    }

    /// The peer's address, also after the peer reset the connection.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` where there is no peer.
    pub fn peer_address(&self) -> Result<Address, Errno> {
        self.inspect(|state| match state {
            StreamState::Connected(peer) => Ok(peer.address()),
            _ => Err(Errno::ENOTCONN),
        })?
    }
}
