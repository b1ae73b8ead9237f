//! The imports as they are: every pointer a number, so that a test can pass
//! arbitrary ones.

/// Module `wasi_snapshot_preview1`.
pub mod preview1 {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn args_get(argv: u32, argv_buf: u32) -> i32;
        pub fn args_sizes_get(ret_argc: u32, ret_size: u32) -> i32;
        pub fn environ_get(environ: u32, environ_buf: u32) -> i32;
        pub fn environ_sizes_get(ret_count: u32, ret_size: u32) -> i32;
        pub fn clock_res_get(id: u32, ret: u32) -> i32;
        pub fn clock_time_get(id: u32, precision: u64, ret: u32) -> i32;
        pub fn fd_advise(fd: u32, offset: u64, len: u64, advice: u32) -> i32;
        pub fn fd_allocate(fd: u32, offset: u64, len: u64) -> i32;
        pub fn fd_close(fd: u32) -> i32;
        pub fn fd_datasync(fd: u32) -> i32;
        pub fn fd_fdstat_get(fd: u32, ret: u32) -> i32;
        pub fn fd_fdstat_set_flags(fd: u32, flags: u32) -> i32;
        pub fn fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) -> i32;
        pub fn fd_filestat_get(fd: u32, ret: u32) -> i32;
        pub fn fd_filestat_set_size(fd: u32, size: u64) -> i32;
        pub fn fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32) -> i32;
        pub fn fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, ret: u32) -> i32;
        pub fn fd_prestat_get(fd: u32, ret: u32) -> i32;
        pub fn fd_prestat_dir_name(fd: u32, path: u32, path_len: u32) -> i32;
        pub fn fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, ret: u32) -> i32;
        pub fn fd_read(fd: u32, iovs: u32, iovs_len: u32, ret: u32) -> i32;
        pub fn fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, ret: u32) -> i32;
        pub fn fd_renumber(from: u32, to: u32) -> i32;
        pub fn fd_seek(fd: u32, delta: u64, whence: u32, ret: u32) -> i32;
        pub fn fd_sync(fd: u32) -> i32;
        pub fn fd_tell(fd: u32, ret: u32) -> i32;
        pub fn fd_write(fd: u32, iovs: u32, iovs_len: u32, ret: u32) -> i32;
        pub fn path_create_directory(fd: u32, path: u32, len: u32) -> i32;
        pub fn path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, ret: u32) -> i32;
        pub fn path_filestat_set_times(
            fd: u32,
            flags: u32,
            path: u32,
            len: u32,
            atim: u64,
            mtim: u64,
            fstflags: u32,
        ) -> i32;
        pub fn path_link(
            old_fd: u32,
            flags: u32,
            old: u32,
            old_len: u32,
            new_fd: u32,
            new: u32,
            new_len: u32,
        ) -> i32;
        pub fn path_open(
            fd: u32,
            dirflags: u32,
            path: u32,
            len: u32,
            oflags: u32,
            base: u64,
            inheriting: u64,
            fdflags: u32,
            ret: u32,
        ) -> i32;
        pub fn path_readlink(fd: u32, path: u32, len: u32, buf: u32, buf_len: u32, ret: u32) -> i32;
        pub fn path_remove_directory(fd: u32, path: u32, len: u32) -> i32;
        pub fn path_rename(fd: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> i32;
        pub fn path_symlink(old: u32, old_len: u32, fd: u32, new: u32, new_len: u32) -> i32;
        pub fn path_unlink_file(fd: u32, path: u32, len: u32) -> i32;
        pub fn poll_oneoff(subscriptions: u32, events: u32, count: u32, ret: u32) -> i32;
        pub fn proc_raise(signal: u32) -> i32;
        pub fn random_get(buf: u32, len: u32) -> i32;
        pub fn sched_yield() -> i32;
        pub fn sock_accept(fd: u32, flags: u32, ret: u32) -> i32;
        pub fn sock_recv(
            fd: u32,
            iovs: u32,
            iovs_len: u32,
            riflags: u32,
            ret_len: u32,
            ret_roflags: u32,
        ) -> i32;
        pub fn sock_send(fd: u32, iovs: u32, iovs_len: u32, siflags: u32, ret_len: u32) -> i32;
        pub fn sock_shutdown(fd: u32, how: u32) -> i32;
    }
}

