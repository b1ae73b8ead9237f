//! Socket addresses as WasmEdge lays them out: a place and a length, which tells what lies there.
//!
//! Every call takes every form. 4 bytes are an IPv4 address and 16 an IPv6 one, in network order; 128
//! begin with the number of a family, and the address or the path follows at 2. A port is never
//! among them, nor are the flow and the scope of an IPv6 address.

use std::net::{IpAddr, SocketAddr};

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use crate::abi::memory::{Region, check_out, read_buffer, write_bytes};
use crate::abi::unix_name::{self, PATH};
use crate::address::Address;
use crate::error::{Errno, Error};

const INET4_SIZE: u32 = 4;
const INET6_SIZE: u32 = 16;
/// The size of an address of any family.
const STORAGE_SIZE: u32 = 128;
/// Where the address begins there, behind the family.
const BEHIND_FAMILY: u32 = 2;

const UNSPECIFIED: u16 = 0;
pub(super) const INET4: u16 = 1;
pub(super) const INET6: u16 = 2;
pub(super) const UNIX: u16 = 3;

/// An address that a call was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Address(Address),
    /// One of no family, which dissolves the peer.
    NoFamily,
    /// No bytes at all.
    Nothing,
}

impl Given {
    /// The address, where the call needs some; nothing for one of no family.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no bytes.
    pub(super) fn known(self) -> Result<Option<Address>, Errno> {
        match self {
            Self::Address(address) => Ok(Some(address)),
            Self::NoFamily => Ok(None),
            Self::Nothing => Err(Errno::EINVAL),
        }
    }
}

/// Reads the address at `at`, which the port completes.
///
/// # Errors
///
/// `EINVAL` for a length that no address has and for what is no port, `EAFNOSUPPORT` for an unknown
/// family; for a path, `ENAMETOOLONG` without a NUL in its space and `EILSEQ` for what is not
/// UTF-8; a trap outside of the memory.
pub(super) fn read(
    memory: &GuestMemory<'_>,
    at: GuestPtr<types::Address>,
    port: u32,
) -> Result<Given, Error> {
    let (start, length) = place(memory, at)?;
    let bytes = GuestPtr::<u8>::new(start);
    let (family, bytes) = match length {
        0 => return Ok(Given::Nothing),
        INET4_SIZE => (INET4, bytes),
        INET6_SIZE => (INET6, bytes),
        STORAGE_SIZE => (family(memory, start)?, bytes.add(BEHIND_FAMILY)?),
        _ => return Err(Errno::EINVAL.into()),
    };
    let ip: IpAddr = match family {
        UNSPECIFIED => return Ok(Given::NoFamily),
        INET4 => octets::<4>(memory, bytes)?.into(),
        INET6 => octets::<16>(memory, bytes)?.into(),
        UNIX => return Ok(Given::Address(unix_name::read(memory, bytes)?.into())),
        // "EAFNOSUPPORT: The specified address is not a valid address for the address
        // family of the specified socket." - bind(3p), connect(3p)
        _ => return Err(Errno::EAFNOSUPPORT.into()),
    };
    let port = u16::try_from(port).map_err(|_| Errno::EINVAL)?;
    Ok(Given::Address(SocketAddr::new(ip, port).into()))
}

/// The place for an address at `at`, which is all in the memory.
///
/// # Errors
///
/// A trap where it is not.
pub(super) fn place(memory: &GuestMemory<'_>, at: GuestPtr<types::Address>) -> Result<Region, Error> {
    let types::Address { buf, buf_len } = memory.read(at)?;
    check_out(memory, buf.offset(), buf_len)?;
    Ok((buf.offset(), buf_len))
}

