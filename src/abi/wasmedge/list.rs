//! The list of `sock_getaddrinfo`, which the guest has made and the host fills.
//!
//! Each entry points to an address, which points to bytes; and to the next entry. The whole list is
//! read before anything is looked up, so that what is wrong with it is found before it costs something.

use std::net::SocketAddr;

use wiggle::{GuestMemory, GuestPtr};

use super::address::{INET4, INET6};
use super::bindings::types;
use super::socket::kind_number;
use crate::abi::look_up::Found;
use crate::abi::memory::{Region, check_out, write_bytes};
use crate::error::{Errno, Error, LookUpError};
use crate::socket::Kind;

/// The most entries that one call fills, whatever room the guest has made: a name has fewer addresses.
const MOST_ENTRIES: u32 = 256;

/// The bytes of an IPv4 address: its port, the address, and 8 that mean nothing.
const INET4_DATA: u32 = 14;
/// The bytes of an IPv6 address: its port, the flow, the address and the scope.
const INET6_DATA: u32 = 26;

/// An entry, and what it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    at: u32,
    address: u32,
    data: Region,
    name: Region,
}

/// Reads the list that begins at `first`: at most `most` entries.
///
/// # Errors
///
/// `Memory` where an entry has no room for any address, or there is none; `EINVAL` for a list that comes
/// back to itself; a trap outside of the memory.
pub(super) fn read(memory: &GuestMemory<'_>, first: u32, most: u32) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut next = first;
    for _ in 0..most.min(MOST_ENTRIES) {
        if next == 0 {
            break;
        }
        if entries.iter().any(|entry| entry.at == next) {
            return Err(Errno::EINVAL.into());
        }
        let entry = memory.read(GuestPtr::<types::Addrinfo>::new(next))?;
        if entry.ai_addr == 0 {
            return Err(LookUpError::Memory.into());
        }
        let address = memory.read(GuestPtr::<types::Sockaddr>::new(entry.ai_addr))?;
        let length = data_length(address.sa_data_len).ok_or(LookUpError::Memory)?;
        check_out(memory, address.sa_data, length)?;
        check_out(memory, entry.ai_canonname, entry.ai_canonname_len)?;
        entries.push(Entry {
            at: next,
            address: entry.ai_addr,
            data: (address.sa_data, length),
            name: (entry.ai_canonname, entry.ai_canonname_len),
        });
        next = entry.ai_next;
    }
    if entries.is_empty() { Err(LookUpError::Memory.into()) } else { Ok(entries) }
}

/// How many bytes there are for an address, by the length that the guest gives; `None` where no address
/// fits.
///
/// 14 stands for both families: the guest library that programs use says so of 26 bytes, and the hosts that
/// programs are written for take it so.
fn data_length(given: u32) -> Option<u32> {
    match given {
        INET4_DATA => Some(INET6_DATA),
        given => (given > INET4_DATA).then_some(given),
    }
}

/// Writes what was found into as many entries as there are; returns how many that was. The first gets the
/// name, where one is wanted and it has room for it.
///
/// # Errors
///
/// A trap outside of the memory.
pub(super) fn write(
    memory: &mut GuestMemory<'_>,
    entries: &[Entry],
    found: &[Found],
    name: Option<&str>,
) -> Result<u32, Error> {
    let mut written = 0;
    let mut free = entries.iter().peekable();
    for (address, kind) in found {
        let data = encode(*address);
        let length = u32::try_from(data.len()).map_err(|_| Errno::EOVERFLOW)?;
        // The entries are filled in their order: one that has no room for this address waits for the next.
        let Some(entry) = free.next_if(|entry| entry.data.1 >= length) else { continue };
        write_bytes(memory, GuestPtr::new(entry.data.0), &data)?;
        write_entry(memory, entry, *address, *kind, length)?;
        if let Some(name) = name.filter(|_| written == 0) {
            write_name(memory, entry, name)?;
        }
        written += 1;
    }
    Ok(written)
}

