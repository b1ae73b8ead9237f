//! Datagram sockets: opened, with options; they carry no data yet.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::option::Timeouts;
use super::{Family, open_host};
use crate::error::Errno;

/// A datagram socket.
#[derive(Debug)]
pub struct Udp {
    fd: OwnedFd,
    family: Family,
    timeouts: Timeouts,
}

impl Udp {
    pub(super) fn open(family: Family) -> Result<Self, Errno> {
        let fd = open_host(family, rustix::net::SocketType::DGRAM)?;
        Ok(Self { fd, family, timeouts: Timeouts::default() })
    }

    /// The address that the socket has.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn local_address(&self) -> Result<std::net::SocketAddr, Errno> {
        super::address::from_host(rustix::net::getsockname(&self.fd)?)
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn host_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }
}
