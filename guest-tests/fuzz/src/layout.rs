//! Where what lies in a guest's memory, and what is there at its start.
//!
//! The calls write over most of it: that is meant.

/// The pages of a guest's memory at its start, and at most.
pub(crate) const PAGES: u64 = 32;
pub(crate) const MAX_PAGES: u64 = 40;
pub(crate) const END: u64 = PAGES << 16;

/// Words that calls write results to, other than descriptors.
pub(crate) const NUMBERS: u64 = 0x400;
/// Words for futexes.
pub(crate) const FUTEXES: u64 = 0x800;
/// Addresses, [`ADDRESS_SIZE`] apart.
pub(crate) const ADDRESSES: u64 = 0x1000;
pub(crate) const ADDRESS_SIZE: u64 = 128;
/// Addresses without a port: where each lies and its length, 8 bytes; the bytes of each, [`ADDRESS_SIZE`]
/// apart.
pub(crate) const SPLIT_ADDRESSES: u64 = 0x2000;
const SPLIT_BYTES: u64 = 0x2100;
/// The address of a list that a look-up fills, and the list behind it.
pub(crate) const LOOK_UPS: u64 = 0x2a00;
/// Addresses whose port comes last, [`PORT_LAST_SIZE`] apart; the last four are written to.
pub(crate) const PORT_LAST: u64 = 0x2c00;
pub(crate) const PORT_LAST_SIZE: u64 = 32;
pub(crate) const PORT_LAST_COUNT: u64 = 12;
/// Words that hold descriptors: [`FDS_A_KIND`] for each [`Kind`](crate::op::FdKind).
pub(crate) const FDS: u64 = 0x3000;
pub(crate) const FDS_A_KIND: u64 = 4;
/// Names, [`NAME_SIZE`] apart.
pub(crate) const NAMES: u64 = 0x4000;
pub(crate) const NAME_SIZE: u64 = 64;
/// Arrays of buffers, of eight each.
pub(crate) const IOVS: u64 = 0x6000;
pub(crate) const IOVS_SIZE: u64 = 64;
/// Lists of subscriptions for `poll_oneoff`, of eight each; room for its events.
pub(crate) const SUBSCRIPTIONS: u64 = 0x7000;
pub(crate) const SUBSCRIPTION_SIZE: u64 = 48;
pub(crate) const EVENTS: u64 = 0x9000;
/// What `epoll_ctl` reads, 32 bytes each.
pub(crate) const INTERESTS: u64 = 0xa000;
/// Durations, and none.
pub(crate) const DURATIONS: u64 = 0xb000;
/// Anything else that is written.
pub(crate) const OUT: u64 = 0xc000;
/// Control data of messages, and where that of received ones goes.
pub(crate) const CONTROL: u64 = 0xf000;
/// Bytes to send, and where bytes go.
pub(crate) const DATA: u64 = 0x1_0000;
pub(crate) const DATA_SIZE: u64 = 0x1_0000;
/// How often each function answered each error number, [`ANSWERS`] words a function.
pub(crate) const COUNTS: u64 = 0x3_0000;
/// The error numbers, [`OTHER`] for all that are none, and [`CALLED`].
pub(crate) const ANSWERS: u64 = 80;
pub(crate) const OTHER: u64 = 78;
pub(crate) const CALLED: u64 = 79;
/// The buffer that reads the lists.
pub(crate) const READING: u64 = 0x5_8000;
/// The lists of operations: a header, then the operations.
pub(crate) const LISTS: u64 = 0x6_0000;
pub(crate) const HEADER: u64 = 128;
pub(crate) const OP_SIZE: u64 = 128;
/// The lists have this many threads besides the first; the last is the signal handler's.
pub(crate) const THREAD_LISTS: usize = 4;
pub(crate) const MAX_OPS: usize = 5500;

/// What a guest writes to its standard output after each [`REPORTED`] calls.
pub(crate) const REPORT: &[u8; 16] = b"\x01calls\x02were\x03made";
pub(crate) const REPORTED: u64 = 64;
pub(crate) const REPORT_AT: u64 = 0x5_9000;

/// The names, in order.
pub(crate) const NAME_LIST: [&[u8]; 24] = [
    b"a.txt",
    b"b.txt",
    b"dir",
    b"dir/c.txt",
    b"link",
    b"a.sock",
    b"peer.sock",
    b".",
    b"/a.txt",
    b"localhost",
    b"127.0.0.1",
    b"__wasm_signal",
    b"",
    b"../up",
    b"dir/",
    b"nul\0inside",
    b"\xff\xfe",
    b"/",
    b"dir/../dir/../a.txt",
    b"example.invalid",
    b"::1",
    b"loop",
    b"\x1b[31mred\n",
    b"/dev/null",
];

