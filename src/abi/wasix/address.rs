//! Socket addresses as WASIX lays them out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use wiggle::{GuestMemory, GuestPtr};

use crate::abi::memory::{check_out, write_bytes};
use crate::abi::unix_name::{self, PATH};
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::socket::Family;

/// How many bytes a program's addresses have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressWidth {
    /// At least the 20 that every generation of the ABI has, and maybe no more.
    Narrow,
    /// All the 110 of today's.
    Wide,
}

/// The bytes of an `addr_port` that every generation of the ABI has, programs of 2023
/// these and no more.
const NARROW: u32 = 20;

/// The bytes before the path of a Unix address: tag and padding.
const BEFORE_PATH: u32 = 2;

/// The size of an `addr_ip`.
pub(crate) const IP_SIZE: usize = 18;

/// The size of an IPv6 address with its port, flow and scope, tag and padding before it.
const WIDE_INET6: u32 = 28;

const UNSPECIFIED: u8 = 0;
const INET4: u8 = 1;
const INET6: u8 = 2;
const UNIX: u8 = 3;

impl AddressWidth {
    /// How much of it a call may write to.
    fn size(self) -> u32 {
        match self {
            Self::Narrow => NARROW,
            Self::Wide => BEFORE_PATH + PATH,
        }
    }
}

/// The address that a call was given: tag at 0; port in little-endian at 2 and address in
/// network order at 4, or path at 2.
///
/// # Errors
///
/// `EAFNOSUPPORT` for an unknown family; for a path, `ENAMETOOLONG` without a NUL in its
/// space and `EILSEQ` for what is not UTF-8; a trap outside of the memory.
pub(crate) fn read(
    memory: &GuestMemory<'_>,
    at: GuestPtr<u8>,
    width: AddressWidth,
) -> Result<Address, Error> {
    let tag = memory.read(at)?;
    if tag == UNIX {
        return Ok(Address::Unix(unix_name::read(memory, at.add(BEFORE_PATH)?)?));
    }
    let size = if tag == INET6 && width == AddressWidth::Wide { WIDE_INET6 } else { NARROW };
    let bytes = memory.as_cow(at.as_array(size))?;
    // "EAFNOSUPPORT: The specified address is not a valid address for the address
    // family of the specified socket." - bind(3p), connect(3p)
    decode(&bytes).map(Address::Inet).ok_or_else(|| Errno::EAFNOSUPPORT.into())
}

/// As [`read`], of a peer: `None` for an address of no family, which dissolves the peer.
///
/// # Errors
///
/// As for [`read`].
pub(crate) fn read_peer(
    memory: &GuestMemory<'_>,
    at: GuestPtr<u8>,
    width: AddressWidth,
) -> Result<Option<Address>, Error> {
    if memory.read(at)? == UNSPECIFIED {
        return Ok(None);
    }
    read(memory, at, width).map(Some)
}

/// Reads a network address; 8 bytes are enough for IPv4. The flow and the scope of an
/// IPv6 address are read where they are there.
pub(crate) fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let [tag, _, port_low, port_high, address @ ..] = bytes else { return None };
    let port = u16::from_le_bytes([*port_low, *port_high]);
    match *tag {
        INET4 => Some((Ipv4Addr::from(*address.first_chunk::<4>()?), port).into()),
        INET6 => {
            let (octets, rest) = address.split_first_chunk::<16>()?;
            let (flow, scope) = match rest.first_chunk::<8>() {
                Some([f2, f3, f0, f1, s2, s3, s0, s1]) => {
                    (u32::from_le_bytes([*f0, *f1, *f2, *f3]), u32::from_le_bytes([*s0, *s1, *s2, *s3]))
                }
                None => (0, 0),
            };
            Some(SocketAddrV6::new(Ipv6Addr::from(*octets), port, flow, scope).into())
        }
        _ => None,
    }
}

/// Reads the 4 bytes of an IPv4 address.
pub(crate) fn inet4(bytes: &[u8]) -> Ipv4Addr {
    bytes.first_chunk().copied().map_or(Ipv4Addr::UNSPECIFIED, <[u8; 4]>::into)
}

/// Reads the 16 bytes of a group's IPv6 address, which are in network order, as all
/// addresses are. The standard library of Rust, and Wasmer, have the two of each pair
/// swapped here: what is a group only when they are swapped is meant so.
pub(crate) fn group(bytes: &[u8]) -> Ipv6Addr {
    let octets = bytes.first_chunk().copied().unwrap_or([0_u8; 16]);
    let (group, swapped) = (Ipv6Addr::from(octets), Ipv6Addr::from(swap(octets)));
    if !group.is_multicast() && swapped.is_multicast() { swapped } else { group }
}

/// Swaps the bytes of each pair.
fn swap(octets: [u8; 16]) -> [u8; 16] {
    let bits = u128::from_be_bytes(octets);
    const EVERY_OTHER: u128 =
        u128::from_be_bytes([0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff]);
    ((bits & EVERY_OTHER) << 8 | (bits >> 8) & EVERY_OTHER).to_be_bytes()
}

