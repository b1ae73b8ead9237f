//! What the calls that take a socket return, kind by kind. docs/calls.md shows it.

/// A call.
pub(crate) struct Row {
    pub(crate) call: &'static str,
    /// `works`, or the errno: TCP of IPv4 and IPv6, UDP of both, Unix stream, datagram and
    /// seqpacket.
    pub(crate) answers: [&'static str; 7],
    /// The rule, or what is to be known.
    pub(crate) why: &'static str,
}

/// What another dialect has in place of the calls of WASIX.
pub(crate) struct Counterparts {
    /// What it is called.
    pub(crate) dialect: &'static str,
    /// The id of the dialect, as functions have it that it adds.
    pub(crate) id: &'static str,
    /// A call of WASIX, and the one in its place; `*` where each option has one.
    pub(crate) calls: &'static [(&'static str, &'static str)],
}

/// The dialects whose programs make the calls too.
pub(crate) const DIALECTS: &[Counterparts] = &[WASMEDGE, WAMR];

pub(crate) const WASMEDGE: Counterparts = Counterparts {
    dialect: "WasmEdge",
    id: "wasmedge",
    calls: &[
        ("sock_open", "sock_open"),
        ("sock_bind", "sock_bind"),
        ("sock_listen", "sock_listen"),
        ("sock_accept", "sock_accept"),
        ("sock_accept_v2", "sock_accept_v2"),
        ("sock_connect", "sock_connect"),
        ("sock_send_to", "sock_send_to"),
        ("sock_recv_from", "sock_recv_from_v2"),
        ("sock_addr_local", "sock_getlocaladdr_v2"),
        ("sock_addr_peer", "sock_getpeeraddr_v2"),
        ("sock_set_opt_flag", "sock_setsockopt"),
        ("sock_get_opt_flag", "sock_getsockopt"),
        ("sock_set_opt_size", "sock_setsockopt"),
        ("sock_get_opt_size", "sock_getsockopt"),
        ("sock_set_opt_time", "sock_setsockopt"),
        ("sock_get_opt_time", "sock_getsockopt"),
    ],
};

pub(crate) const WAMR: Counterparts = Counterparts {
    dialect: "WAMR",
    id: "wamr",
    calls: &[
        ("sock_open", "sock_open"),
        ("sock_bind", "sock_bind"),
        ("sock_listen", "sock_listen"),
        ("sock_accept_v2", "sock_accept"),
        ("sock_connect", "sock_connect"),
        ("sock_send_to", "sock_send_to"),
        ("sock_recv_from", "sock_recv_from"),
        ("sock_join_multicast_v4", "sock_set_ip_add_membership"),
        ("sock_leave_multicast_v4", "sock_set_ip_drop_membership"),
        ("sock_join_multicast_v6", "sock_set_ip_add_membership"),
        ("sock_leave_multicast_v6", "sock_set_ip_drop_membership"),
        ("sock_addr_local", "sock_addr_local"),
        ("sock_addr_peer", "sock_addr_remote"),
        ("sock_set_opt_flag", "sock_set_*"),
        ("sock_get_opt_flag", "sock_get_*"),
        ("sock_set_opt_size", "sock_set_*"),
        ("sock_get_opt_size", "sock_get_*"),
        ("sock_set_opt_time", "sock_set_*"),
        ("sock_get_opt_time", "sock_get_*"),
    ],
};

/// Calls of preview 1 that mean something else there than in WASIX.
const OTHER_IN_PREVIEW1: [&str; 1] = ["fd_renumber"];

impl Counterparts {
    /// The call in place of `call`: its own, or that of preview 1.
    pub(crate) fn of(&self, call: &str) -> Option<&'static str> {
        let own = self.calls.iter().find(|(name, _)| *name == call).map(|(_, own)| *own);
        let is_shared = |function: &&wasock::internals::Function| {
            let is_preview1 = function.module == "wasi_snapshot_preview1" && function.added_by.is_none();
            is_preview1 && function.name == call && !OTHER_IN_PREVIEW1.contains(&call)
        };
        let shared = || wasock::internals::FUNCTIONS.iter().find(is_shared).map(|function| function.name);
        own.or_else(shared)
    }
}

const WORKS: &str = "works";
/// WASI's name for `EOPNOTSUPP`.
const NO: &str = "ENOTSUP";

/// Groups are options of IPv4 and IPv6.
const OPT: &str = "ENOPROTOOPT";

const fn works(call: &'static str, why: &'static str) -> Row {
    Row { call, answers: [WORKS; 7], why }
}

/// A call of those that connect.
const fn connecting(call: &'static str, why: &'static str) -> Row {
    Row { call, answers: [WORKS, WORKS, NO, NO, WORKS, NO, WORKS], why }
}

