//! Groups of multicast: a datagram socket that joined one takes what is sent to the
//! group's address and the socket's port.
//!
//! To take what is sent to an address is to the policy what having it is: a join is
//! granted as a bind to the group's address would be, with the port that the socket has,
//! and a bind later asks again for each group that was joined before. A host's socket
//! takes what is sent to the groups that it joined itself, not to those of others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;

use rustix::net::sockopt;

use super::{Datagram, Family, Refusal, Socket};
use crate::error::Errno;
use crate::policy::{Denial, Policy, Use};

/// A group, and the interface where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// The group, and an address of the interface; the kernel chooses for 0.0.0.0.
    V4(Ipv4Addr, Ipv4Addr),
    /// The group, and the index of the interface; the kernel chooses for 0.
    V6(Ipv6Addr, u32),
}

impl Membership {
    fn group(self) -> IpAddr {
        match self {
            Self::V4(group, _) => group.into(),
            Self::V6(group, _) => group.into(),
        }
    }

    /// Can a socket of this family be in it? One of IPv6 may speak IPv4 as well.
    fn suits(self, family: Family) -> bool {
        match self {
            Self::V4(..) => family != Family::Unix,
            Self::V6(..) => family == Family::Inet6,
        }
    }
}

impl Socket {
    /// Joins a group.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` for a socket that carries no datagrams, or can't speak to such a group;
    /// `EINVAL` for an address that is none of a group; a denial of the policy;
    /// `EADDRINUSE` where it is in that group already; `ENODEV` where there is no such
    /// interface; `ENOBUFS` where it is in too many.
    pub fn join(&self, membership: Membership, policy: &Policy) -> Result<(), Refusal> {
        self.with_groups(membership)?.join(membership, policy)
    }

    /// Leaves a group.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join), and `EADDRNOTAVAIL` where it is not in that group
    /// there.
    pub fn leave(&self, membership: Membership) -> Result<(), Errno> {
        self.with_groups(membership)?.leave(membership)
    }

    /// The socket, where it can be in such a group.
    fn with_groups(&self, membership: Membership) -> Result<&Datagram, Errno> {
        match self {
            Self::Datagram(datagram) if membership.suits(self.family()) => {
                // "EINVAL: The specified option is invalid at the specified socket level"
                // - setsockopt(3p); no kernel takes another address for a group's.
                if membership.group().is_multicast() { Ok(datagram) } else { Err(Errno::EINVAL) }
            }
            // IPV6_JOIN_GROUP is an option, and "ENOPROTOOPT: The option is not supported by
            // the protocol." - setsockopt(3p). Linux says EPROTO of TCP.
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}

/// How many groups a socket may be in: what the host keeps of them is part of what a socket
/// is charged for. Linux has 20 for IPv4 by default.
const MOST_GROUPS: usize = 64;

/// The groups that a socket is in, one entry for each interface.
#[derive(Debug, Default)]
pub(super) struct Groups(Vec<IpAddr>);

impl Groups {
    pub(super) fn join(
        &mut self,
        fd: BorrowedFd<'_>,
        membership: Membership,
        port: u16,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        let group = membership.group();
        if self.0.len() >= MOST_GROUPS {
            // "ENOBUFS: Insufficient resources are available in the system" - setsockopt(3p)
            return Err(Errno::ENOBUFS.into());
        }
        policy.check(Use::UdpBind(SocketAddr::new(group, port)))?;
        match membership {
            Membership::V4(group, interface) => sockopt::set_ip_add_membership(fd, &group, &interface)?,
            Membership::V6(group, interface) => sockopt::set_ipv6_add_membership(fd, &group, interface)?,
        }
        self.0.push(group);
        Ok(())
    }

    pub(super) fn leave(&mut self, fd: BorrowedFd<'_>, membership: Membership) -> Result<(), Errno> {
        match membership {
            Membership::V4(group, interface) => sockopt::set_ip_drop_membership(fd, &group, &interface)?,
            Membership::V6(group, interface) => sockopt::set_ipv6_drop_membership(fd, &group, interface)?,
        }
        let group = membership.group();
        if let Some(at) = self.0.iter().position(|joined| *joined == group) {
            self.0.swap_remove(at);
        }
        Ok(())
    }

    /// May a socket that is in these groups have this port?
    ///
    /// # Errors
    ///
    /// The denial of the first that is not granted.
    pub(super) fn check(&self, port: u16, policy: &Policy) -> Result<(), Denial> {
        self.0.iter().try_for_each(|group| policy.check(Use::UdpBind(SocketAddr::new(*group, port))))
    }
}