/// Is a place as long as one of the forms of an address?
///
/// # Errors
///
/// `EINVAL` where it is not.
pub(super) fn check_length((_, length): Region) -> Result<(), Errno> {
    if matches!(length, INET4_SIZE | INET6_SIZE | STORAGE_SIZE) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Has a place the form that every address fits in?
///
/// # Errors
///
/// `EINVAL` where it has not.
pub(super) fn check_is_storage((_, length): Region) -> Result<(), Errno> {
    if length == STORAGE_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Writes an address, in the form that the place has: in a place of no form as in one of 4 or 16 bytes.
/// A path is truncated: "the stored address shall be truncated" - accept(3p).
///
/// # Errors
///
/// `ENOMEM` for one that does not fit, of which a part would be another address, and `ENOTSUP` for a path
/// where only a network address fits; a trap outside of the memory.
pub(super) fn write(
    memory: &mut GuestMemory<'_>,
    (start, length): Region,
    address: &Address,
) -> Result<(), Error> {
    let at = GuestPtr::<u8>::new(start);
    let (family, bytes) = encode(address);
    if length == STORAGE_SIZE {
        let with_family = [&family.to_le_bytes(), bytes.as_slice()].concat();
        return write_bytes(memory, at, &with_family);
    }
    // "EOPNOTSUPP: The operation is not supported for this socket's protocol." - getsockname(3p)
    if family == UNIX {
        return Err(Errno::ENOTSUP.into());
    }
    if u32::try_from(bytes.len()).map_or(true, |size| size > length) {
        return Err(Errno::ENOMEM.into());
    }
    write_bytes(memory, at, &bytes)?;
    // Nothing of before is left of what has the length of an IPv6 address.
    if family == INET4 && length == INET6_SIZE {
        write_bytes(memory, at.add(INET4_SIZE)?, &[0; 12])?;
    }
    Ok(())
}

/// The number of the family of an address, and its bytes.
fn encode(address: &Address) -> (u16, Vec<u8>) {
    match address {
        Address::Inet(SocketAddr::V4(four)) => (INET4, four.ip().octets().to_vec()),
        Address::Inet(SocketAddr::V6(six)) => (INET6, six.ip().octets().to_vec()),
        Address::Unix(name) => {
            let most = usize::try_from(PATH - 1).unwrap_or(0);
            (UNIX, name.given().unwrap_or_default().bytes().take(most).chain([0]).collect())
        }
    }
}

/// What V1 has for the type of an address: 4 or 6. A Unix address, which V1 did not know, has the number of
/// its family.
pub(super) fn type_of(address: &Address) -> u32 {
    match address {
        Address::Inet(SocketAddr::V4(_)) => 4,
        Address::Inet(SocketAddr::V6(_)) => 6,
        Address::Unix(_) => UNIX.into(),
    }
}

fn family(memory: &GuestMemory<'_>, start: u32) -> Result<u16, Error> {
    Ok(u16::from_le_bytes(octets::<2>(memory, GuestPtr::new(start))?))
}

fn octets<const N: usize>(memory: &GuestMemory<'_>, at: GuestPtr<u8>) -> Result<[u8; N], Error> {
    let length = u32::try_from(N).map_err(|_| Errno::EINVAL)?;
    let bytes = memory.to_vec(at.as_array(length))?;
    bytes.first_chunk().copied().ok_or_else(|| Errno::EINVAL.into())
}

/// The address at `at` as the trace prints it: without the port, which is an argument of its own. One that
/// the host has written may be an IPv4 address in the place for an IPv6 one.
pub(crate) fn shown(memory: &GuestMemory<'_>, at: u32, is_output: bool) -> Option<String> {
    let (start, length) = read_buffer(memory, at).ok()?;
    let bytes = GuestPtr::<u8>::new(start);
    let (family, bytes) = match length {
        INET6_SIZE if is_output && holds_inet4(memory, bytes) => (INET4, bytes),
        INET4_SIZE => (INET4, bytes),
        INET6_SIZE => (INET6, bytes),
        STORAGE_SIZE => (family(memory, start).ok()?, bytes.add(BEHIND_FAMILY).ok()?),
        _ => return None,
    };
    match family {
        INET4 => Some(IpAddr::from(octets::<4>(memory, bytes).ok()?).to_string()),
        INET6 => Some(IpAddr::from(octets::<16>(memory, bytes).ok()?).to_string()),
        UNIX => Some(unix_name::read(memory, bytes).ok()?.to_string()),
        _ => None,
    }
}

/// Is there nothing but the first 4 of 16 bytes? No host has such an IPv6 address.
fn holds_inet4(memory: &GuestMemory<'_>, bytes: GuestPtr<u8>) -> bool {
    octets::<16>(memory, bytes)
        .is_ok_and(|[b0, b1, b2, b3, rest @ ..]| rest == [0; 12] && [b0, b1, b2, b3] != [0; 4])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test may fail")]

    use super::*;
    use crate::address::UnixName;

    const PLACE: u32 = 16;

    /// A memory with the structure at 0 and these bytes at [`PLACE`].
    fn page(length: u32, bytes: &[u8]) -> Vec<u8> {
        let mut page = vec![0; 256];
        page[..4].copy_from_slice(&PLACE.to_le_bytes());
        page[4..8].copy_from_slice(&length.to_le_bytes());
        page[16..16 + bytes.len()].copy_from_slice(bytes);
        page
    }

    fn given(length: u32, bytes: &[u8], port: u32) -> Result<Given, Option<Errno>> {
        let mut page = page(length, bytes);
        read(&GuestMemory::Unshared(&mut page), GuestPtr::new(0), port).map_err(|error| match error {
            Error::Errno(errno) => Some(errno),
            _ => None,
        })
    }

    fn inet(text: &str) -> Given {
        Given::Address(Address::Inet(text.parse().unwrap_or(([0, 0, 0, 0], 0).into())))
    }

    #[test]
    fn every_form_is_read() {
        let mut six = [0; 16];
        six[15] = 1;
        assert_eq!(given(4, &[127, 0, 0, 1], 80), Ok(inet("127.0.0.1:80")));
        assert_eq!(given(16, &six, 80), Ok(inet("[::1]:80")));
        assert_eq!(given(128, &[1, 0, 127, 0, 0, 1], 80), Ok(inet("127.0.0.1:80")));
        assert_eq!(given(128, &[&[2, 0], six.as_slice()].concat(), 80), Ok(inet("[::1]:80")));
        let name = Given::Address(UnixName::new("/run/a").into());
        assert_eq!(given(128, b"\x03\0/run/a\0", 7), Ok(name));
        assert_eq!(given(128, &[0, 0], 0), Ok(Given::NoFamily));
        assert_eq!(given(0, &[], 80), Ok(Given::Nothing));
    }

    #[test]
    fn what_is_none_is_refused() {
        for length in [1, 3, 5, 15, 17, 127, 129] {
            assert_eq!(given(length, &[1; 129], 80), Err(Some(Errno::EINVAL)), "{length}");
        }
        assert_eq!(given(4, &[127, 0, 0, 1], 65_536), Err(Some(Errno::EINVAL)));
        assert_eq!(given(128, &[4, 0], 80), Err(Some(Errno::EAFNOSUPPORT)));
        // The family has two bytes.
        assert_eq!(given(128, &[1, 1], 80), Err(Some(Errno::EAFNOSUPPORT)));
        let long = [b"\x03\0".as_slice(), &[b'a'; 126]].concat();
        assert_eq!(given(128, &long, 0), Err(Some(Errno::ENAMETOOLONG)));
        // Outside of the memory: a trap.
        assert_eq!(given(u32::MAX, &[], 80), Err(None));
        assert_eq!(given(241, &[], 80), Err(None));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let names = [UnixName::new("/run/a"), UnixName::new("/".to_owned() + &"a".repeat(106))];
        let inet: [SocketAddr; 2] = [([127, 0, 0, 1], 80).into(), (std::net::Ipv6Addr::LOCALHOST, 80).into()];
        let addresses = names.map(Address::from).into_iter().chain(inet.map(Address::from));
        for address in addresses {
            let mut page = page(128, &[]);
            let mut memory = GuestMemory::Unshared(&mut page);
            assert!(write(&mut memory, (PLACE, 128), &address).is_ok(), "{address}");
            assert_eq!(read(&memory, GuestPtr::new(0), 80).ok(), Some(Given::Address(address.clone())));
            let without_port = address.inet().map_or(address.to_string(), |inet| inet.ip().to_string());
            assert_eq!(shown(&memory, 0, true), Some(without_port));
        }
    }

    #[test]
    fn inet4_in_the_place_of_inet6_is_shown_as_it_is() {
        let mut page = page(16, &[9; 20]);
        let mut memory = GuestMemory::Unshared(&mut page);
        let four = Address::Inet(([192, 0, 2, 1], 80).into());
        assert!(write(&mut memory, (PLACE, 16), &four).is_ok());
        assert_eq!(shown(&memory, 0, true).as_deref(), Some("192.0.2.1"));
        assert_eq!(shown(&memory, 0, false).as_deref(), Some("c000:201::"));
        assert_eq!(page[32..36], [9; 4]);
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let six = Address::Inet((std::net::Ipv6Addr::LOCALHOST, 80).into());
        let mut page = page(4, &[9; 20]);
        let before = page.clone();
        let mut memory = GuestMemory::Unshared(&mut page);
        assert_eq!(write(&mut memory, (PLACE, 4), &six), Err(Errno::ENOMEM.into()));
        assert_eq!(write(&mut memory, (PLACE, 16), &UnixName::new("/a").into()), Err(Errno::ENOTSUP.into()));
        assert_eq!(page, before);
    }
}
