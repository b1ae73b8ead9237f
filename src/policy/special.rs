//! Which addresses are public: those that a name may lead to without a rule that says more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Networks of IPv4 that are not public: the registry of special-purpose addresses
/// (RFC 6890), and what clouds have for the machines of their customers.
const NOT_PUBLIC: [Ipv4Net; 17] = [
    // "This network"; its first address reaches the machine itself.
    four(0, 0, 0, 0, 8),
    four(10, 0, 0, 0, 8),
    // Carrier-grade NAT; 100.100.100.200 has the metadata of a cloud.
    four(100, 64, 0, 0, 10),
    four(127, 0, 0, 0, 8),
    // Link-local; 169.254.169.254 has the metadata of most clouds.
    four(169, 254, 0, 0, 16),
    four(172, 16, 0, 0, 12),
    // 192.0.0.192 has the metadata of a cloud.
    four(192, 0, 0, 0, 24),
    four(192, 0, 2, 0, 24),
    four(192, 88, 99, 0, 24),
    four(192, 168, 0, 0, 16),
    four(198, 18, 0, 0, 15),
    four(198, 51, 100, 0, 24),
    four(203, 0, 113, 0, 24),
    // Multicast.
    four(224, 0, 0, 0, 4),
    four(240, 0, 0, 0, 4),
    // Public by its number: the agent of a cloud, which each of its machines reaches there.
    four(168, 63, 129, 16, 32),
    four(255, 255, 255, 255, 32),
];

/// Global unicast: what is outside is the machine's own, local to a link or a site, multicast, or
/// is not assigned.
const GLOBAL: Ipv6Net = six(0x2000, 0, 3);

/// What is none of it all the same: protocols (Teredo among them), and documentation.
const NOT_GLOBAL: [Ipv6Net; 3] = [six(0x2001, 0, 23), six(0x2001, 0xdb8, 32), six(0x3fff, 0, 20)];

/// "NAT64 Well-Known Prefix": the address of IPv4 is at the end. RFC 6052
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

const fn four(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn six(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// Is this the address of a machine on the public Internet? One of IPv6 that holds one of IPv4 and
/// leads there (mapped, NAT64, 6to4, ISATAP) is what that one is.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(four) => !NOT_PUBLIC.iter().any(|network| network.contains(&four)),
        IpAddr::V6(six) => is_global(six) && inner(six).is_none_or(|four| is_public(four.into())),
    }
}

fn is_global(six: Ipv6Addr) -> bool {
    NAT64.contains(&six) || GLOBAL.contains(&six) && !NOT_GLOBAL.iter().any(|network| network.contains(&six))
}

/// The address of IPv4 to which a translator or a tunnel takes what is sent to `six`.
fn inner(six: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match six.segments() {
        [.., high, low] if NAT64.contains(&six) => Some(of(high, low)),
        // 6to4, RFC 3056
        [0x2002, high, low, ..] => Some(of(high, low)),
        // ISATAP, RFC 5214
        [.., 0 | 0x200, 0x5efe, high, low] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_machine_or_its_site_is_not_public() -> Result<(), std::net::AddrParseError> {
        for address in [
            "0.0.0.0",
            "0.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2600::5efe:10.0.0.1",
            "2600::200:5efe:127.0.0.1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!is_public(address.parse()?), "{address}");
        }
        Ok(())
    }

    #[test]
    fn an_address_of_the_internet_is_public() -> Result<(), std::net::AddrParseError> {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2600::5efe:8.8.8.8",
            "2001:4860:4860::8888",
            "2606:4700::1111",
        ] {
            assert!(is_public(address.parse()?), "{address}");
        }
        Ok(())
    }
}
