//! Every function that the host has: the table behind `wasock inspect`, the call
//! trace and the linker's glue. Written by `build.rs` from the witx files.

use super::interface::Signature;

/// A function of an import module.
#[derive(Debug)]
#[non_exhaustive]
pub struct Function {
    /// The import module.
    pub module: &'static str,
    /// The name in that module.
    pub name: &'static str,
    /// The core type's parameters.
    pub params: &'static [CoreType],
    /// The core type's result: an errno wherever there is one.
    pub result: Option<CoreType>,
    /// Whether a call can wait.
    pub waits: bool,
    /// Why it is refused, if it is: a call fails with `ENOTSUP`, whatever it is given.
    pub refused: Option<&'static str>,
    /// The [id](super::Dialect::id) of the dialect that adds it to the import module of another one:
    /// only its own programs mean it.
    pub added_by: Option<&'static str>,
    /// What the parameters mean, then where the results go.
    pub arguments: &'static [Argument],
}

/// A core WebAssembly type that calls use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreType {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
    /// 64 bits, a number with a fraction.
    F64,
}

impl CoreType {
    /// Its name in the text of a module.
    pub fn name(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

/// One argument of a call: one core parameter, or two where it has a length.
#[derive(Debug)]
#[non_exhaustive]
pub struct Argument {
    /// The name in the witx file.
    pub name: &'static str,
    /// How its core values are read.
    pub kind: ArgumentKind,
}

/// What an [`Argument`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentKind {
    /// A descriptor.
    Fd,
    /// An unsigned number.
    Number,
    /// A signed number.
    Signed,
    /// A number with a fraction.
    Float,
    /// A set of bits.
    Flags,
    /// Pointer and length of a text.
    Text,
    /// A pointer to a text that ends with a NUL.
    TextToNul,
    /// Pointer and length of bytes.
    Bytes,
    /// A pointer to an `addr_port` that the host reads.
    AddressIn,
    /// A pointer to an `addr_port` that the host writes.
    AddressOut,
    /// A pointer to the place and the length of an address without its port, which the host
    /// reads.
    SplitAddressIn,
    /// The same of one that the host writes.
    SplitAddressOut,
    /// A pointer to an address that the host reads, behind its kind and before its port.
    PortLastIn,
    /// The same of one that the host writes.
    PortLastOut,
    /// A pointer to an IP address that the host reads, behind its kind.
    InetIn,
    /// A pointer to an IPv4 address that the host reads.
    Inet4In,
    /// A pointer to an IPv6 address that the host reads.
    Inet6In,
    /// Pointer and length of an array of buffers.
    Iovs,
    /// A pointer to a descriptor that the host writes.
    OutFd,
    /// A pointer to a u8 that the host writes.
    OutU8,
    /// A pointer to a u16 that the host writes.
    OutU16,
    /// A pointer to a u32 that the host writes.
    OutU32,
    /// A pointer to a u64 that the host writes.
    OutU64,
    /// A pointer to a port in network order that the host writes.
    OutPort,
    /// A pointer to an optional duration that the host reads.
    OptionTimestampIn,
    /// A pointer to an optional duration that the host writes.
    OptionTimestampOut,
    /// Any other pointer.
    Pointer,
}

impl ArgumentKind {
    /// Whether the argument takes two core values.
    pub(crate) fn has_length(self) -> bool {
        matches!(self, Self::Text | Self::Bytes | Self::Iovs)
    }

    /// Whether the argument is known only after the call.
    pub(crate) fn is_output(self) -> bool {
        matches!(
            self,
            Self::AddressOut
                | Self::SplitAddressOut
                | Self::PortLastOut
                | Self::OutPort
                | Self::OutFd
                | Self::OutU8
                | Self::OutU16
                | Self::OutU32
                | Self::OutU64
                | Self::OptionTimestampOut
        )
    }
}

impl Function {
    /// The function `name` of `module`, if the host has it; but not what a dialect adds to `module`.
    pub fn find(module: &str, name: &str) -> Option<&'static Self> {
        let is_it = |function: &&Self| function.module == module && function.name == name;
        FUNCTIONS.iter().filter(|function| function.added_by.is_none()).find(is_it)
    }

