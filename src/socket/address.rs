//! Families, and addresses as the kernel and the policy see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::SocketAddrAny;

use crate::error::Errno;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Inet4,
    /// IPv6.
    Inet6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Self::Inet4 } else { Self::Inet6 }
    }

    /// The address of a socket that has none: the wildcard with port 0.
    pub(super) fn wildcard(self) -> SocketAddr {
        match self {
            Self::Inet4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Self::Inet6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        }
    }

    /// # Errors
    ///
    /// `EAFNOSUPPORT` where `address` is of another family.
    pub(super) fn check(self, address: &SocketAddr) -> Result<(), Errno> {
        // "EAFNOSUPPORT: The specified address is not a valid address for the address
        // family of the specified socket." - bind(3p), connect(3p)
        if Self::of(address) == self { Ok(()) } else { Err(Errno::EAFNOSUPPORT) }
    }

    pub(super) fn to_host(self) -> rustix::net::AddressFamily {
        match self {
            Self::Inet4 => rustix::net::AddressFamily::INET,
            Self::Inet6 => rustix::net::AddressFamily::INET6,
        }
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

/// An address as the kernel gave it.
pub(super) fn from_host(address: SocketAddrAny) -> Result<SocketAddr, Errno> {
    SocketAddr::try_from(address).map_err(|_| Errno::EAFNOSUPPORT)
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