/// Indices into the addresses.
pub(crate) mod address {
    pub(crate) const INET4: u64 = 0;
    pub(crate) const INET6: u64 = 1;
    pub(crate) const UNIX_A: u64 = 2;
    pub(crate) const PEER_TCP: u64 = 6;
    pub(crate) const PEER_UDP: u64 = 7;
    pub(crate) const PEER_UNIX: u64 = 8;
    /// From here on calls write addresses.
    pub(crate) const FIRST_OUT: u64 = 16;
    pub(crate) const GROUP4: u64 = 24;
    pub(crate) const GROUP6: u64 = 25;
    pub(crate) const LOCAL4: u64 = 26;
    pub(crate) const COUNT: u64 = 28;
}

fn inet4(ip: [u8; 4], port: u16) -> Vec<u8> {
    [&[1, 0][..], &port.to_le_bytes(), &ip].concat()
}

fn inet6(ip: [u8; 16], port: u16) -> Vec<u8> {
    [&[2, 0][..], &port.to_le_bytes(), &ip, &[0; 8]].concat()
}

fn unix(path: &[u8]) -> Vec<u8> {
    [&[3, 0][..], path, &[0]].concat()
}

/// The ports of what listens outside of the guests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerPorts {
    pub(crate) tcp: u16,
    pub(crate) udp: u16,
}

fn addresses(ports: PeerPorts) -> Vec<(u64, Vec<u8>)> {
    let mut loopback6 = [0; 16];
    loopback6[15] = 1;
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
    let mut long = unix(&[b'x'; 108]);
    long.truncate(110);
    vec![
        (address::INET4, inet4([127, 0, 0, 1], 0)),
        (address::INET6, inet6(loopback6, 0)),
        (address::UNIX_A, unix(b"/a.sock")),
        (3, unix(b"/b.sock")),
        (4, unix(b"")),
        (5, inet4([0, 0, 0, 0], 0)),
        (address::PEER_TCP, inet4([127, 0, 0, 1], ports.tcp)),
        (address::PEER_UDP, inet4([127, 0, 0, 1], ports.udp)),
        (address::PEER_UNIX, unix(b"/peer.sock")),
        (9, long),
        (10, vec![9; 20]),
        (11, inet6(loopback6, ports.tcp)),
        // An address for documentation; nothing grants it.
        (12, inet4([192, 0, 2, 1], 80)),
        (13, inet6(mapped, ports.tcp)),
        (14, unix(&[b'y'; 107])),
        (15, unix(b"/dir/d.sock")),
        (address::GROUP4, vec![224, 0, 0, 251]),
        (address::GROUP6, [&[0xff, 2][..], &[0; 13], &[1]].concat()),
        (address::LOCAL4, vec![127, 0, 0, 1]),
    ]
}

/// The addresses without a port: IPv4 and IPv6, of any family, for the host to write, and wrong
/// ones.
fn split_addresses() -> Vec<(u64, Vec<u8>)> {
    let mut loopback6 = [0; 16];
    loopback6[15] = 1;
    let storage = |family: u8, bytes: &[u8]| [&[family, 0][..], bytes].concat();
    let forms: [(u64, Vec<u8>); 16] = [
        (4, vec![127, 0, 0, 1]),
        (4, vec![127, 0, 0, 1]),
        (4, vec![0, 0, 0, 0]),
        (16, loopback6.to_vec()),
        (128, storage(1, &[127, 0, 0, 1])),
        (128, storage(2, &loopback6)),
        (128, storage(3, b"/a.sock\0")),
        (128, storage(3, b"/peer.sock\0")),
        (128, storage(3, &[b'x'; 126])),
        (128, storage(0, &[])),
        (128, storage(9, &[9; 20])),
        (0, Vec::new()),
        (17, vec![1; 17]),
        // To write to.
        (128, Vec::new()),
        (128, Vec::new()),
        (16, Vec::new()),
    ];
    let mut found = Vec::new();
    for (index, (length, bytes)) in forms.into_iter().enumerate() {
        let at = SPLIT_BYTES + index as u64 * ADDRESS_SIZE;
        let both = [(at as u32).to_le_bytes(), (length as u32).to_le_bytes()].concat();
        found.push((SPLIT_ADDRESSES + index as u64 * 8, both));
        found.push((at, bytes));
    }
    found
}

/// The addresses whose port comes last: of IPv4 and IPv6, of the peers outside, wrong ones, and groups.
fn port_last(ports: PeerPorts) -> Vec<(u64, Vec<u8>)> {
    let inet4 = |ip: [u8; 4], port: u16| [&[0; 4][..], &ip, &port.to_le_bytes()].concat();
    let inet6 = |halves: [u16; 8], port: u16| {
        let halves = halves.into_iter().chain([port]).flat_map(u16::to_le_bytes);
        [1, 0, 0, 0].into_iter().chain(halves).collect::<Vec<u8>>()
    };
    let forms = [
        inet4([127, 0, 0, 1], 0),
        inet6([0, 0, 0, 0, 0, 0, 0, 1], 0),
        inet4([127, 0, 0, 1], ports.tcp),
        inet4([127, 0, 0, 1], ports.udp),
        inet4([192, 0, 2, 1], 80),
        vec![9; 24],
        inet4([224, 0, 0, 251], 0),
        inet6([0xff02, 0, 0, 0, 0, 0, 0, 0xfb], 0),
    ];
    forms.into_iter().zip(0..).map(|(bytes, index)| (PORT_LAST + index * PORT_LAST_SIZE, bytes)).collect()
}

