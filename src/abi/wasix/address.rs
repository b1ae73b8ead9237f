//! Socket addresses as WASIX lays them out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wiggle::{GuestMemory, GuestPtr};

use crate::abi::memory::{check_out, write_bytes};
use crate::error::{Errno, Error};

/// The bytes of an `addr_port` that every generation of the ABI has.
///
/// Later ones have room for 110, programs of 2023 for these 20 and no more.
pub(crate) const SIZE: usize = 20;

const SIZE_IN_MEMORY: u32 = 20;

/// The size of an `addr_ip`.
pub(crate) const IP_SIZE: usize = 18;

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

/// The address that a call was given.
///
/// # Errors
///
/// `EAFNOSUPPORT` for a family without ports; a trap outside of the memory.
pub(crate) fn read(memory: &GuestMemory<'_>, at: GuestPtr<u8>) -> Result<SocketAddr, Error> {
    let mut bytes = [0; SIZE];
    let given = memory.to_vec(at.as_array(SIZE_IN_MEMORY))?;
    for (to, from) in bytes.iter_mut().zip(given) {
        *to = from;
    }
    // "EAFNOSUPPORT: The specified address is not a valid address for the address
    // family of the specified socket." - bind(3p), connect(3p)
    decode(&bytes).ok_or_else(|| Errno::EAFNOSUPPORT.into())
}

/// Checks, before an effect, that an address can be written there afterwards.
///
/// # Errors
///
/// A trap outside of the memory.
pub(crate) fn check(memory: &GuestMemory<'_>, at: GuestPtr<u8>) -> Result<(), Error> {
    check_out(memory, at.offset(), SIZE_IN_MEMORY)
}

/// Writes an address: 8 bytes for IPv4, and 20 for IPv6, which is what every
/// generation has room for. A program that is known to be `wide` gets the flow and
/// the scope of an IPv6 address too, which its C library reads.
///
/// # Errors
///
/// A trap outside of the memory.
pub(crate) fn write(
    memory: &mut GuestMemory<'_>,
    at: GuestPtr<u8>,
    address: SocketAddr,
    wide: bool,
) -> Result<(), Error> {
    let mut bytes = Vec::with_capacity(28);
    bytes.extend_from_slice(&[if address.is_ipv4() { 1 } else { 2 }, 0]);
    bytes.extend_from_slice(&address.port().to_le_bytes());
    match address {
        SocketAddr::V4(four) => bytes.extend_from_slice(&four.ip().octets()),
        SocketAddr::V6(six) => {
            bytes.extend_from_slice(&six.ip().octets());
            if wide {
                push_halves(&mut bytes, six.flowinfo());
                push_halves(&mut bytes, six.scope_id());
            }
        }
    }
    write_bytes(memory, at, &bytes)
}

/// The high half first, each in little-endian.
fn push_halves(bytes: &mut Vec<u8>, value: u32) {
    let [b0, b1, b2, b3] = value.to_le_bytes();
    bytes.extend_from_slice(&[b2, b3, b0, b1]);
}

/// An entry of `resolve`'s answer, `addr_ip`: the family at 0, the address at 2.
pub(crate) fn encode_ip(address: IpAddr) -> [u8; IP_SIZE] {
    let mut bytes = [0; IP_SIZE];
    let (tag, octets) = match address {
        IpAddr::V4(four) => (1, four.octets().to_vec()),
        IpAddr::V6(six) => (2, six.octets().to_vec()),
    };
    for (to, from) in bytes.iter_mut().zip([tag, 0].into_iter().chain(octets)) {
        *to = from;
    }
    bytes
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