/// Checks, before an effect, that an address of this family can be written there afterwards.
///
/// # Errors
///
/// A trap outside of the memory.
pub(crate) fn check(
    memory: &GuestMemory<'_>,
    at: GuestPtr<u8>,
    family: Family,
    width: AddressWidth,
) -> Result<(), Error> {
    let size = match (family, width) {
        (Family::Inet6, AddressWidth::Wide) => WIDE_INET6,
        (Family::Unix, width) => width.size(),
        _ => NARROW,
    };
    check_out(memory, at.offset(), size)
}

/// Writes an address: 8 bytes for IPv4, and 20 for IPv6, which is what every
/// generation has space for. A program that has more gets the flow and the scope of an IPv6
/// address too, also where they are 0, for its C library reads them, and all of a path;
/// another one gets as much of a path as fits: "the stored address shall be truncated"
/// - accept(3p).
///
/// # Errors
///
/// A trap outside of the memory.
pub(crate) fn write(
    memory: &mut GuestMemory<'_>,
    at: GuestPtr<u8>,
    address: &Address,
    width: AddressWidth,
) -> Result<(), Error> {
    match address {
        Address::Inet(address) => write_bytes(memory, at, encode(*address, width).as_slice()),
        Address::Unix(name) => {
            let most = usize::try_from(width.size().saturating_sub(1)).unwrap_or(usize::MAX);
            let path = name.given().unwrap_or_default().bytes();
            let bytes: Vec<u8> = [UNIX, 0].into_iter().chain(path).take(most).chain([0]).collect();
            write_bytes(memory, at, &bytes)
        }
    }
}

/// A network address as the guest gets it: no memory is taken for it.
#[derive(Default)]
struct Encoded {
    bytes: [u8; WIDE_INET6 as usize],
    length: usize,
}