/// Calls that answer `ENOSYS`, and are no imports.
#[cfg(feature = "front")]
macro_rules! absent {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {
        $(pub unsafe extern "C" fn $name($(_: $ty),*) -> i32 { 52 })*
    };
}

#[cfg(feature = "front")]
mod absent;

#[cfg(feature = "wasmedge")]
#[path = "raw/wasmedge.rs"]
pub mod wasix;

#[cfg(feature = "wamr")]
#[path = "raw/wamr.rs"]
pub mod wasix;

/// Module `wasix_32v1`.
#[cfg(not(feature = "front"))]
pub mod wasix {
    #[link(wasm_import_module = "wasix_32v1")]
    unsafe extern "C" {
        pub fn sock_open(family: u32, kind: u32, protocol: u32, ret: u32) -> i32;
        pub fn sock_bind(fd: u32, addr: u32) -> i32;
        pub fn sock_listen(fd: u32, backlog: u32) -> i32;
        pub fn sock_accept(fd: u32, flags: u32, ret: u32, ret_addr: u32) -> i32;
        pub fn sock_accept_v2(fd: u32, flags: u32, ret: u32, ret_addr: u32) -> i32;
        pub fn sock_connect(fd: u32, addr: u32) -> i32;
        pub fn sock_recv_from(
            fd: u32,
            iovs: u32,
            iovs_len: u32,
            riflags: u32,
            ret_len: u32,
            ret_roflags: u32,
            ret_addr: u32,
        ) -> i32;
        pub fn sock_send_to(fd: u32, iovs: u32, iovs_len: u32, siflags: u32, addr: u32, ret_len: u32) -> i32;
        pub fn sock_send_file(out_fd: u32, in_fd: u32, offset: u64, count: u64, ret: u32) -> i32;
        pub fn sock_status(fd: u32, ret: u32) -> i32;
        pub fn sock_addr_local(fd: u32, ret: u32) -> i32;
        pub fn sock_addr_peer(fd: u32, ret: u32) -> i32;
        pub fn sock_set_opt_flag(fd: u32, option: u32, flag: u32) -> i32;
        pub fn sock_get_opt_flag(fd: u32, option: u32, ret: u32) -> i32;
        pub fn sock_set_opt_time(fd: u32, option: u32, time: u32) -> i32;
        pub fn sock_get_opt_time(fd: u32, option: u32, ret: u32) -> i32;
        pub fn sock_set_opt_size(fd: u32, option: u32, size: u64) -> i32;
        pub fn sock_get_opt_size(fd: u32, option: u32, ret: u32) -> i32;
        pub fn sock_join_multicast_v4(fd: u32, group: u32, interface: u32) -> i32;
        pub fn sock_join_multicast_v6(fd: u32, group: u32, interface: u32) -> i32;
        pub fn sock_leave_multicast_v4(fd: u32, group: u32, interface: u32) -> i32;
        pub fn sock_leave_multicast_v6(fd: u32, group: u32, interface: u32) -> i32;
        pub fn resolve(host: u32, len: u32, port: u32, addrs: u32, naddrs: u32, ret: u32) -> i32;
        pub fn port_addr_list(addrs: u32, naddrs: u32) -> i32;
        pub fn port_route_list(routes: u32, nroutes: u32) -> i32;
        pub fn fd_dup(fd: u32, ret: u32) -> i32;
        pub fn fd_dup2(fd: u32, minimum: u32, cloexec: u32, ret: u32) -> i32;
        pub fn fd_fdflags_get(fd: u32, ret: u32) -> i32;
        pub fn fd_fdflags_set(fd: u32, flags: u32) -> i32;
        pub fn fd_renumber(from: u32, to: u32) -> i32;
        pub fn fd_read(fd: u32, iovs: u32, iovs_len: u32, ret: u32) -> i32;
        pub fn fd_write(fd: u32, iovs: u32, iovs_len: u32, ret: u32) -> i32;
        pub fn path_open2(
            fd: u32,
            dirflags: u32,
            path: u32,
            len: u32,
            oflags: u32,
            base: u64,
            inheriting: u64,
            fdflags: u32,
            fdflagsext: u32,
            ret: u32,
        ) -> i32;
        pub fn epoll_create(ret: u32) -> i32;
        pub fn epoll_ctl(epfd: u32, op: u32, fd: u32, event: u32) -> i32;
        pub fn epoll_wait(epfd: u32, events: u32, maxevents: u32, timeout: u64, ret: u32) -> i32;
        pub fn fd_event(initial: u64, flags: u32, ret: u32) -> i32;
        pub fn fd_pipe(ret_read: u32, ret_write: u32) -> i32;
        pub fn sock_pair(af: u32, kind: u32, protocol: u32, ret0: u32, ret1: u32) -> i32;
        pub fn sock_send_msg(
            fd: u32,
            iovs: u32,
            iovs_len: u32,
            flags: u32,
            addr: u32,
            control: u32,
            control_len: u32,
            ret: u32,
        ) -> i32;
        pub fn sock_recv_msg(
            fd: u32,
            iovs: u32,
            iovs_len: u32,
            flags: u32,
            addr: u32,
            control: u32,
            control_len: u32,
            ret: u32,
            ret_roflags: u32,
            ret_control_len: u32,
        ) -> i32;
        pub fn getcwd(path: u32, len: u32) -> i32;
        pub fn chdir(path: u32, len: u32) -> i32;
        pub fn clock_time_set(id: u32, time: u64) -> i32;
        pub fn tty_get(ret: u32) -> i32;
        pub fn tty_set(state: u32) -> i32;
        pub fn thread_id(ret: u32) -> i32;
        pub fn thread_sleep(duration: u64) -> i32;
        pub fn thread_parallelism(ret: u32) -> i32;
        pub fn thread_local_create(user_data: u64, ret: u32) -> i32;
        pub fn thread_local_destroy(key: u32) -> i32;
        pub fn thread_local_set(key: u32, value: u64) -> i32;
        pub fn thread_local_get(key: u32, ret: u32) -> i32;
        pub fn futex_wait(futex: u32, expected: u32, timeout: u32, ret: u32) -> i32;
        pub fn futex_wake(futex: u32, ret: u32) -> i32;
        pub fn futex_wake_all(futex: u32, ret: u32) -> i32;
        pub fn proc_exec(name: u32, name_len: u32, args: u32, args_len: u32) -> !;
        pub fn proc_exec2(name: u32, name_len: u32, args: u32, args_len: u32, envs: u32, envs_len: u32) -> !;
        pub fn proc_exit2(code: u32) -> !;
        pub fn proc_join(pid: u32, flags: u32, status: u32) -> i32;
        pub fn stack_checkpoint(snapshot: u32, ret: u32) -> i32;
        pub fn stack_restore(snapshot: u32, value: u64) -> !;
        pub fn proc_id(ret: u32) -> i32;
        pub fn proc_parent(pid: u32, ret: u32) -> i32;
        pub fn proc_signals_sizes_get(ret: u32) -> i32;
        pub fn proc_signals_get(buf: u32) -> i32;
        pub fn callback_signal(name: u32, len: u32);
        pub fn thread_signal(tid: u32, signal: u32) -> i32;
        pub fn proc_signal(pid: u32, signal: u32) -> i32;
        pub fn proc_raise_interval(signal: u32, interval: u64, repeat: u32) -> i32;
        /// As a child in the memory of its parent calls it: it returns.
        #[link_name = "proc_exit2"]
        pub fn proc_exit2_of_child(code: u32);
        pub fn proc_fork_env(ret: u32) -> i32;
        pub fn proc_exec3(
            name: u32,
            name_len: u32,
            args: u32,
            args_len: u32,
            envs: u32,
            envs_len: u32,
            search_path: u32,
            path: u32,
            path_len: u32,
        ) -> i32;
        pub fn proc_exec4(
            name: u32,
            name_len: u32,
            args: u32,
            args_count: u32,
            envs: u32,
            envs_count: u32,
            search_path: u32,
            path: u32,
            path_len: u32,
        ) -> i32;
        pub fn proc_spawn(
            name: u32,
            name_len: u32,
            chroot: u32,
            args: u32,
            args_len: u32,
            preopen: u32,
            preopen_len: u32,
            stdin: u32,
            stdout: u32,
            stderr: u32,
            working_dir: u32,
            working_dir_len: u32,
            ret: u32,
        ) -> i32;
        pub fn proc_spawn2(
            name: u32,
            name_len: u32,
            args: u32,
            args_len: u32,
            envs: u32,
            envs_len: u32,
            fd_ops: u32,
            fd_ops_count: u32,
            dispositions: u32,
            dispositions_count: u32,
            search_path: u32,
            path: u32,
            path_len: u32,
            ret: u32,
        ) -> i32;
        pub fn proc_spawn3(
            name: u32,
            name_len: u32,
            args: u32,
            args_count: u32,
            envs: u32,
            envs_count: u32,
            fd_ops: u32,
            fd_ops_count: u32,
            dispositions: u32,
            dispositions_count: u32,
            search_path: u32,
            path: u32,
            path_len: u32,
            ret: u32,
        ) -> i32;
    }
}

