//! Which values the arguments of which call have, by its name and the argument's.

use crate::layout::{
    ADDRESS_SIZE, ADDRESSES, DATA, DATA_SIZE, END, EVENTS, FUTEXES, INTERESTS, LOOK_UPS, NUMBERS, OUT,
    SUBSCRIPTION_SIZE, SUBSCRIPTIONS, address,
};
use crate::op::{Arg, FdKind};
use crate::random::Random;

const ANY_SOCKET: &[FdKind] =
    &[FdKind::Stream, FdKind::Listener, FdKind::Connection, FdKind::Accepted, FdKind::Datagram, FdKind::Unix];
const TRANSFERRING: &[FdKind] = &[
    FdKind::Connection,
    FdKind::Accepted,
    FdKind::Datagram,
    FdKind::Unix,
    FdKind::Connection,
    FdKind::Stream,
];
const STREAMING: &[FdKind] = &[
    FdKind::File,
    FdKind::Pipe,
    FdKind::Counter,
    FdKind::Connection,
    FdKind::Accepted,
    FdKind::Unix,
    FdKind::Standard,
];

/// Calls of two generations are meant for the same.
fn of_one_name(name: &str) -> &str {
    name.strip_suffix("_v2").unwrap_or(name)
}

/// The descriptors that argument `index` of the function `name` is meant for.
pub(crate) fn wanted_by(name: &str, index: usize) -> &'static [FdKind] {
    match of_one_name(name) {
        "sock_bind" | "sock_connect" => &[FdKind::Stream, FdKind::Datagram, FdKind::Unix],
        "sock_listen" => &[FdKind::Listener, FdKind::Stream, FdKind::Unix],
        "sock_accept" => &[FdKind::Listener, FdKind::Listener, FdKind::Unix],
        "sock_send_file" if index == 1 => &[FdKind::File],
        "sock_recv" | "sock_recv_from" | "sock_recv_msg" | "sock_send" | "sock_send_to" | "sock_send_msg"
        | "sock_shutdown" | "sock_addr_peer" | "sock_addr_remote" | "sock_getpeeraddr" | "sock_send_file" => {
            TRANSFERRING
        }
        name if name.starts_with("sock_") => ANY_SOCKET,
        "epoll_ctl" if index > 0 => &[
            FdKind::Connection,
            FdKind::Listener,
            FdKind::Pipe,
            FdKind::Counter,
            FdKind::Epoll,
            FdKind::Datagram,
        ],
        name if name.starts_with("epoll_") => &[FdKind::Epoll],
        "fd_read" | "fd_write" => STREAMING,
        "fd_readdir" | "fd_prestat_get" | "fd_prestat_dir_name" => &[FdKind::Dir],
        name if name.starts_with("path_") => &[FdKind::Dir],
        "fd_close" => &[
            FdKind::File,
            FdKind::Stream,
            FdKind::Connection,
            FdKind::Accepted,
            FdKind::Pipe,
            FdKind::Unix,
            FdKind::Datagram,
        ],
        "fd_renumber" => FdKind::NO_DIR,
        "fd_dup"
        | "fd_dup2"
        | "fd_fdstat_get"
        | "fd_fdflags_get"
        | "fd_fdflags_set"
        | "fd_fdstat_set_flags"
        | "fd_filestat_get" => &FdKind::ALL,
        _ => &[FdKind::File],
    }
}

/// What a call makes of the descriptor that argument `index` points to.
pub(crate) fn opened_by(name: &str, index: usize) -> Option<FdKind> {
    Some(match of_one_name(name) {
        "path_open" | "path_open2" => FdKind::File,
        "sock_open" => FdKind::Stream,
        "sock_accept" => FdKind::Accepted,
        "epoll_create" => FdKind::Epoll,
        "fd_event" => FdKind::Counter,
        "fd_pipe" => FdKind::Pipe,
        "sock_pair" if index.is_multiple_of(2) => FdKind::Connection,
        "sock_pair" => FdKind::Unix,
        _ => return None,
    })
}

/// Where a pointer without a kind of its own points to.
pub(crate) fn pointer(random: &mut Random, function: &str, argument: &str) -> u64 {
    match argument {
        "subscriptions" => SUBSCRIPTIONS + random.below(100) * SUBSCRIPTION_SIZE,
        "events" => EVENTS,
        "event" => INTERESTS + 32 * random.below(8),
        "res" => LOOK_UPS,
        "value" => DATA + random.below(DATA_SIZE / 8) * 8,
        "futex" => FUTEXES + 4 * random.below(8),
        "addrs" | "routes" => OUT + 0x800,
        "buf" => DATA + random.below(DATA_SIZE / 8) * 8,
        // The argument that a thread starts with: its list.
        "start_arg" => random.below(4),
        "addr" => ADDRESSES + (address::FIRST_OUT + random.below(8)) * ADDRESS_SIZE,
        _ if function.starts_with("args_") || function.starts_with("environ_") => OUT + 0x200,
        _ => OUT + 8 * random.below(16),
    }
}

/// Is it a size that the host may be asked to give a file? Nothing between a mebibyte and a
/// pebibyte then: a disk would be asked for it.
pub(crate) fn is_size(argument: &str) -> bool {
    matches!(argument, "offset" | "len" | "size" | "count")
}

