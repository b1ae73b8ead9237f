//! Families, and addresses as the kernel and the policy see them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustix::net::SocketAddrAny;

use super::sockaddr;
use super::unix::{self, Paths};
use crate::address::{Address, UnixName};
use crate::error::Errno;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Inet4,
    /// IPv6.
    Inet6,
    /// Names in the file system.
    Unix,
}

impl Family {
    pub(super) fn to_host(self) -> rustix::net::AddressFamily {
        match self {
            Self::Inet4 => rustix::net::AddressFamily::INET,
            Self::Inet6 => rustix::net::AddressFamily::INET6,
            Self::Unix => rustix::net::AddressFamily::UNIX,
        }
    }
}

/// A family, with what its addresses need to mean something.
#[derive(Clone)]
pub enum Domain {
    /// IPv4.
    Inet4,
    /// IPv6.
    Inet6,
    /// Names in the guest's directories. One pointer, for every connection has a domain.
    Unix(Arc<Box<dyn Paths>>),
}

impl Domain {
    /// The family.
    pub fn family(&self) -> Family {
        match self {
            Self::Inet4 => Family::Inet4,
            Self::Inet6 => Family::Inet6,
            Self::Unix(_) => Family::Unix,
        }
    }

    /// The address of a socket that has none: the wildcard with port 0, or no name.
    pub(super) fn wildcard(&self) -> Address {
        match self {
            Self::Inet4 => Address::Inet((Ipv4Addr::UNSPECIFIED, 0).into()),
            Self::Inet6 => Address::Inet((Ipv6Addr::UNSPECIFIED, 0).into()),
            Self::Unix(_) => Address::Unix(UnixName::unnamed()),
        }
    }

    /// # Errors
    ///
    /// `EAFNOSUPPORT` where `address` is of another family.
    pub(super) fn check(&self, address: &Address) -> Result<(), Errno> {
        let belongs = match address {
            Address::Inet(SocketAddr::V4(_)) => matches!(self, Self::Inet4),
            Address::Inet(SocketAddr::V6(_)) => matches!(self, Self::Inet6),
            Address::Unix(_) => matches!(self, Self::Unix(_)),
        };
        // "EAFNOSUPPORT: The specified address is not a valid address for the address
        // family of the specified socket." - bind(3p), connect(3p)
        if belongs { Ok(()) } else { Err(Errno::EAFNOSUPPORT) }
    }

    /// An address as the kernel gave it.
    pub(super) fn read(&self, address: SocketAddrAny) -> Result<Address, Errno> {
        match self {
            Self::Unix(paths) => unix::from_host(&address, paths.as_ref().as_ref()),
            _ => sockaddr::inet(address).map(Address::Inet),
        }
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.family().fmt(f)
    }
}

/// The address that a connect to `address` really reaches: the kernel takes the
/// wildcard for the loopback address, and so must the policy.
pub(super) fn destination(address: SocketAddr) -> SocketAddr {
    if !address.ip().to_canonical().is_unspecified() {
        return address;
    }
    let loopback: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(six) if six.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
    };
    SocketAddr::new(loopback, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wildcard_is_reached_as_loopback() -> Result<(), std::net::AddrParseError> {
        for (asked, reached) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("[::ffff:0.0.0.0]:1", "[::ffff:127.0.0.1]:1"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(destination(asked.parse()?), reached.parse()?);
        }
        Ok(())
    }
}
