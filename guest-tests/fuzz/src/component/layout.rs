//! Where what lies in a component's memory, and what is there at its start.
//!
//! As in a module ([`crate::layout`]), calls write over some of it: that is meant.

use super::table::Kind;
use crate::layout::PeerPorts;

/// The pages of its memory at its start, and at most.
pub(super) const PAGES: u64 = 20;
pub(super) const MAX_PAGES: u64 = 24;
pub(super) const END: u64 = PAGES << 16;

/// Where calls write what they return.
pub(super) const RETURNED: u64 = 0x200;
/// The same of the interpreter's own calls.
pub(super) const OWN_RETURNED: u64 = 0x400;
/// Words that hold handles: [`HANDLES_A_KIND`] of each kind.
pub(super) const HANDLES: u64 = 0x1000;
pub(super) const HANDLES_A_KIND: u64 = 16;
/// What may be written or sent next, so far behind the word of the handle.
pub(super) const PERMITS: u64 = 0x1000;
/// Addresses, each a word for each that it is lowered to.
pub(super) const ADDRESSES: u64 = 0x3000;
pub(super) const ADDRESS_SIZE: u64 = 64;
/// Names, [`NAME_SIZE`] apart.
pub(super) const NAMES: u64 = 0x4000;
pub(super) const NAME_SIZE: u64 = 64;
/// How long the list of pollables is.
pub(super) const POLL_COUNT: u64 = 0x5000;
/// Datagrams to send, [`DATAGRAM_SIZE`] apart. Those of the second half have the addresses of the same numbers.
pub(super) const DATAGRAMS: u64 = 0x6000;
pub(super) const DATAGRAM_SIZE: u64 = 44;
pub(super) const DATAGRAM_COUNT: u64 = 32;
/// Where the address of a datagram lies in it: behind its data and the byte that says that there is one.
pub(super) const DATAGRAM_ADDRESS: u64 = 12;
/// What is to be reported, behind what tells it from all else that a guest may write there.
pub(super) const REPORT: u64 = 0x9000;
pub(super) const REPORT_BEGINS: &[u8; 16] = b"\x01calls\x02were\x03made";
/// Bytes to send, up to the list of pollables.
pub(super) const DATA: u64 = 0x1_0000;
/// The list of pollables.
pub(super) const POLL_LIST: u64 = 0x4_0000;
pub(super) const POLL_LIST_SIZE: u64 = 0x1_0000;
/// The operations: a header, then each.
pub(super) const LIST: u64 = 0x6_0000;
pub(super) const HEADER: u64 = 128;
pub(super) const OP_SIZE: u64 = 128;
pub(super) const MAX_OPS: usize = 2000;
/// What the host returns lists in, up to the end of the memory.
pub(super) const HEAP: u64 = 0xa_0000;

/// How many addresses there are, and which of them are what.
pub(super) mod address {
    pub(in crate::component) const INET4: u64 = 0;
    pub(in crate::component) const INET6: u64 = 1;
    pub(in crate::component) const PEER_TCP: u64 = 2;
    pub(in crate::component) const PEER_UDP: u64 = 3;
    /// That of a listener which the host holds for the guest.
    pub(in crate::component) const HELD: u64 = 4;
    /// From here on they are what calls have returned, and at first the host's on loopback.
    pub(in crate::component) const FIRST_LEARNED: u64 = 10;
    pub(in crate::component) const COUNT: u64 = 16;
}

/// The names, in order.
pub(super) const NAME_LIST: [&[u8]; 10] = [
    b"localhost",
    b"127.0.0.1",
    b"::1",
    b"LocalHost.",
    b"example.invalid",
    b"",
    b"nul\0inside",
    b"\x1b[31mred\n",
    b"xn--nxasmq6b.example",
    b"a.very.long.name.of.which.nobody.has.ever.heard.anything.at.all",
];

/// The bytes of which no text is.
pub(super) const NO_TEXT: u64 = NAMES + NAME_SIZE * NAME_LIST.len() as u64;

/// The word of handle `index` of this kind.
pub(super) fn word(kind: Kind, index: u64) -> u64 {
    HANDLES + (kind as u64 * HANDLES_A_KIND + index % HANDLES_A_KIND) * 4
}

