//! The calls of WASIX that no other dialect has.

absent! {
    resolve(host: u32, len: u32, port: u32, addrs: u32, naddrs: u32, ret: u32);
    fd_dup(fd: u32, ret: u32);
    fd_dup2(fd: u32, minimum: u32, cloexec: u32, ret: u32);
    fd_fdflags_get(fd: u32, ret: u32);
    fd_fdflags_set(fd: u32, flags: u32);
    fd_renumber(from: u32, to: u32);
    epoll_create(ret: u32);
    epoll_ctl(epfd: u32, op: u32, fd: u32, event: u32);
    epoll_wait(epfd: u32, events: u32, maxevents: u32, timeout: u64, ret: u32);
    fd_event(initial: u64, flags: u32, ret: u32);
    fd_pipe(ret_read: u32, ret_write: u32);
    sock_pair(af: u32, kind: u32, protocol: u32, ret0: u32, ret1: u32);
    sock_send_msg(fd: u32, iovs: u32, iovs_len: u32, flags: u32, addr: u32, control: u32, len: u32, ret: u32);
    sock_recv_msg(
        fd: u32, iovs: u32, iovs_len: u32, flags: u32, addr: u32, control: u32, len: u32, ret: u32,
        ret_roflags: u32, ret_control_len: u32
    );
    getcwd(path: u32, len: u32);
    chdir(path: u32, len: u32);
    proc_signals_sizes_get(ret: u32);
    proc_signals_get(buf: u32);
    proc_id(ret: u32);
    proc_signal(pid: u32, signal: u32);
    thread_id(ret: u32);
    thread_signal(tid: u32, signal: u32);
    proc_raise_interval(signal: u32, interval: u64, repeat: u32);
}

/// There are no callbacks.
pub unsafe extern "C" fn callback_signal(_name: u32, _len: u32) {}
