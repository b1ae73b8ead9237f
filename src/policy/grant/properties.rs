//! Grants and patterns against models that compare bit by bit and label by label.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;

use super::{Grant, NamePattern};
use crate::address::{Address, UnixName};

/// An address, as its family and bits.
fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
        (0..4_u32).prop_map(|low| Ipv4Addr::from(0x7f00_0000 + low).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
        (0..4_u128).prop_map(|low| Ipv6Addr::from(low).into()),
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).to_ipv6_mapped().into()),
    ]
}

/// The bits of an address, an IPv4 one as the mapped IPv6 address.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(four) => four.to_ipv6_mapped().into(),
        IpAddr::V6(six) => six.into(),
    }
}

/// Is `ip` in the network of the first `prefix` bits of `network`? A prefix of an IPv4
/// address is counted from bit 96 of the mapped one; networks shorter than that take in no
/// IPv4 address.
fn is_in(network: IpAddr, prefix: u32, ip: IpAddr) -> bool {
    let is_four = |ip: IpAddr| bits(ip) >> 32 == 0xffff;
    let prefix = if network.is_ipv4() { prefix + 96 } else { prefix };
    if prefix < 96 && is_four(ip) {
        return false;
    }
    (0..prefix).all(|bit| (bits(network) ^ bits(ip)) >> (127 - bit) & 1 == 0)
}

/// An address that differs from `ip` in few bits.
fn near(ip: IpAddr, flips: &[u32]) -> IpAddr {
    match ip {
        IpAddr::V4(four) => {
            let flipped = flips.iter().fold(u32::from(four), |bits, flip| bits ^ 1 << (flip % 32));
            Ipv4Addr::from(flipped).into()
        }
        IpAddr::V6(six) => {
            let flipped = flips.iter().fold(u128::from(six), |bits, flip| bits ^ 1 << (flip % 128));
            Ipv6Addr::from(flipped).into()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_network_covers_the_addresses_with_its_first_bits(
        network in ip(),
        length in 0..=128_u32,
        is_prefix_inside in any::<bool>(),
        (first, last) in any::<(u16, u16)>(),
        flips in prop::collection::vec(any::<u32>(), 0..3),
        other in prop::option::weighted(0.2, ip()),
        port in any::<u16>(),
    ) {
        let length = if network.is_ipv4() { length % 33 } else { length };
        let (first, last) = (first.min(last), first.max(last));
        let host = match network {
            IpAddr::V4(four) => format!("{four}/{length}"),
            IpAddr::V6(six) if is_prefix_inside => format!("[{six}/{length}]"),
            IpAddr::V6(six) => format!("[{six}]/{length}"),
        };
        let grant: Grant = format!("{host}:{first}-{last}").parse()?;
        let asked = other.unwrap_or_else(|| near(network, &flips));
        for port in [port, first, last, first.wrapping_sub(1), last.wrapping_add(1)] {
            let covers = grant.covers(&Address::Inet(SocketAddr::new(asked, port)));
            let expected = is_in(network, length, asked) && (first..=last).contains(&port);
            prop_assert_eq!(covers, expected, "{} {}-{} {}:{}", host, first, last, asked, port);
        }
    }

    #[test]
    fn what_an_address_prints_grants_it_and_no_other(ip in ip(), port in any::<u16>(), flip in any::<u32>()) {
        let address = Address::Inet(SocketAddr::new(ip, port));
        let other = Address::Inet(SocketAddr::new(near(ip, &[flip]), port));
        for grant in [address.to_string().parse::<Grant>()?, Grant::from(&address)] {
            prop_assert!(grant.covers(&address), "{}", address);
            prop_assert!(!grant.covers(&other), "{} {}", address, other);
        }
    }

    #[test]
    fn any_text_is_a_grant_or_refused_in_one_line(text in "[0-9a-f.:/\\[\\]*, unix-]{0,24}|.{0,24}") {
        if let Err(error) = text.parse::<Grant>() {
            prop_assert!(!error.to_string().is_empty());
        }
        _ = text.parse::<NamePattern>();
    }

    #[test]
    fn a_path_pattern_is_compared_name_by_name(
        pattern in prop::collection::vec("[ab.*]|\\.\\.|", 0..4),
        is_absolute in any::<bool>(),
        path in prop::collection::vec("[ab]{1,2}|\\*", 1..4),
    ) {
        let text = format!("{}{}", if is_absolute { "/" } else { "" }, pattern.join("/"));
        let Ok(grant) = format!("unix:{text}").parse::<Grant>() else { return Ok(()) };
        let covers = grant.covers(&Address::Unix(UnixName::new(format!("/{}", path.join("/")))));
        let names: Vec<&str> =
            pattern.iter().map(String::as_str).filter(|name| !matches!(*name, "" | ".")).collect();
        let is_same = |(name, at): (&&str, usize)| {
            path.get(at) == Some(&(*name).to_owned()) || (*name == "*" && at + 1 == names.len())
        };
        let expected = text == "*"
            || names.len() == path.len() && names.iter().zip(0..).all(is_same);
        prop_assert_eq!(covers, expected, "{} {:?}", text, path);
    }

    #[test]
    fn names_are_compared_label_by_label(
        labels in prop::collection::vec("[a-c]{1,2}", 1..4),
        name in prop::collection::vec("[a-cA-C]{1,2}", 1..5),
        is_arbitrary in any::<bool>(),
        dot in any::<bool>(),
    ) {
        let text = format!("{}{}", if is_arbitrary { "*." } else { "" }, labels.join("."));
        let pattern: NamePattern = text.parse()?;
        let asked = format!("{}{}", name.join("."), if dot { "." } else { "" });
        let lower: Vec<String> = name.iter().map(|label| label.to_lowercase()).collect();
        let expected = if is_arbitrary { lower.len() > labels.len() && lower.ends_with(&labels) } else { lower == labels };
        prop_assert_eq!(pattern.matches(&asked), expected, "{} {}", text, asked);
    }
}
