//! Where messages go, and sending them.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use super::Datagram;
use crate::address::Address;
use crate::error::Errno;
use crate::policy::Policy;
use crate::socket::recent::RecentSenders;
use crate::socket::unix::{self, NamedSocketFile};
use crate::socket::{Domain, Refusal, address, rights, transfer};

/// Where a message goes.
#[derive(Debug)]
pub enum Destination {
    /// A network address.
    Inet(SocketAddr),
    /// A name.
    Name(NamedSocketFile),
}

impl Datagram {
    /// Where a message to `address` goes. A recent sender may be
    /// [answered](super::Socket::let_answer), granted or not.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` for an address of another family; a denial of the policy; `ENOENT`
    /// and what else resolving the path reports.
    pub fn destination(&self, address: &Address, policy: &Policy) -> Result<Destination, Refusal> {
        let has_sent = |there| self.answers.get().is_some_and(|recent| recent.has(there));
        self.find(address, policy, has_sent).map(|(_, destination)| destination)
    }

    pub(super) fn find(
        &self,
        address: &Address,
        policy: &Policy,
        may_answer: impl Fn(SocketAddr) -> bool,
    ) -> Result<(Address, Destination), Refusal> {
        self.endpoint.domain.check(address)?;
        match (address, &self.endpoint.domain) {
            (Address::Unix(name), Domain::Unix(paths)) => {
                let (name, target) = unix::target(name, paths.as_ref().as_ref(), policy)?;
                Ok((Address::Unix(name), Destination::Name(target)))
            }
            (Address::Inet(there), _) => {
                let there = address::destination(*there);
                policy.check_send(there, || may_answer(there))?;
                Ok((Address::Inet(there), Destination::Inet(there)))
            }
            (Address::Unix(_), _) => Err(Errno::EAFNOSUPPORT.into()),
        }
    }

    pub(in crate::socket) fn let_answer(&self) {
        self.answers.get_or_init(|| Box::new(RecentSenders::new()));
    }

    /// Sends one message: to the peer, or to `to`.
    ///
    /// # Errors
    ///
    /// `EDESTADDRREQ` without either; `EAGAIN` if the buffer here or there is full;
    /// `EMSGSIZE`, `ECONNREFUSED` and what else the host reports.
    pub fn try_send(&self, data: &[IoSlice<'_>], to: Option<&Destination>) -> Result<usize, Errno> {
        let fd = self.endpoint.host_fd();
        match to {
            Some(Destination::Inet(there)) => transfer::send_to(fd, data, there),
            Some(Destination::Name(target)) => transfer::send_to(fd, data, &target.address()?),
            // "EDESTADDRREQ: The socket is not connection-mode and no peer address is set."
            // - send(3p)
            None if self.lock().peer.is_none() => Err(Errno::EDESTADDRREQ),
            None => transfer::send(fd, data).map_err(|errno| match errno {
                // Linux drops the peer of a named socket at the first refusal; here it is
                // kept, as `peer_address` reports.
                Errno::ENOTCONN => Errno::ECONNREFUSED,
                errno => errno,
            }),
        }
    }

    /// Sends one message to the peer, with `token` beside it, over `AF_UNIX`.
    ///
    /// # Errors
    ///
    /// Those of [`try_send`](Self::try_send); `ENFILE` where the host has too many on their way.
    pub fn try_send_with_token(&self, data: &[IoSlice<'_>], token: BorrowedFd<'_>) -> Result<usize, Errno> {
        rights::send(self.endpoint.host_fd(), data, token)
    }
}
