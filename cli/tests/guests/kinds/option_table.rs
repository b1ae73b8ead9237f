//! The options of sockets, kind by kind. docs/calls.md shows it.

/// What a kind of socket does with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is set, and read back.
    Both,
    /// It is read; to set it is `ENOPROTOOPT`.
    Get,
    /// `ENOPROTOOPT`.
    No,
}

use Answer::{Both, Get, No};

/// An option.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) number: u32,
    /// `flag`, `size` or `time`: the calls that know it.
    pub(crate) call: &'static str,
    /// For each kind: TCP of IPv4 and IPv6, UDP of both, Unix stream, datagram and
    /// seqpacket.
    pub(crate) answers: [Answer; 7],
    /// What is to be known.
    pub(crate) note: &'static str,
}

/// What another dialect has in place of the options of WASIX.
pub(crate) struct Counterparts {
    /// What it is called.
    pub(crate) dialect: &'static str,
    /// What its words for an option are.
    pub(crate) words: &'static str,
    /// An option, and those words.
    pub(crate) options: &'static [(&'static str, &'static str)],
}

/// The dialects that have options too.
pub(crate) const DIALECTS: &[Counterparts] = &[WASMEDGE, WAMR];

pub(crate) const WASMEDGE: Counterparts = Counterparts {
    dialect: "WasmEdge",
    words: "level and name",
    options: &[
        ("reuse_addr", "0, 0"),
        ("no_delay", "6, 15"),
        ("dont_route", "0, 3"),
        ("broadcast", "0, 4"),
        ("listening", "0, 13"),
        ("last_error", "0, 2"),
        ("keep_alive", "0, 7"),
        ("linger", "0, 9"),
        ("oob_inline", "0, 8"),
        ("recv_buf_size", "0, 6"),
        ("send_buf_size", "0, 5"),
        ("recv_lowat", "0, 10"),
        ("recv_timeout", "0, 11"),
        ("send_timeout", "0, 12"),
        ("type", "0, 1"),
    ],
};

pub(crate) const WAMR: Counterparts = Counterparts {
    dialect: "WAMR",
    words: "`sock_set_` and `sock_get_`",
    options: &[
        ("reuse_port", "`reuse_port`"),
        ("reuse_addr", "`reuse_addr`"),
        ("no_delay", "`tcp_no_delay`"),
        ("only_v6", "`ipv6_only`"),
        ("broadcast", "`broadcast`"),
        ("multicast_loop_v4", "`ip_multicast_loop`, 0"),
        ("multicast_loop_v6", "`ip_multicast_loop`, 1"),
        ("keep_alive", "`keep_alive`"),
        ("linger", "`linger`"),
        ("recv_buf_size", "`recv_buf_size`"),
        ("send_buf_size", "`send_buf_size`"),
        ("recv_timeout", "`recv_timeout`"),
        ("send_timeout", "`send_timeout`"),
        ("ttl", "`ip_ttl`"),
        ("multicast_ttl_v4", "`ip_multicast_ttl`"),
    ],
};

impl Counterparts {
    /// The words for `option`, if it has any.
    pub(crate) fn of(&self, option: &str) -> Option<&'static str> {
        self.options.iter().find(|(name, _)| *name == option).map(|(_, words)| *words)
    }
}

const fn flag(number: u32, name: &'static str, answers: [Answer; 7], note: &'static str) -> Row {
    Row { name, number, call: "flag", answers, note }
}

const fn size(number: u32, name: &'static str, answers: [Answer; 7], note: &'static str) -> Row {
    Row { name, number, call: "size", answers, note }
}

const fn time(number: u32, name: &'static str, answers: [Answer; 7], note: &'static str) -> Row {
    Row { name, number, call: "time", answers, note }
}

const ALL: [Answer; 7] = [Both; 7];
const READ_BY_ALL: [Answer; 7] = [Get; 7];
const NETWORK: [Answer; 7] = [Both, Both, Both, Both, No, No, No];
const TCP: [Answer; 7] = [Both, Both, No, No, No, No, No];
const UDP: [Answer; 7] = [No, No, Both, Both, No, No, No];
const IPV6: [Answer; 7] = [No, Both, No, Both, No, No, No];
const UDP_V6: [Answer; 7] = [No, No, No, Both, No, No, No];
const CONNECTING: [Answer; 7] = [Both, Both, No, No, Both, No, Both];

pub(crate) const TABLE: &[Row] = &[
    flag(0, "noop", [No; 7], "does nothing in any host"),
    flag(1, "reuse_port", NETWORK, ""),
    flag(2, "reuse_addr", ALL, "on for a listener of TCP"),
    flag(3, "no_delay", TCP, ""),
    flag(4, "dont_route", ALL, ""),
    flag(5, "only_v6", IPV6, "`EINVAL` once it is bound"),
    flag(6, "broadcast", UDP, ""),
    flag(7, "multicast_loop_v4", UDP, "IPv6 sockets speak IPv4 too"),
    flag(8, "multicast_loop_v6", UDP_V6, ""),
    flag(9, "promiscuous", [No; 7], "takes raw control of a network interface"),
    flag(10, "listening", READ_BY_ALL, ""),
    size(11, "last_error", READ_BY_ALL, "cleared by reading"),
    flag(12, "keep_alive", ALL, ""),
    time(13, "linger", ALL, "in whole seconds"),
    flag(14, "oob_inline", ALL, ""),
    size(15, "recv_buf_size", ALL, "as the kernel counts: Linux doubles it"),
    size(16, "send_buf_size", ALL, "the same"),
    size(17, "recv_lowat", ALL, "of streams: how much a blocking receive waits for"),
    size(18, "send_lowat", READ_BY_ALL, "1 on Linux"),
    time(19, "recv_timeout", ALL, "ends a blocking receive with `EAGAIN`, an accept too"),
    time(20, "send_timeout", ALL, "ends a blocking send with `EAGAIN`"),
    time(21, "connect_timeout", CONNECTING, "ends a blocking connect with `ETIMEDOUT`"),
    time(22, "accept_timeout", CONNECTING, "ends a blocking accept with `EAGAIN`"),
    size(23, "ttl", NETWORK, "1 to 255, for IPv6 from 0; else `EINVAL`"),
    size(24, "multicast_ttl_v4", UDP, "0 to 255, else `EINVAL`"),
    size(25, "type", READ_BY_ALL, ""),
    size(26, "proto", READ_BY_ALL, ""),
];