fn inet4(ip: [u8; 4], port: u16) -> Vec<u32> {
    [0, u32::from(port)].into_iter().chain(ip.map(u32::from)).collect()
}

fn inet6(halves: [u16; 8], port: u16, flow: u32, scope: u32) -> Vec<u32> {
    [1, u32::from(port), flow].into_iter().chain(halves.map(u32::from)).chain([scope]).collect()
}

const LOOPBACK6: [u16; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

/// The addresses, as they are lowered.
fn addresses(ports: PeerPorts, held: u16) -> Vec<Vec<u32>> {
    let loopback = [127, 0, 0, 1];
    let mut all = vec![
        inet4(loopback, 0),
        inet6(LOOPBACK6, 0, 0, 0),
        inet4(loopback, ports.tcp),
        inet4(loopback, ports.udp),
        inet4(loopback, held),
        inet4([0, 0, 0, 0], 0),
        // An address for documentation; nothing grants it.
        inet4([192, 0, 2, 1], 80),
        inet6([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1], ports.tcp, 0, 0),
        inet6(LOOPBACK6, ports.tcp, 7, 1),
        inet4([224, 0, 0, 251], 5353),
    ];
    all.resize(address::COUNT as usize, inet4(loopback, ports.tcp));
    all
}

/// The same as it lies in the memory.
fn stored(words: &[u32]) -> Vec<u8> {
    let half = |at: usize| (words.get(at).copied().unwrap_or(0) as u16).to_le_bytes();
    let word = |at: usize| words.get(at).copied().unwrap_or(0).to_le_bytes();
    let mut bytes = vec![words[0] as u8, 0, 0, 0];
    bytes.extend(half(1));
    if words[0] == 0 {
        bytes.extend(words[2..6].iter().map(|byte| *byte as u8));
    } else {
        bytes.extend([0; 2]);
        bytes.extend(word(2));
        (3..11).for_each(|at| bytes.extend(half(at)));
        bytes.extend(word(11));
    }
    bytes.resize(32, 0);
    bytes
}

fn datagrams(addresses: &[Vec<u32>]) -> Vec<u8> {
    let lengths: [u32; 8] = [5, 64, 0, 1400, 1, 9000, 65_507, 65_508];
    let mut bytes = Vec::new();
    for index in 0..DATAGRAM_COUNT {
        let has_address = index >= DATAGRAM_COUNT / 2;
        bytes.extend((DATA as u32 + index as u32).to_le_bytes());
        // The large ones are few.
        let length =
            if index % 5 == 4 { lengths[index as usize / 5 % 8] } else { lengths[index as usize % 5] };
        bytes.extend(length.to_le_bytes());
        bytes.extend(u32::from(has_address).to_le_bytes());
        bytes.extend(stored(&addresses[index as usize % addresses.len()]));
    }
    bytes
}

/// What lies where at the start. `held` is the port of the listener that the host holds, or 0.
pub(super) fn start(ports: PeerPorts, held: u16) -> Vec<(u64, Vec<u8>)> {
    let addresses = addresses(ports, held);
    let mut found = vec![(DATAGRAMS, datagrams(&addresses))];
    for (index, words) in (0..).zip(&addresses) {
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        found.push((ADDRESSES + index * ADDRESS_SIZE, bytes));
    }
    for (index, name) in (0..).zip(NAME_LIST) {
        found.push((NAMES + index * NAME_SIZE, name.to_vec()));
    }
    found.push((REPORT, REPORT_BEGINS.to_vec()));
    found.push((NO_TEXT, b"local\xff\xfehost".to_vec()));
    found.push((DATA, b"GET / HTTP/1.1\r\n\r\n\x1b]0;\x07".repeat(64)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_in_anothers_place() {
        let names = NO_TEXT + NAME_SIZE;
        assert!(word(Kind::LookUp, HANDLES_A_KIND - 1) + PERMITS < ADDRESSES);
        assert!(names <= POLL_COUNT && DATAGRAMS + DATAGRAM_COUNT * DATAGRAM_SIZE <= REPORT);
        assert!(LIST + HEADER + MAX_OPS as u64 * OP_SIZE <= HEAP);
        assert_eq!(
            datagrams(&addresses(PeerPorts::default(), 0)).len() as u64,
            DATAGRAM_COUNT * DATAGRAM_SIZE
        );
    }
}