/// What `wasix_32v1` has and the host refuses.
pub mod refused {
    #[link(wasm_import_module = "wasix_32v1")]
    unsafe extern "C" {
        pub fn proc_fork(copy_memory: u32, ret: u32) -> i32;
        pub fn proc_snapshot() -> i32;
        pub fn dlopen(
            path: u32,
            path_len: u32,
            flags: u32,
            err_buf: u32,
            err_buf_len: u32,
            library_path: u32,
            library_path_len: u32,
            ret: u32,
        ) -> i32;
        pub fn dlsym(
            handle: u32,
            symbol: u32,
            symbol_len: u32,
            err_buf: u32,
            err_buf_len: u32,
            ret: u32,
        ) -> i32;
        pub fn dl_invalid_handle(handle: u32) -> i32;
        pub fn call_dynamic(
            function: u32,
            values: u32,
            values_len: u32,
            results: u32,
            results_len: u32,
            strict: u32,
        ) -> i32;
        pub fn closure_allocate(ret: u32) -> i32;
        pub fn closure_prepare(
            function: u32,
            closure: u32,
            arguments: u32,
            arguments_count: u32,
            results: u32,
            results_count: u32,
            user_data: u32,
        ) -> i32;
        pub fn closure_free(closure: u32) -> i32;
        pub fn reflect_signature(
            function: u32,
            arguments: u32,
            arguments_count: u32,
            results: u32,
            results_count: u32,
            ret: u32,
        ) -> i32;
        pub fn context_create(ret: u32, entry: u32) -> i32;
        pub fn context_switch(context: u64) -> i32;
        pub fn context_destroy(context: u64) -> i32;
        pub fn port_bridge(network: u32, len: u32, token: u32, token_len: u32, security: u32) -> i32;
        pub fn port_unbridge() -> i32;
        pub fn port_dhcp_acquire() -> i32;
        pub fn port_addr_add(addr: u32) -> i32;
        pub fn port_addr_remove(addr: u32) -> i32;
        pub fn port_addr_clear() -> i32;
        pub fn port_gateway_set(addr: u32) -> i32;
        pub fn port_route_add(cidr: u32, via: u32, preferred_until: u32, expires_at: u32) -> i32;
        pub fn port_route_remove(addr: u32) -> i32;
        pub fn port_route_clear() -> i32;
        pub fn port_mac(ret: u32) -> i32;
    }
}

/// Module `wasi_unstable`, as far as it differs from preview 1, and a little more.
pub mod unstable {
    #[link(wasm_import_module = "wasi_unstable")]
    unsafe extern "C" {
        pub fn fd_close(fd: u32) -> i32;
        pub fn fd_filestat_get(fd: u32, ret: u32) -> i32;
        pub fn fd_seek(fd: u32, delta: u64, whence: u32, ret: u32) -> i32;
        pub fn fd_write(fd: u32, iovs: u32, iovs_len: u32, ret: u32) -> i32;
        pub fn path_filestat_get(fd: u32, lookup: u32, path: u32, len: u32, ret: u32) -> i32;
        pub fn poll_oneoff(subscriptions: u32, events: u32, count: u32, ret: u32) -> i32;
    }
}