    /// The function `name` of `module` that has this type: two have one name. Those that a dialect adds
    /// are found in its name alone.
    pub(super) fn of_type(
        module: &str,
        name: &str,
        ty: &Signature,
        added_by: Option<&str>,
    ) -> Option<&'static Self> {
        let is_it = |function: &&Self| {
            function.module == module && function.name == name && function.added_by == added_by
        };
        all().filter(is_it).find(|function| function.has_type(ty))
    }

    /// Where it stands in [`FUNCTIONS`], and the [`OTHER_TYPES`] behind them.
    pub(crate) fn index(&self) -> Option<usize> {
        all().position(|function| std::ptr::eq(function, self))
    }

    /// What a call does less than its description says, if there is such a thing.
    pub fn note(&self) -> Option<&'static str> {
        let notes = if self.added_by.is_some() { NOTES_OF_ADDED } else { NOTES };
        self.refused.or_else(|| notes.iter().find(|(name, _)| *name == self.name).map(|(_, note)| *note))
    }

    /// Whether an import of type `ty` can be linked to it.
    pub(crate) fn has_type(&self, ty: &Signature) -> bool {
        let same = |ours: &[CoreType], theirs: &[Option<CoreType>]| {
            ours.iter().copied().map(Some).eq(theirs.iter().copied())
        };
        same(self.params, &ty.params) && same(self.result.as_slice(), &ty.results)
    }
}

include!(concat!(env!("OUT_DIR"), "/functions.rs"));

fn all() -> impl Iterator<Item = &'static Function> {
    FUNCTIONS.iter().chain(&OTHER_TYPES)
}

/// Functions that do a part of what they are for.
const NOTES: &[(&str, &str)] = &[
    ("clock_time_set", "always EPERM: the clock is the host's"),
    ("port_addr_list", "those that --listen and --udp-bind grant"),
    ("port_route_list", "the networks that --connect and --udp-send grant; no gateways"),
    ("proc_fork", "needs `--asyncify`, else ENOTSUP"),
    ("proc_spawn", "no root of its own: ENOTSUP"),
    ("sock_open", "no raw sockets: ENOTSUP"),
    ("stack_checkpoint", "returns once without `--asyncify`"),
    ("stack_restore", "traps without `--asyncify`"),
    ("thread_spawn", "no reactor threads: ENOTSUP"),
    ("tty_set", "ENOTSUP: the terminal is the operator's"),
];

/// The same of functions that a dialect adds to the import module of another one.
const NOTES_OF_ADDED: &[(&str, &str)] = &[
    ("sock_addr_resolve", "names of services: the usual ones, and numbers"),
    ("sock_getaddrinfo", "names of services: the usual ones, and numbers"),
    ("sock_setsockopt", "to a device: EPERM"),
];