impl Encoded {
    fn push(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(part);
            self.length = end;
        }
    }

    /// The high half first, each in little-endian.
    fn push_halves(&mut self, value: u32) {
        let [b0, b1, b2, b3] = value.to_le_bytes();
        self.push(&[b2, b3, b0, b1]);
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn encode(address: SocketAddr, width: AddressWidth) -> Encoded {
    let mut bytes = Encoded::default();
    bytes.push(&[if address.is_ipv4() { INET4 } else { INET6 }, 0]);
    bytes.push(&address.port().to_le_bytes());
    match address {
        SocketAddr::V4(four) => bytes.push(&four.ip().octets()),
        SocketAddr::V6(six) => {
            bytes.push(&six.ip().octets());
            if width == AddressWidth::Wide {
                bytes.push_halves(six.flowinfo());
                bytes.push_halves(six.scope_id());
            }
        }
    }
    bytes
}

/// The start of an `addr_cidr`: the family at 0, the address at 2, and of an IPv6 address
/// its flow and its scope, if there is space.
pub(crate) fn encode_bare(address: IpAddr, scope: u32, width: AddressWidth) -> Vec<u8> {
    let mut bytes = Encoded::default();
    match address {
        IpAddr::V4(four) => {
            bytes.push(&[INET4, 0]);
            bytes.push(&four.octets());
        }
        IpAddr::V6(six) => {
            bytes.push(&[INET6, 0]);
            bytes.push(&six.octets());
            if width == AddressWidth::Wide {
                bytes.push_halves(0);
                bytes.push_halves(scope);
            }
        }
    }
    bytes.as_slice().to_vec()
}

/// An entry of `resolve`'s result, `addr_ip`: the family at 0, the address at 2.
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
    #![expect(clippy::indexing_slicing, reason = "a test may fail")]

    use super::*;
    use crate::address::UnixName;

    fn filled(start: &[u8]) -> [u8; 20] {
        std::array::from_fn(|at| start.get(at).copied().unwrap_or(0))
    }

    #[test]
    fn reads_both_families() {
        let inet4 = filled(&[1, 9, 0x90, 0x1f, 127, 0, 0, 1]);
        assert_eq!(decode(&inet4), Some(([127, 0, 0, 1], 8080).into()));
        assert_eq!(decode(&inet4[..8]), Some(([127, 0, 0, 1], 8080).into()));
        assert_eq!(decode(&inet4[..7]), None);
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

    /// Writes `address` where there is space, and returns what is there then.
    fn written(address: &Address, width: AddressWidth) -> Vec<u8> {
        let mut page = vec![0xaa; 256];
        let mut memory = GuestMemory::Unshared(&mut page);
        assert!(write(&mut memory, GuestPtr::new(16), address, width).is_ok());
        let end = page.iter().rposition(|byte| *byte != 0xaa).unwrap_or(0);
        page[16..=end].to_vec()
    }

    fn read_back(bytes: &[u8]) -> Result<Address, Option<Errno>> {
        let mut page = vec![0xaa; 256];
        page[16..16 + bytes.len()].copy_from_slice(bytes);
        read(&GuestMemory::Unshared(&mut page), GuestPtr::new(16), AddressWidth::Narrow).map_err(|error| {
            match error {
                Error::Errno(errno) => Some(errno),
                Error::Trap(_) | Error::Wait | Error::LookUp(_) | Error::Ended(_) | Error::Replaced => None,
            }
        })
    }

    #[test]
    fn flow_and_scope_go_both_ways_where_there_is_space() {
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0x000a_bcde, 0x0102_0304).into();
        let bytes = written(&Address::Inet(address), AddressWidth::Wide);
        assert_eq!(bytes[20..], [0x0a, 0, 0xde, 0xbc, 2, 1, 4, 3]);
        let mut page = bytes.clone();
        let memory = GuestMemory::Unshared(&mut page);
        assert_eq!(read(&memory, GuestPtr::new(0), AddressWidth::Wide).ok(), Some(address.into()));
        let plain: SocketAddr = (Ipv6Addr::LOCALHOST, 80).into();
        assert_eq!(written(&Address::Inet(address), AddressWidth::Narrow), bytes[..20]);
        assert_eq!(read(&memory, GuestPtr::new(0), AddressWidth::Narrow).ok(), Some(plain.into()));
    }

    #[test]
    fn what_is_written_was_checked_before() {
        let names = UnixName::new("/".to_owned() + &"a".repeat(106));
        let scoped = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 1 << 31 | 1, 1 << 31 | 1);
        let addresses: [(Family, Address); 3] = [
            (Family::Inet4, Address::Inet(([127, 0, 0, 1], 80).into())),
            (Family::Inet6, Address::Inet(scoped.into())),
            (Family::Unix, names.into()),
        ];
        for (family, address) in addresses {
            for width in [AddressWidth::Narrow, AddressWidth::Wide] {
                // The last position at which it fits in the memory.
                let mut page = vec![0; 256];
                let fits = (0..256).rfind(|at| {
                    check(&GuestMemory::Unshared(&mut page), GuestPtr::new(*at), family, width).is_ok()
                });
                let at = GuestPtr::new(fits.unwrap_or(256));
                let written = write(&mut GuestMemory::Unshared(&mut page), at, &address, width);
                assert!(written.is_ok(), "{family:?} {width:?} at {at:?}");
            }
        }
    }

    #[test]
    fn no_family_is_no_peer() {
        let mut page = vec![0; 128];
        let memory = GuestMemory::Unshared(&mut page);
        assert!(matches!(read_peer(&memory, GuestPtr::new(0), AddressWidth::Wide), Ok(None)));
        assert!(matches!(
            read(&memory, GuestPtr::new(0), AddressWidth::Wide),
            Err(Error::Errno(Errno::EAFNOSUPPORT))
        ));
    }

    #[test]
    fn groups_are_read_in_either_order() {
        let group_of = |text: &str| text.parse::<Ipv6Addr>().map(|ip| group(&ip.octets()).to_string());
        for (bytes, read) in
            [("ff02::1:3", "ff02::1:3"), ("2ff::100:300", "ff02::1:3"), ("fe80::1", "fe80::1")]
        {
            assert_eq!(group_of(bytes), Ok(read.to_owned()));
        }
    }

    #[test]
    fn a_path_is_read_up_to_its_nul() {
        assert_eq!(read_back(b"\x03\x00/run/a\0"), Ok(UnixName::new("/run/a").into()));
        assert_eq!(read_back(b"\x03\x00\0abstract"), Ok(UnixName::unnamed().into()));
        assert_eq!(read_back(b"\x03\x00/\xff\0"), Err(Some(Errno::EILSEQ)));
        let long = |length: usize| [b"\x03\x00".as_slice(), &vec![b'a'; length], b"\0"].concat();
        assert_eq!(read_back(&long(107)), Ok(UnixName::new("a".repeat(107)).into()));
        assert_eq!(read_back(&long(108)), Err(Some(Errno::ENAMETOOLONG)));
    }

    #[test]
    fn a_path_is_written_as_far_as_it_fits() {
        let short = UnixName::new("/run/a").into();
        for width in [AddressWidth::Narrow, AddressWidth::Wide] {
            assert_eq!(written(&short, width), b"\x03\x00/run/a\0");
            assert_eq!(written(&UnixName::unnamed().into(), width), b"\x03\x00\0");
        }
        let long = "/".to_owned() + &"a".repeat(106);
        let whole = [b"\x03\x00", long.as_bytes(), b"\0"].concat();
        let long = UnixName::new(long).into();
        assert_eq!(written(&long, AddressWidth::Wide), whole);
        assert_eq!(written(&long, AddressWidth::Narrow), [&whole[..19], b"\0"].concat());
    }

    #[test]
    fn a_path_at_the_end_of_memory_is_read() {
        let mut page = b"\x03\x00a\0".to_vec();
        let memory = GuestMemory::Unshared(&mut page);
        assert_eq!(
            read(&memory, GuestPtr::new(0), AddressWidth::Narrow).ok(),
            Some(UnixName::new("a").into())
        );
        let mut page = b"\x03\x00abc".to_vec();
        let memory = GuestMemory::Unshared(&mut page);
        assert!(matches!(read(&memory, GuestPtr::new(0), AddressWidth::Narrow), Err(Error::Trap(_))));
    }
}