fn write_entry(
    memory: &mut GuestMemory<'_>,
    entry: &Entry,
    address: SocketAddr,
    kind: Kind,
    length: u32,
) -> Result<(), Error> {
    let (family, host_length) = if address.is_ipv4() { (INET4, 16) } else { (INET6, 28) };
    let protocol: u32 = if kind == Kind::Datagram { 2 } else { 1 };
    let socktype = u8::try_from(kind_number(kind, false)).unwrap_or(0);
    // The family of an address and the protocol have a byte each, and nothing else in their words: a
    // library that reads the words gets the same.
    let address_at = GuestPtr::<u32>::new(entry.address);
    memory.write(address_at, u32::from(family))?;
    memory.write(address_at.add(1)?, length)?;
    let at = GuestPtr::<u8>::new(entry.at);
    memory.write(at.cast::<u16>(), 0)?;
    memory.write(at.add(types::Addrinfo::offset_of_ai_family())?, u8::try_from(family).unwrap_or(0))?;
    memory.write(at.add(types::Addrinfo::offset_of_ai_socktype())?, socktype)?;
    memory.write(at.add(types::Addrinfo::offset_of_ai_protocol())?.cast::<u32>(), protocol)?;
    Ok(memory.write(at.add(types::Addrinfo::offset_of_ai_addrlen())?.cast::<u32>(), host_length)?)
}

/// "the canonical name of the node [...]; if [it] is not available, then ai_canonname shall refer to the
/// nodename argument or a string with the same contents" - freeaddrinfo(3p)
fn write_name(memory: &mut GuestMemory<'_>, entry: &Entry, name: &str) -> Result<(), Error> {
    let bytes = [name.as_bytes(), &[0]].concat();
    let Some(length) = u32::try_from(bytes.len()).ok().filter(|length| *length <= entry.name.1) else {
        return Ok(());
    };
    write_bytes(memory, GuestPtr::new(entry.name.0), &bytes)?;
    let at = GuestPtr::<u8>::new(entry.at).add(types::Addrinfo::offset_of_ai_canonname_len())?;
    Ok(memory.write(at.cast::<u32>(), length)?)
}