/// Functions of WASIX that the host lacks: importing one is no error, calling it
/// fails with `ENOSYS` if it returns at all.
pub const LACKING: &[&str] = &[
    "bus_call",
    "bus_close",
    "bus_open_local",
    "bus_open_remote",
    "bus_poll",
    "bus_subcall",
    "call_close",
    "call_fault",
    "call_reply",
    "callback_reactor",
    "callback_thread",
    "callback_thread_local_destroy",
    "http_request",
    "http_status",
    "ws_connect",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(module: &str, name: &str) -> Option<String> {
        let function = Function::find(module, name)?;
        let text = |ty: &CoreType| match ty {
            CoreType::I32 => "i",
            CoreType::I64 => "I",
            CoreType::F64 => "F",
        };
        let params: String = function.params.iter().map(text).collect();
        let result: String = function.result.iter().map(text).collect();
        Some(format!("{params}:{result}"))
    }

    /// Core types as section 2 of the ABI's description has them; `I` is 64 bits, `F` too.
    #[test]
    fn core_types_are_the_abis() {
        let preview1 = "args_get ii:i, args_sizes_get ii:i, environ_get ii:i, environ_sizes_get ii:i, \
            clock_res_get ii:i, clock_time_get iIi:i, fd_advise iIIi:i, fd_allocate iII:i, fd_close i:i, \
            fd_datasync i:i, fd_sync i:i, fd_fdstat_get ii:i, fd_fdstat_set_flags ii:i, \
            fd_fdstat_set_rights iII:i, fd_filestat_get ii:i, fd_filestat_set_size iI:i, \
            fd_filestat_set_times iIIi:i, fd_pread iiiIi:i, fd_pwrite iiiIi:i, fd_prestat_get ii:i, \
            fd_prestat_dir_name iii:i, fd_read iiii:i, fd_write iiii:i, fd_readdir iiiIi:i, \
            fd_renumber ii:i, fd_seek iIii:i, fd_tell ii:i, path_create_directory iii:i, \
            path_filestat_get iiiii:i, path_filestat_set_times iiiiIIi:i, path_link iiiiiii:i, \
            path_open iiiiiIIii:i, path_readlink iiiiii:i, path_remove_directory iii:i, \
            path_unlink_file iii:i, path_rename iiiiii:i, path_symlink iiiii:i, poll_oneoff iiii:i, \
            proc_exit i:, proc_raise i:i, random_get ii:i, sched_yield :i, sock_recv iiiiii:i, \
            sock_send iiiii:i, sock_shutdown ii:i";
        let wasix = "sock_open iiii:i, sock_bind ii:i, sock_listen ii:i, sock_accept iiii:i, \
            sock_accept_v2 iiii:i, sock_connect ii:i, sock_recv_from iiiiiii:i, sock_send_to iiiiii:i, \
            sock_send_file iiIIi:i, sock_status ii:i, sock_addr_local ii:i, sock_addr_peer ii:i, \
            sock_set_opt_flag iii:i, sock_get_opt_flag iii:i, sock_set_opt_time iii:i, \
            sock_join_multicast_v4 iii:i, \
            sock_join_multicast_v6 iii:i, sock_leave_multicast_v4 iii:i, sock_leave_multicast_v6 iii:i, \
            sock_get_opt_time iii:i, sock_set_opt_size iiI:i, sock_get_opt_size iii:i, fd_dup ii:i, \
            fd_dup2 iiii:i, fd_renumber ii:i, fd_fdflags_get ii:i, fd_fdflags_set ii:i, \
            epoll_create i:i, epoll_ctl iiii:i, epoll_wait iiiIi:i, fd_event Iii:i, fd_pipe ii:i, \
            sock_pair iiiii:i, sock_send_msg iiiiiiii:i, sock_recv_msg iiiiiiiiii:i, \
            path_open2 iiiiiIIiii:i, getcwd ii:i, chdir ii:i, clock_time_set iI:i, tty_get i:i, \
            tty_set i:i, resolve iiiiii:i, thread_id i:i, thread_spawn IIIii:i, thread_spawn_v2 ii:i, thread_join i:i, \
            thread_exit i:, thread_sleep I:i, thread_parallelism i:i, \
            thread_local_create Ii:i, thread_local_destroy i:i, thread_local_set iI:i, \
            thread_local_get ii:i, futex_wait iiii:i, futex_wake ii:i, futex_wake_all ii:i, \
            proc_exit2 i:, proc_id i:i, proc_parent ii:i, proc_signals_sizes_get i:i, \
            proc_signals_get i:i, callback_signal ii:, thread_signal ii:i, proc_signal ii:i, \
            proc_raise_interval iIi:i, proc_exec iiii:, proc_exec2 iiiiii:, proc_join iii:i, \
            stack_checkpoint ii:i, stack_restore iI:, proc_fork ii:i, \
            proc_fork_env i:i, proc_exec3 iiiiiiiii:i, proc_exec4 iiiiiiiii:i, \
            proc_spawn iiiiiiiiiiiii:i, proc_spawn2 iiiiiiiiiiiiii:i, proc_spawn3 iiiiiiiiiiiiii:i, \
            proc_snapshot :i, dlopen iiiiiiii:i, dlsym iiiiii:i, dl_invalid_handle i:i, \
            call_dynamic iiiiii:i, closure_allocate i:i, closure_prepare iiiiiii:i, \
            closure_free i:i, reflect_signature iiiiii:i, context_create ii:i, \
            context_switch I:i, context_destroy I:i, port_addr_list ii:i, port_route_list ii:i, \
            port_mac i:i, port_bridge iiiii:i, port_unbridge :i, port_dhcp_acquire :i, \
            port_addr_add i:i, port_addr_remove i:i, port_addr_clear :i, port_gateway_set i:i, \
            port_route_add iiii:i, port_route_remove i:i, port_route_clear :i";
        let rows = |module: &'static str, text: &str| -> Vec<(&'static str, String, String)> {
            let row = |row: &str| row.split_once(' ').map(|(n, s)| (module, n.to_owned(), s.to_owned()));
            text.split(", ").filter_map(row).collect()
        };
        let mut expected = rows("wasi_snapshot_preview1", preview1);
        expected.push(("wasi_snapshot_preview1", "sock_accept".into(), "iii:i".into()));
        let shared = rows("wasix_32v1", preview1).into_iter().filter(|(_, name, _)| name != "fd_renumber");
        expected.extend(shared);
        expected.extend(rows("wasix_32v1", wasix));
        expected.extend(rows("wasi_unstable", preview1));
        expected.push(("wasi", "thread-spawn".into(), "i:i".into()));
        let env = "abort iiii:, trace iiFFFFF:, seed :F, emscripten_notify_memory_growth i:";
        expected.extend(rows("env", env));
        let own: Vec<_> = FUNCTIONS.iter().filter(|function| function.added_by.is_none()).collect();
        for (module, name, types) in &expected {
            assert_eq!(signature(module, name).as_ref(), Some(types), "{module}.{name}");
        }
        assert_eq!(expected.len(), own.len());
        // The first generation's.
        let others = OTHER_TYPES.iter().filter(|function| function.added_by.is_none());
        let others = others.map(|function| (function.module, function.name, function.params));
        let two: &[CoreType] = &[CoreType::I32, CoreType::I32];
        assert!(others.eq([("wasix_32v1", "proc_join", two)]));
    }

    /// What WasmEdge adds, each name with all the numbers of parameters that it has.
    #[test]
    fn core_types_of_wasmedge_are_the_abis() {
        let expected = "sock_open 3, sock_open_v2 3, sock_bind 3, sock_bind_v2 3, sock_listen 2, \
            sock_listen_v2 2, sock_accept 2, sock_accept_v2 3, sock_connect 3, sock_connect_v2 3, \
            sock_recv_v2 6, sock_recv_from 7, sock_recv_from 8, sock_recv_from 6, sock_recv_from_v2 8, \
            sock_send_v2 5, sock_send_to 7, sock_send_to 6, sock_send_to_v2 7, sock_getlocaladdr 4, \
            sock_getlocaladdr_v2 3, sock_getpeeraddr 4, sock_getpeeraddr_v2 3, sock_getsockopt 5, \
            sock_setsockopt 5, sock_getaddrinfo 8, epoll_oneoff 4";
        let mut expected: Vec<_> = expected.split(", ").map(str::to_owned).collect();
        let mut found = Vec::new();
        for function in all().filter(|function| function.added_by == Some("wasmedge")) {
            assert_eq!(function.module, "wasi_snapshot_preview1");
            assert!(function.params.iter().all(|ty| *ty == CoreType::I32), "{}", function.name);
            found.push(format!("{} {}", function.name, function.params.len()));
        }
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    /// What WAMR adds: `I` is 64 bits.
    #[test]
    fn core_types_of_wamr_are_the_abis() {
        let expected = "sock_open iiii, sock_bind ii, sock_listen ii, sock_connect ii, sock_close i, \
            sock_recv_from iiiiii, sock_send_to iiiiii, sock_addr_local ii, sock_addr_remote ii, \
            sock_addr_resolve iiiiii, sock_set_recv_timeout iI, sock_get_recv_timeout ii, \
            sock_set_send_timeout iI, sock_get_send_timeout ii, sock_set_linger iii, sock_get_linger iii, \
            sock_set_ip_multicast_loop iii, sock_get_ip_multicast_loop iii, \
            sock_set_ip_add_membership iii, sock_set_ip_drop_membership iii";
        let mut expected: Vec<_> = expected.split(", ").map(str::to_owned).collect();
        for option in [
            "recv_buf_size",
            "send_buf_size",
            "reuse_addr",
            "reuse_port",
            "keep_alive",
            "broadcast",
            "tcp_no_delay",
            "tcp_quick_ack",
            "tcp_fastopen_connect",
            "ipv6_only",
            "tcp_keep_idle",
            "tcp_keep_intvl",
            "ip_ttl",
            "ip_multicast_ttl",
        ] {
            expected.extend(["set", "get"].map(|way| format!("sock_{way}_{option} ii")));
        }
        let mut found = Vec::new();
        for function in all().filter(|function| function.added_by == Some("wamr")) {
            assert_eq!(function.module, "wasi_snapshot_preview1");
            assert_eq!(function.result, Some(CoreType::I32), "{}", function.name);
            let params = function.params.iter().map(|ty| if *ty == CoreType::I32 { 'i' } else { 'I' });
            found.push(format!("{} {}", function.name, params.collect::<String>()));
        }
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_lacking_is_not_there() {
        for name in LACKING {
            assert!(FUNCTIONS.iter().all(|function| function.name != *name), "{name}");
        }
        assert!(LACKING.is_sorted());
    }

    #[test]
    fn notes_are_of_functions() {
        for (name, _) in NOTES.iter().chain(NOTES_OF_ADDED) {
            assert!(FUNCTIONS.iter().any(|function| function.name == *name), "{name}");
        }
    }

    #[test]
    fn no_function_is_there_twice() {
        let mut names: Vec<_> = FUNCTIONS.iter().map(|f| (f.module, f.added_by, f.name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FUNCTIONS.len());
    }

    #[test]
    fn arguments_cover_the_parameters() {
        for function in &FUNCTIONS {
            let values: usize = function.arguments.iter().map(|a| 1 + usize::from(a.kind.has_length())).sum();
            assert_eq!(values, function.params.len(), "{}", function.name);
        }
    }
}
