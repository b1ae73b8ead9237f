//! Socket addresses as WASIX lays them out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The bytes of an `addr_port` that every generation of the ABI has.
///
/// Later ones have room for 110, programs of 2023 for these 20 and no more.
pub(crate) const SIZE: usize = 20;

/// Reads an `addr_port`: tag at 0, port in little-endian at 2, address in network
/// order at 4. `None` for an address that is neither IPv4 (tag 1) nor IPv6 (tag 2).
pub(crate) fn decode(bytes: &[u8; SIZE]) -> Option<SocketAddr> {
    let [tag, _, port_low, port_high, address @ ..] = *bytes;
    let port = u16::from_le_bytes([port_low, port_high]);
    match tag {
        1 => {
            let [a, b, c, d, ..] = address;
            Some((Ipv4Addr::new(a, b, c, d), port).into())
        }
        2 => Some((Ipv6Addr::from(address), port).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(start: &[u8]) -> [u8; SIZE] {
        std::array::from_fn(|at| start.get(at).copied().unwrap_or(0))
    }

    #[test]
    fn reads_both_families() {
        let inet4 = filled(&[1, 9, 0x90, 0x1f, 127, 0, 0, 1]);
        assert_eq!(decode(&inet4), Some(([127, 0, 0, 1], 8080).into()));
        let mut inet6 = filled(&[2, 0, 80, 0]);
        inet6[19] = 1;
        assert_eq!(decode(&inet6).map(|a| a.to_string()), Some("[::1]:80".to_owned()));
    }

    #[test]
    fn refuses_other_families() {
        for tag in [0, 3, 4, 255] {
            assert_eq!(decode(&filled(&[tag])), None);
        }
    }
}
