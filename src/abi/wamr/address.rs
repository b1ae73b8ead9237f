//! Socket addresses as WAMR lays them out: the kind, the address, then the port.
//!
//! IPv4 addresses are 4 bytes as they are written, IPv6 addresses eight numbers in the order of the guest,
//! and so is the port. There is neither flow nor scope.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use crate::abi::memory::check_out_value;
use crate::address::Address;
use crate::error::{Errno, Error};

const INET4: u32 = 0;
const INET6: u32 = 1;

/// Reads the address at `at`.
///
/// # Errors
///
/// `EAFNOSUPPORT` for an unknown kind; a trap outside of the memory.
pub(super) fn read(memory: &GuestMemory<'_>, at: GuestPtr<types::Addr>) -> Result<Address, Error> {
    Ok(decode(&memory.read(at)?)?.into())
}

/// Reads the IP address at `at`.
///
/// # Errors
///
/// As for [`read`].
pub(super) fn read_ip(memory: &GuestMemory<'_>, at: GuestPtr<types::AddrIp>) -> Result<IpAddr, Error> {
    let types::AddrIp { kind, w0, w1, w2, w3 } = memory.read(at)?;
    Ok(ip(kind, [w0, w1, w2, w3])?)
}

/// Writes an address.
///
/// # Errors
///
/// `ENOTSUP` for a path, which has no such form; a trap outside of the memory.
pub(super) fn write(
    memory: &mut GuestMemory<'_>,
    at: GuestPtr<types::Addr>,
    address: &Address,
) -> Result<(), Error> {
    // "EOPNOTSUPP: The operation is not supported for this socket's protocol." - getsockname(3p)
    let address = address.inet().ok_or(Errno::ENOTSUP)?;
    Ok(memory.write(at, encode(address))?)
}

/// Writes the address of a sender: one that has no such form, or is not known, as 0.0.0.0 without a port.
/// Guest libraries read what they have not filled.
///
/// # Errors
///
/// A trap outside of the memory.
pub(super) fn write_sender(
    memory: &mut GuestMemory<'_>,
    at: GuestPtr<types::Addr>,
    sender: Option<&Address>,
) -> Result<(), Error> {
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let sender = sender.and_then(Address::inet).unwrap_or(unknown);
    Ok(memory.write(at, encode(sender))?)
}

/// Checks, before an effect, that an address can be written at `at`; `None` for a place that the guest does
/// not name.
///
/// # Errors
///
/// A trap outside of the memory.
pub(super) fn place(
    memory: &GuestMemory<'_>,
    at: GuestPtr<types::Addr>,
) -> Result<Option<GuestPtr<types::Addr>>, Error> {
    if at.offset() == 0 {
        return Ok(None);
    }
    check_out_value(memory, at)?;
    Ok(Some(at))
}

/// The layout of an address.
pub(super) fn encode(address: SocketAddr) -> types::Addr {
    let port = u32::from(address.port());
    match address {
        SocketAddr::V4(four) => {
            let w0 = u32::from_le_bytes(four.ip().octets());
            types::Addr { kind: INET4, w0, w1: port, w2: 0, w3: 0, w4: 0 }
        }
        SocketAddr::V6(six) => {
            let [w0, w1, w2, w3] = words(*six.ip());
            types::Addr { kind: INET6, w0, w1, w2, w3, w4: port }
        }
    }
}

fn decode(address: &types::Addr) -> Result<SocketAddr, Errno> {
    let types::Addr { kind, w0, w1, w2, w3, w4 } = *address;
    let ip = ip(kind, [w0, w1, w2, w3])?;
    let [low, high, ..] = if ip.is_ipv4() { w1 } else { w4 }.to_le_bytes();
    Ok(SocketAddr::new(ip, u16::from_le_bytes([low, high])))
}