/// A group of IPv4; IPv6 sockets speak IPv4 too.
const fn group_v4(call: &'static str, why: &'static str) -> Row {
    Row { call, answers: [OPT, OPT, WORKS, WORKS, OPT, OPT, OPT], why }
}

const fn group_v6(call: &'static str, why: &'static str) -> Row {
    Row { call, answers: [OPT, OPT, OPT, WORKS, OPT, OPT, OPT], why }
}

const fn refused(call: &'static str, errno: &'static str, why: &'static str) -> Row {
    Row { call, answers: [errno; 7], why }
}

const NO_GROUPS: &str = "\"The option is not supported by the protocol\" - setsockopt(3p)";
const PASSING: &str =
    "descriptors go over Unix sockets that connect, and pairs; elsewhere `ENOTSUP` or `EPERM`";
const NO_POSITION: &str = "\"The fildes argument is associated with a pipe, FIFO, or socket\" - lseek(3p)";
const NO_SYNC: &str = "\"a file on which this operation is not possible\" - fsync(3p)";
const NO_DIRECTORY: &str = "\"The descriptor fildes is not associated with a directory\" - fdopendir(3p)";
const NO_FOLDER: &str = "\"the file descriptor fd is not associated with a directory\" - openat(3p)";

pub(crate) const TABLE: &[Row] = &[
    works("sock_open", ""),
    works("sock_pair", "the ends are Unix sockets, whatever the family"),
    works("sock_bind", ""),
    connecting("sock_listen", "EOPNOTSUPP: \"The socket protocol does not support listen()\" - listen(3p)"),
    connecting("sock_accept", "EOPNOTSUPP: \"does not support accepting connections\" - accept(3p)"),
    connecting("sock_accept_v2", "the same"),
    works("sock_connect", "a datagram socket gets its peer"),
    works("sock_send", ""),
    works("sock_send_to", "a connection sends to its peer: \"dest_addr shall be ignored\" - sendto(3p)"),
    works("sock_send_file", ""),
    works("sock_recv", ""),
    works("sock_recv_from", "what a connection gives is from its peer"),
    works("sock_send_msg", PASSING),
    works("sock_recv_msg", "the same"),
    works("sock_shutdown", ""),
    group_v4("sock_join_multicast_v4", NO_GROUPS),
    group_v4("sock_leave_multicast_v4", "the same"),
    group_v6("sock_join_multicast_v6", "the same"),
    group_v6("sock_leave_multicast_v6", "the same"),
    works("sock_status", ""),
    works("sock_addr_local", ""),
    works("sock_addr_peer", ""),
    works("sock_set_opt_flag", "which options: see the other table"),
    works("sock_get_opt_flag", ""),
    works("sock_set_opt_size", ""),
    works("sock_get_opt_size", ""),
    works("sock_set_opt_time", ""),
    works("sock_get_opt_time", ""),
    works("fd_read", ""),
    works("fd_write", ""),
    works("fd_close", ""),
    works("fd_dup", ""),
    works("fd_dup2", ""),
    works("fd_renumber", ""),
    works("fd_fdstat_get", ""),
    works("fd_fdstat_set_flags", ""),
    works("fd_fdstat_set_rights", ""),
    works("fd_fdflags_get", ""),
    works("fd_fdflags_set", ""),
    works("fd_filestat_get", "the file type; a socket has no size and no times"),
    works("poll_oneoff", ""),
    works("epoll_ctl", ""),
    refused("epoll_wait", "EINVAL", "\"epfd is not an epoll file descriptor\" - epoll_wait(2)"),
    refused("fd_advise", "ESPIPE", "as a pipe: \"associated with a pipe or FIFO\" - posix_fadvise(3p)"),
    refused("fd_allocate", "ENODEV", "\"does not refer to a regular file\" - posix_fallocate(3p)"),
    refused("fd_datasync", "EINVAL", NO_SYNC),
    refused("fd_filestat_set_size", "EINVAL", "\"not a file descriptor open for writing\" - ftruncate(3p)"),
    refused("fd_filestat_set_times", "EINVAL", "it has none"),
    refused("fd_pread", "ESPIPE", NO_POSITION),
    refused("fd_prestat_get", "EBADF", "no preopened directory: preview 1"),
    refused("fd_pwrite", "ESPIPE", NO_POSITION),
    refused("fd_readdir", "ENOTDIR", NO_DIRECTORY),
    refused("fd_seek", "ESPIPE", NO_POSITION),
    refused("fd_sync", "EINVAL", NO_SYNC),
    refused("fd_tell", "ESPIPE", NO_POSITION),
    refused("path_filestat_get", "ENOTDIR", NO_FOLDER),
    refused("path_open", "ENOTDIR", NO_FOLDER),
    refused("path_unlink_file", "ENOTDIR", NO_FOLDER),
];