/// A number that is neither a descriptor nor a pointer.
pub(crate) fn number(random: &mut Random, function: &str, argument: &str) -> Arg {
    let choices: &[u64] = match (of_one_name(function), argument) {
        ("sock_getsockopt", "value_len") => &[4, 4, NUMBERS, NUMBERS + 8, 3],
        ("sock_setsockopt", "value_len") => &[4, 4, 8, 16, 0, 3, 17],
        (_, "hops") => &[0, 1, 64, 255, 256, u32::MAX as u64],
        (_, "seconds") => &[0, 1, 7, 32_767, 32_768, u32::MAX as u64],
        (_, "max_addrs") => &[0, 1, 2, 16, 1000],
        (_, "is_ipv6") => &[0, 1],
        (_, "level") => &[0, 0, 0, 0, 6, 1],
        ("sock_getsockopt" | "sock_setsockopt", "opt") => return Arg::Is(random.below(17)),
        ("sock_getaddrinfo", "hints") => &[0, 0, OUT, LOOK_UPS + 8],
        ("sock_getaddrinfo", "max_res") => &[1, 2, 3, 4, 5, 0, u32::MAX as u64],
        ("sock_bind", "port") => &[0, 0, 0, 80, 65_535, 65_536],
        (_, "af") => &[1, 1, 1, 2, 3, 3, 0, 4],
        (_, "socktype") => &[1, 1, 1, 2, 2, 5, 3, 0],
        (_, "proto") => &[0, 0, 0, 6, 17, 1],
        (_, "backlog") => &[5, 1, 0, 128, 2, u32::MAX as u64, 0x8000_0000],
        ("sock_recv" | "sock_recv_from" | "sock_recv_msg", "flags") => &[0, 0, 1, 2, 4, 8, 16, 6, 0xffff],
        ("sock_send" | "sock_send_to" | "sock_send_msg", "flags") => &[0, 0, 0, 1, 2, 4, 8, 16],
        ("sock_accept", "flags") => &[4, 4, 4, 4, 0, 1, 6],
        (_, "how") => &[1, 2, 3, 0, 4],
        (_, "opt") => return Arg::Is(random.below(40)),
        (_, "flag") => &[0, 1, 1, 2],
        ("sock_set_opt_size", "size") => &[0, 1, 2, 255, 256, 2048, 65_536, 1 << 20, u64::MAX],
        (_, "id") => &[0, 1, 2, 3, 4],
        (_, "whence") => &[0, 1, 2, 3],
        (_, "op") => &[1, 1, 1, 3, 2, 0, 4],
        (_, "maxevents" | "nsubscriptions") => &[1, 2, 3, 4, 8, 0],
        // Nanoseconds. What waits longer is interrupted by a signal or given up.
        (_, "timeout" | "duration") => &[0, 0, 0, 1, 1000, 100_000, 100_000, 5_000_000, u64::MAX],
        (_, "interval") => &[0, 0, 1, 100_000, 1_000_000],
        (_, "repeat" | "cloexec" | "reactor") => &[0, 1],
        ("proc_raise" | "proc_signal" | "thread_signal" | "proc_raise_interval", "sig") => {
            return Arg::Is(if random.once_in(400) {
                random.below(70)
            } else {
                random.pick(&[10, 12, 10, 12, 0, 17, 18, 23, 28])
            });
        }
        (_, "tid" | "pid") => &[1, 2, 3, 1, 0, 4],
        (_, "key") => &[0, 1, 2, 3],
        (_, "args") => return Arg::Is(random.below(4)),
        (_, "user_data") => return Arg::Is(random.below(4)),
        (_, "expected" | "initial_val") => &[0, 0, 0, 1, 5, u64::MAX - 1],
        (_, "eventfdflags") => &[0, 4, 4, 1, 5],
        (_, "fdflags" | "flags") => &[0, 4, 4, 1, 5, 31, 2],
        (_, "fdflagsext") => &[0, 1, 2],
        (_, "dirflags" | "old_flags") => &[0, 1, 1],
        (_, "oflags") => &[0, 1, 1, 9, 2, 5, 8, 15],
        (_, "fs_rights_base" | "fs_rights_inheriting") => &[(1 << 30) - 1, (1 << 30) - 1, 0, 2, 64, u64::MAX],
        (_, "fst_flags") => &[0, 1, 2, 4, 8, 5, 10],
        (_, "buf_len" | "path_len" | "naddrs") => &[1, 16, 64, 256, 4096, 0, 3],
        (_, "cookie") => &[0, 0, 1, 2, 3, u64::MAX],
        (_, "advice") => &[0, 1, 2, 3, 4, 5, 6],
        (_, "port") => &[0, 80, 65_535, 65_536],
        (_, "interface") => &[1, 1, 0],
        ("sock_send_file", "count") => &[0, 1, 100, 4096, 65_536, u64::MAX],
        (_, argument) if is_size(argument) => &[0, 1, 100, 4096, 65_535, 1 << 50, 1 << 62, 1 << 63, u64::MAX],
        _ => &[0, 1, 2, 3, 8],
    };
    Arg::Is(random.pick(choices))
}

pub(crate) fn arbitrary_pointer(random: &mut Random) -> u64 {
    random.pick(&[
        0,
        1,
        3,
        END - 1,
        END - 4,
        END - 8,
        END,
        END + 1,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        0xffff_ffff,
    ])
}

pub(crate) fn arbitrary_number(random: &mut Random) -> u64 {
    random.pick(&[
        0,
        1,
        2,
        7,
        255,
        256,
        1024,
        1025,
        65_535,
        65_537,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
        1 << 62,
        1 << 63,
        u64::MAX,
    ])
}