/// A list of four entries, the last of which leads back to the second.
fn look_ups() -> Vec<u8> {
    let entry = |index: u64| LOOK_UPS + 8 + index * 96;
    let mut bytes = [(entry(0) as u32).to_le_bytes(), [0; 4]].concat();
    for index in 0..4 {
        let (at, next) = (entry(index), entry(if index == 3 { 1 } else { index + 1 }));
        let (address, name, data) = (at + 28, at + 40, at + 56);
        let words =
            [0, 0, 0, address, name, 16, next, 0, 26, data].map(|word: u64| (word as u32).to_le_bytes());
        bytes.extend(words.concat());
        bytes.resize(8 + (index as usize + 1) * 96, 0);
    }
    bytes
}

/// What lies where at the start.
pub(crate) fn start(ports: PeerPorts) -> Vec<(u64, Vec<u8>)> {
    let mut found: Vec<(u64, Vec<u8>)> = addresses(ports)
        .into_iter()
        .map(|(index, bytes)| (ADDRESSES + index * ADDRESS_SIZE, bytes))
        .collect();
    found.extend(split_addresses());
    found.extend(port_last(ports));
    found.push((LOOK_UPS, look_ups()));
    // Numbers that are read as sizes too.
    found.push((NUMBERS, 8_u32.to_le_bytes().repeat(64)));
    // The preopened directory; the rest is not open yet.
    let fds = [3_u32].into_iter().chain(std::iter::repeat_n(u32::MAX, 63));
    found.push((FDS, fds.flat_map(u32::to_le_bytes).collect()));
    for (index, name) in NAME_LIST.iter().enumerate() {
        found.push((NAMES + index as u64 * NAME_SIZE, name.to_vec()));
    }
    found.push((IOVS, buffers()));
    found.push((SUBSCRIPTIONS, subscriptions()));
    found.push((INTERESTS, interests()));
    let durations: [(u8, u64); 6] = [(0, 0), (1, 0), (1, 1000), (1, 200_000), (1, u64::MAX), (7, 1)];
    let durations = durations
        .iter()
        .flat_map(|(tag, value)| [&[*tag, 0, 0, 0, 0, 0, 0, 0][..], &value.to_le_bytes()].concat());
    found.push((DURATIONS, durations.collect()));
    found.push((DATA, b"GET / HTTP/1.1\r\n\r\n\x1b]0;\x07".repeat(64)));
    found.push((REPORT_AT, [&(REPORT_AT as u32 + 64).to_le_bytes()[..], &16_u32.to_le_bytes()].concat()));
    found.push((REPORT_AT + 64, REPORT.to_vec()));
    found
}

/// Arrays of one to eight buffers: small, empty, large, with edges.
fn buffers() -> Vec<u8> {
    let edges: [(u64, u64); 8] = [
        (0, 0),
        (END - 1, 1),
        (END, 0),
        (END - 1, 2),
        (DATA, 0x8000_0000),
        (0xffff_ffff, 0xffff_ffff),
        (1, 3),
        (DATA + 1, 7),
    ];
    let mut bytes = Vec::new();
    for set in 0..16_u64 {
        for index in 0..8_u64 {
            let (at, len) = match set {
                0..=9 => (
                    DATA + set * 0x1000 + index * 0x100,
                    [5, 64, 1, 4096, 0, 512, 16, 255][(set + index) as usize % 8],
                ),
                10..=12 => (DATA, [65_536, 40_000, 65_535][set as usize % 3]),
                _ => edges[(set * 3 + index) as usize % 8],
            };
            bytes.extend_from_slice(&(at as u32).to_le_bytes());
            bytes.extend_from_slice(&(len as u32).to_le_bytes());
        }
    }
    bytes
}

/// Lists of eight: clocks that are over soon, and what descriptors are put into.
fn subscriptions() -> Vec<u8> {
    let mut bytes = Vec::new();
    for list in 0..16_u64 {
        for index in 0..8_u64 {
            let mut one = [0; SUBSCRIPTION_SIZE as usize];
            one[..8].copy_from_slice(&(list << 8 | index).to_le_bytes());
            one[8] = if index == 0 { 0 } else { 1 + (index + list) as u8 % 2 };
            if index == 0 {
                one[16] = (list % 2) as u8;
                one[24..32].copy_from_slice(&(list * 20_000).to_le_bytes());
            } else {
                one[16..20].copy_from_slice(&(index as u32 + 3).to_le_bytes());
            }
            if list == 15 {
                one[8] = 9;
            }
            bytes.extend_from_slice(&one);
        }
    }
    bytes
}

/// For each: what to wait for, and the data that comes back.
fn interests() -> Vec<u8> {
    let masks: [u32; 8] = [1, 4, 5, 1 | 64, 5 | 64, 1 | 128, 0, 0xffff_ffff];
    masks.iter().flat_map(|mask| [&mask.to_le_bytes()[..], &[7; 28]].concat()).collect()
}