/// # Errors
///
/// "EAFNOSUPPORT: The specified address is not a valid address for the address family of the
/// specified socket." - bind(3p), connect(3p)
fn ip(kind: u32, words: [u32; 4]) -> Result<IpAddr, Errno> {
    let [first, ..] = words;
    match kind {
        INET4 => Ok(Ipv4Addr::from(first.to_le_bytes()).into()),
        INET6 => Ok(inet6(words).into()),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Two of the eight numbers are in each word, the first one in its low half.
fn words(address: Ipv6Addr) -> [u32; 4] {
    let [n0, n1, n2, n3, h0, h1, h2, h3] = address.segments().map(u32::from);
    [n0 | n1 << 16, n2 | n3 << 16, h0 | h1 << 16, h2 | h3 << 16]
}

fn inet6(words: [u32; 4]) -> Ipv6Addr {
    let [w0, w1, w2, w3] = words.map(|word| u128::from(word.rotate_left(16)));
    Ipv6Addr::from(w0 << 96 | w1 << 64 | w2 << 32 | w3)
}

/// The address at `at` as the trace prints it.
pub(crate) fn shown(memory: &GuestMemory<'_>, at: u32) -> Option<String> {
    Some(read(memory, GuestPtr::new(at)).ok()?.to_string())
}

/// The same of an IP address.
pub(crate) fn shown_ip(memory: &GuestMemory<'_>, at: u32) -> Option<String> {
    Some(read_ip(memory, GuestPtr::new(at)).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test may fail")]

    use super::*;
    use crate::address::UnixName;

    const SIX: SocketAddr =
        SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 1, 0x3ba2, 0x893b, 0x4be0, 0xe3dd)), 8080);

    /// The bytes that the host writes, behind four that are not its own.
    fn written(address: SocketAddr) -> Vec<u8> {
        let mut page = vec![9; 32];
        let mut memory = GuestMemory::Unshared(&mut page);
        assert_eq!(write(&mut memory, GuestPtr::new(4), &address.into()), Ok(()));
        assert_eq!(read(&memory, GuestPtr::new(4)), Ok(address.into()));
        assert_eq!(shown(&memory, 4), Some(address.to_string()));
        assert_eq!((&page[..4], &page[28..]), ([9; 4].as_slice(), [9; 4].as_slice()));
        page[4..28].to_vec()
    }

    #[test]
    fn ports_come_last_and_ipv6_is_eight_numbers() {
        let four = written(([127, 0, 0, 1], 0x1f90).into());
        assert_eq!(four[..10], [0, 0, 0, 0, 127, 0, 0, 1, 0x90, 0x1f]);
        let six = written(SIX);
        assert_eq!(six[..4], [1, 0, 0, 0]);
        let numbers: Vec<u16> =
            six[4..].chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
        assert_eq!(numbers, [0xfe80, 0, 0, 1, 0x3ba2, 0x893b, 0x4be0, 0xe3dd, 8080, 0]);
        let loopback = written((Ipv6Addr::LOCALHOST, 1).into());
        assert_eq!(loopback[18..22], [1, 0, 1, 0]);
    }

    #[test]
    fn what_is_none_is_refused() {
        let mut page = vec![0; 64];
        page[0] = 2;
        // The kind has four bytes.
        page[31] = 1;
        let mut memory = GuestMemory::Unshared(&mut page);
        let refused = Err(Error::from(Errno::EAFNOSUPPORT));
        assert_eq!(read(&memory, GuestPtr::new(0)), refused);
        assert_eq!(read(&memory, GuestPtr::new(28)), refused);
        assert_eq!(shown(&memory, 0), None);
        let path = UnixName::new("/run/a").into();
        assert_eq!(write(&mut memory, GuestPtr::new(0), &path), Err(Errno::ENOTSUP.into()));
        // Outside of the memory, or not aligned: a trap.
        for at in [44, 2, u32::MAX - 3] {
            assert!(matches!(read(&memory, GuestPtr::new(at)), Err(Error::Trap(_))), "{at}");
            assert!(matches!(place(&memory, GuestPtr::new(at)), Err(Error::Trap(_))), "{at}");
        }
        assert_eq!(place(&memory, GuestPtr::new(0)).map(|place| place.is_none()), Ok(true));
    }

    #[test]
    fn an_unknown_sender_is_no_address() {
        let mut page = vec![9; 24];
        let mut memory = GuestMemory::Unshared(&mut page);
        let path = Address::from(UnixName::new("/run/a"));
        for sender in [None, Some(&path)] {
            assert_eq!(write_sender(&mut memory, GuestPtr::new(0), sender), Ok(()));
            assert_eq!(shown(&memory, 0).as_deref(), Some("0.0.0.0:0"));
        }
    }

    #[test]
    fn groups_have_no_port() {
        let mut page = vec![0; 20];
        page[4..8].copy_from_slice(&[224, 0, 0, 251]);
        let memory = GuestMemory::Unshared(&mut page);
        assert_eq!(shown_ip(&memory, 0).as_deref(), Some("224.0.0.251"));
        assert_eq!(shown(&memory, 0), None);
    }
}