/// The bytes of an address, the port in network order.
fn encode(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(four) => [port.as_slice(), &four.ip().octets(), &[0; 8]].concat(),
        SocketAddr::V6(six) => {
            let (flow, scope) = (six.flowinfo().to_be_bytes(), six.scope_id().to_le_bytes());
            [port.as_slice(), &flow, &six.ip().octets(), &scope].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test may fail")]

    use super::*;

    /// A memory with a list of `count` entries at 64, each with its address and 26 bytes behind.
    struct Page(Vec<u8>);

    const FIRST: u32 = 64;
    const STEP: u32 = 128;

    impl Page {
        fn with(count: u32, data_length: u32) -> Self {
            let mut page = Self(vec![0; 4096]);
            for index in 0..count {
                let at = FIRST + index * STEP;
                let next = if index + 1 == count { 0 } else { at + STEP };
                page.put(at + 12, at + 28).put(at + 16, at + 96).put(at + 20, 16).put(at + 24, next);
                page.put(at + 32, data_length).put(at + 36, at + 64);
            }
            page
        }

        fn put(&mut self, at: u32, word: u32) -> &mut Self {
            let at = usize::try_from(at).unwrap_or(0);
            self.0[at..at + 4].copy_from_slice(&word.to_le_bytes());
            self
        }

        fn memory(&mut self) -> GuestMemory<'_> {
            GuestMemory::Unshared(&mut self.0)
        }

        fn read(&mut self, most: u32) -> Result<usize, Error> {
            read(&self.memory(), FIRST, most).map(|entries| entries.len())
        }
    }

    fn found() -> Vec<Found> {
        let six: SocketAddr = (std::net::Ipv6Addr::LOCALHOST, 80).into();
        vec![(six, Kind::Stream), (([192, 0, 2, 1], 443).into(), Kind::Datagram)]
    }

    #[test]
    fn as_many_are_read_as_there_are() {
        assert_eq!(Page::with(3, 26).read(10), Ok(3));
        assert_eq!(Page::with(3, 26).read(2), Ok(2));
        assert_eq!(Page::with(1, 26).read(u32::MAX), Ok(1));
    }

    #[test]
    fn a_broken_list_is_seen_before_anything_is_looked_up() {
        let is_trap = |read: Result<usize, Error>| matches!(read, Err(Error::Trap(_)));
        // It comes back to itself, at once or later.
        assert_eq!(Page::with(2, 26).put(FIRST + 24, FIRST).read(10), Err(Errno::EINVAL.into()));
        assert_eq!(Page::with(3, 26).put(FIRST + 2 * STEP + 24, FIRST).read(10), Err(Errno::EINVAL.into()));
        assert_eq!(Page::with(3, 26).put(FIRST + 2 * STEP + 24, FIRST).read(3), Ok(3));
        // No room for an address.
        for wrong in [0, 1, 13] {
            assert_eq!(Page::with(1, wrong).read(1), Err(LookUpError::Memory.into()));
        }
        assert_eq!(Page::with(1, 26).put(FIRST + 12, 0).read(1), Err(LookUpError::Memory.into()));
        assert_eq!(read(&Page::with(1, 26).memory(), 0, 1), Err(LookUpError::Memory.into()));
        // Outside of the memory: the next entry, the address, the bytes, the name.
        for place in [24, 12] {
            assert!(is_trap(Page::with(2, 26).put(FIRST + place, 4092).read(2)), "{place}");
        }
        assert!(is_trap(Page::with(1, 26).put(FIRST + 36, 4080).read(1)));
        assert!(is_trap(Page::with(1, u32::MAX).read(1)));
        assert!(is_trap(Page::with(1, 26).put(FIRST + 20, u32::MAX).read(1)));
        assert!(is_trap(Page::with(2, 26).put(FIRST + 24, FIRST + 2).read(2)));
    }

    #[test]
    fn what_was_found_is_where_the_guest_reads_it() -> Result<(), Error> {
        let mut page = Page::with(2, 26);
        let entries = read(&page.memory(), FIRST, 2)?;
        assert_eq!(write(&mut page.memory(), &entries, &found(), Some("localhost"))?, 2);
        let at = |at: u32, length: usize| {
            let at = usize::try_from(at).unwrap_or(0);
            &page.0[at..at + length]
        };
        // Flags, family, kind; protocol; length on the host.
        assert_eq!(at(FIRST, 12), [0, 0, 2, 2, 1, 0, 0, 0, 28, 0, 0, 0]);
        assert_eq!(at(FIRST + 28, 8), [2, 0, 0, 0, 26, 0, 0, 0]);
        assert_eq!(at(FIRST + 64, 6), [0, 80, 0, 0, 0, 0]);
        assert_eq!(at(FIRST + 64 + 21, 5), [1, 0, 0, 0, 0]);
        assert_eq!((at(FIRST + 96, 10), at(FIRST + 20, 1)), (b"localhost\0".as_slice(), [10].as_slice()));
        let second = FIRST + STEP;
        assert_eq!(at(second, 12), [0, 0, 1, 1, 2, 0, 0, 0, 16, 0, 0, 0]);
        assert_eq!(at(second + 28, 8), [1, 0, 0, 0, 14, 0, 0, 0]);
        assert_eq!(at(second + 64, 6), [1, 187, 192, 0, 2, 1]);
        assert_eq!(at(second + 96, 1), [0]);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_left_out() -> Result<(), Error> {
        // 15 bytes are enough for IPv4 alone; 14 stands for both.
        for (length, expected) in [(15, 1), (14, 2), (26, 2)] {
            let mut page = Page::with(2, length);
            let entries = read(&page.memory(), FIRST, 2)?;
            assert_eq!(write(&mut page.memory(), &entries, &found(), None)?, expected, "{length}");
        }
        let mut page = Page::with(1, 26);
        let entries = read(&page.memory(), FIRST, 1)?;
        assert_eq!(write(&mut page.memory(), &entries, &found(), Some(&"a".repeat(16)))?, 1);
        assert_eq!(page.0[usize::try_from(FIRST + 96).unwrap_or(0)], 0);
        Ok(())
    }
}
