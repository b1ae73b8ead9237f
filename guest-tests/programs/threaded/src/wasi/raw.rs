//! The imports of each generation.

// What both preview 1 and WASIX have: programs of the first generation take it from the
// latter.
#[cfg_attr(not(feature = "v1"), link(wasm_import_module = "wasi_snapshot_preview1"))]
#[cfg_attr(feature = "v1", link(wasm_import_module = "wasix_32v1"))]
unsafe extern "C" {
    pub fn args_get(argv: u32, argv_buf: u32) -> i32;
    pub fn args_sizes_get(ret_argc: u32, ret_size: u32) -> i32;
    pub fn clock_time_get(id: u32, precision: u64, ret: u32) -> i32;
    pub fn fd_close(fd: u32) -> i32;
    pub fn fd_fdstat_set_flags(fd: u32, flags: u32) -> i32;
    pub fn fd_read(fd: u32, iovs: u32, iovs_len: u32, ret: u32) -> i32;
    pub fn fd_write(fd: u32, iovs: u32, iovs_len: u32, ret: u32) -> i32;
    pub fn poll_oneoff(subscriptions: u32, events: u32, count: u32, ret: u32) -> i32;
    pub fn proc_exit(code: u32) -> !;
    pub fn sock_recv(fd: u32, iovs: u32, iovs_len: u32, riflags: u32, ret: u32, ret_roflags: u32) -> i32;
    pub fn sock_send(fd: u32, iovs: u32, iovs_len: u32, siflags: u32, ret: u32) -> i32;
}

#[link(wasm_import_module = "wasix_32v1")]
unsafe extern "C" {
    pub fn callback_signal(name: u32, len: u32);
    pub fn epoll_create(ret: u32) -> i32;
    pub fn epoll_ctl(epfd: u32, op: u32, fd: u32, event: u32) -> i32;
    pub fn epoll_wait(epfd: u32, events: u32, maxevents: u32, timeout: u64, ret: u32) -> i32;
    pub fn fd_dup(fd: u32, ret: u32) -> i32;
    pub fn fd_event(initial: u64, flags: u32, ret: u32) -> i32;
    pub fn fd_pipe(ret_read: u32, ret_write: u32) -> i32;
    pub fn futex_wait(futex: u32, expected: u32, timeout: u32, ret: u32) -> i32;
    pub fn futex_wake(futex: u32, ret: u32) -> i32;
    pub fn futex_wake_all(futex: u32, ret: u32) -> i32;
    pub fn sock_addr_local(fd: u32, ret: u32) -> i32;
    pub fn sock_bind(fd: u32, addr: u32) -> i32;
    pub fn sock_connect(fd: u32, addr: u32) -> i32;
    pub fn sock_listen(fd: u32, backlog: u32) -> i32;
    pub fn sock_open(family: u32, kind: u32, protocol: u32, ret: u32) -> i32;
    pub fn sock_pair(family: u32, kind: u32, protocol: u32, ret0: u32, ret1: u32) -> i32;
    pub fn thread_id(ret: u32) -> i32;
    pub fn thread_join(tid: u32) -> i32;
    pub fn thread_sleep(duration: u64) -> i32;
}

#[cfg(not(feature = "v1"))]
#[link(wasm_import_module = "wasix_32v1")]
unsafe extern "C" {
    #[link_name = "sock_accept_v2"]
    pub fn sock_accept(fd: u32, flags: u32, ret: u32, ret_addr: u32) -> i32;
}

#[cfg(not(feature = "v1"))]
#[link(wasm_import_module = "wasi")]
unsafe extern "C" {
    #[link_name = "thread-spawn"]
    pub fn thread_spawn(start: u32) -> i32;
}

#[cfg(feature = "v1")]
#[link(wasm_import_module = "wasix_32v1")]
unsafe extern "C" {
    pub fn sock_accept(fd: u32, flags: u32, ret: u32, ret_addr: u32) -> i32;
    pub fn thread_spawn(user_data: u64, stack_base: u64, stack_start: u64, reactor: u32, ret: u32) -> i32;
}
