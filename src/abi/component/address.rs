//! Which addresses WASI takes for a socket, and what it calls them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::failure::Failure;
use crate::socket::Family;

/// Checks an address that a socket of `family` is to have.
///
/// # Errors
///
/// [`Failure::Argument`]: "The `local-address` has the wrong address family", "is not a unicast address",
/// "is an IPv4-mapped IPv6 address" - wasi:sockets/tcp, start-bind.
pub(super) fn check_local(address: SocketAddr, family: Family) -> Result<(), Failure> {
    if is_of(address.ip(), family) && is_unicast(address.ip()) { Ok(()) } else { Err(Failure::Argument) }
}

/// Checks an address to which a socket of `family` is to connect.
///
/// # Errors
///
/// [`Failure::Argument`], as for [`check_local`], and: "The IP address in `remote-address` is set to INADDR_ANY",
/// "The port in `remote-address` is set to 0" - wasi:sockets/tcp, start-connect.
pub(super) fn check_peer(address: SocketAddr, family: Family) -> Result<(), Failure> {
    check_local(address, family)?;
    check_destination(address, family)
}

/// Checks an address to which a datagram of a socket of `family` is to go: a group too.
///
/// # Errors
///
/// [`Failure::Argument`].
pub(super) fn check_destination(address: SocketAddr, family: Family) -> Result<(), Failure> {
    let is_somewhere = !address.ip().is_unspecified() && address.port() != 0;
    if is_of(address.ip(), family) && is_somewhere { Ok(()) } else { Err(Failure::Argument) }
}

/// Does an address belong to `family`? One of IPv6 that stands for one of IPv4 does not.
pub(super) fn is_of(ip: IpAddr, family: Family) -> bool {
    match (ip, family) {
        (IpAddr::V4(_), Family::Inet4) => true,
        (IpAddr::V6(ip), Family::Inet6) => !is_ipv4(ip),
        _ => false,
    }
}

/// Is it mapped, or compatible in the way that RFC 4291 deprecates?
fn is_ipv4(ip: Ipv6Addr) -> bool {
    let is_compatible = matches!(ip.segments(), [0, 0, 0, 0, 0, 0, _, _])
        && !ip.is_unspecified()
        && ip != Ipv6Addr::LOCALHOST;
    is_compatible || ip.to_ipv4_mapped().is_some()
}

fn is_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    }
}

/// Conversions of the addresses that a version of WASI has, in the module `$types` of its bindings.
macro_rules! addresses {
    ($($types:ident)::+) => {
        impl From<$($types)::+::IpSocketAddress> for std::net::SocketAddr {
            fn from(address: $($types)::+::IpSocketAddress) -> Self {
                use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
                match address {
                    $($types)::+::IpSocketAddress::Ipv4(it) => {
                        let (a, b, c, d) = it.address;
                        SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), it.port).into()
                    }
                    $($types)::+::IpSocketAddress::Ipv6(it) => {
                        let (a, b, c, d, e, f, g, h) = it.address;
                        let ip = Ipv6Addr::new(a, b, c, d, e, f, g, h);
                        SocketAddrV6::new(ip, it.port, it.flow_info, it.scope_id).into()
                    }
                }
            }
        }

        impl From<std::net::SocketAddr> for $($types)::+::IpSocketAddress {
            fn from(address: std::net::SocketAddr) -> Self {
                match address {
                    std::net::SocketAddr::V4(it) => {
                        let [a, b, c, d] = it.ip().octets();
                        Self::Ipv4($($types)::+::Ipv4SocketAddress {
                            port: it.port(),
                            address: (a, b, c, d),
                        })
                    }
                    std::net::SocketAddr::V6(it) => {
                        let [a, b, c, d, e, f, g, h] = it.ip().segments();
                        Self::Ipv6($($types)::+::Ipv6SocketAddress {
                            port: it.port(),
                            flow_info: it.flowinfo(),
                            address: (a, b, c, d, e, f, g, h),
                            scope_id: it.scope_id(),
                        })
                    }
                }
            }
        }

        impl From<std::net::IpAddr> for $($types)::+::IpAddress {
            /// "This function never returns IPv4-mapped IPv6 addresses." - wasi:sockets/ip-name-lookup
            fn from(ip: std::net::IpAddr) -> Self {
                match ip.to_canonical() {
                    std::net::IpAddr::V4(ip) => {
                        let [a, b, c, d] = ip.octets();
                        Self::Ipv4((a, b, c, d))
                    }
                    std::net::IpAddr::V6(ip) => {
                        let [a, b, c, d, e, f, g, h] = ip.segments();
                        Self::Ipv6((a, b, c, d, e, f, g, h))
                    }
                }
            }
        }

        impl $($types)::+::IpAddressFamily {
            /// WIT's name.
            pub(super) fn name(self) -> &'static str {
                match self {
                    Self::Ipv4 => "ipv4",
                    Self::Ipv6 => "ipv6",
                }
            }
        }

        impl From<crate::socket::Family> for $($types)::+::IpAddressFamily {
            fn from(family: crate::socket::Family) -> Self {
                match family {
                    crate::socket::Family::Inet6 => Self::Ipv6,
                    // A component has no others.
                    crate::socket::Family::Inet4 | crate::socket::Family::Unix => Self::Ipv4,
                }
            }
        }

        impl From<$($types)::+::IpAddressFamily> for crate::socket::Family {
            fn from(family: $($types)::+::IpAddressFamily) -> Self {
                match family {
                    $($types)::+::IpAddressFamily::Ipv4 => Self::Inet4,
                    $($types)::+::IpAddressFamily::Ipv6 => Self::Inet6,
                }
            }
        }
    };
}
pub(super) use addresses;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_ipv4_is_no_address_of_ipv6() -> Result<(), std::net::AddrParseError> {
        for (ip, family, is_one) in [
            ("127.0.0.1", Family::Inet4, true),
            ("127.0.0.1", Family::Inet6, false),
            ("::", Family::Inet6, true),
            ("::1", Family::Inet6, true),
            ("::1", Family::Inet4, false),
            ("::2", Family::Inet6, false),
            ("::127.0.0.1", Family::Inet6, false),
            ("::ffff:127.0.0.1", Family::Inet6, false),
            ("2001:db8::1", Family::Inet6, true),
        ] {
            assert_eq!(is_of(ip.parse()?, family), is_one, "{ip}");
        }
        Ok(())
    }

    #[test]
    fn a_peer_is_one_host_at_a_port() -> Result<(), std::net::AddrParseError> {
        for (address, is_peer, takes_datagrams) in [
            ("192.0.2.1:7", true, true),
            ("192.0.2.1:0", false, false),
            ("0.0.0.0:7", false, false),
            ("224.0.0.1:7", false, true),
            ("255.255.255.255:7", false, true),
        ] {
            let address = address.parse()?;
            assert_eq!(check_peer(address, Family::Inet4).is_ok(), is_peer, "{address}");
            assert_eq!(check_destination(address, Family::Inet4).is_ok(), takes_datagrams, "{address}");
        }
        Ok(())
    }
}
