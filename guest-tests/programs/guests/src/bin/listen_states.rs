//! `sock_listen` in every state of a socket and on everything else.

use std::fs::File;
use std::os::fd::AsRawFd;
use wasix::descriptor::right;
use wasix::errno::*;
use wasix::socket::*;
use wasix::{check, check_eq, check_ok, descriptor};

fn main() {
    let fresh = check_ok!(open(INET4, STREAM, TCP));
    check_eq!(listen(fresh, 4), Err(EINVAL), "fresh");

    // A refusal changes nothing: it still binds and listens.
    check_ok!(bind(fresh, loopback(0)));
    check_ok!(listen(fresh, 4));
    for backlog in [4, 0, 1, 128, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        check_eq!(listen(fresh, backlog), Ok(()), "again, backlog {backlog}");
    }

    // Each backlog is good for the first call too, and a client can come in.
    for backlog in [0, 1, 128, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let fd = check_ok!(open(INET4, STREAM, TCP));
        check_ok!(bind(fd, loopback(0)));
        check_eq!(listen(fd, backlog), Ok(()), "backlog {backlog}");
        let (near, far) = check_ok!(connected(fd));
        for fd in [near, far, fd] {
            check_ok!(descriptor::close(fd));
        }
    }

    let (near, far) = check_ok!(connected(fresh));
    check_eq!(listen(near, 4), Err(EISCONN), "connected");
    check_eq!(listen(far, 4), Err(EISCONN), "accepted");
    check_ok!(send_all(near, b"still there"));
    let mut buf = [0; 32];
    check_eq!(recv(far, &mut buf, 0), Ok(11));

    let closed = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(descriptor::close(closed));
    check_eq!(listen(closed, 4), Err(EBADF), "closed");
    check_eq!(listen(u32::MAX, 4), Err(EBADF), "negative");
    check_eq!(listen(1 << 31, 4), Err(EBADF), "negative");

    for stdio in 0..3 {
        check_eq!(listen(stdio, 4), Err(ENOTSOCK), "stdio {stdio}");
    }
    let folder = 3;
    check_eq!(check_ok!(descriptor::fdstat(folder)).filetype, descriptor::DIRECTORY);
    check_eq!(listen(folder, 4), Err(ENOTSOCK), "folder");
    let file = File::create("listen_states.tmp").unwrap();
    check_eq!(listen(file.as_raw_fd() as u32, 4), Err(ENOTSOCK), "file");

    if let Ok(dgram) = open(INET4, DGRAM, UDP) {
        check_eq!(listen(dgram, 4), Err(ENOTSUP), "datagram");
    }

    let limited = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(bind(limited, loopback(0)));
    check_ok!(descriptor::drop_rights(limited, right::SOCK_LISTEN));
    check_eq!(listen(limited, 4), Err(ENOTCAPABLE), "without the right");

    // The state is asked before the policy: an unbound socket is EINVAL even
    // where nothing is granted.
    let v6 = open(INET6, STREAM, TCP);
    check!(v6.is_ok(), "an IPv6 socket");
    check_eq!(listen(v6.unwrap(), 4), Err(EINVAL), "fresh, IPv6");

    // The last duplicate decides how long a listener lives.
    let listener = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(bind(listener, loopback(0)));
    check_ok!(listen(listener, 4));
    let twin = check_ok!(descriptor::dup(listener));
    check_ok!(descriptor::close(listener));
    check_ok!(connected(twin));
    let addr = check_ok!(addr_local(twin));
    check_ok!(descriptor::close(twin));
    let late = check_ok!(open(INET4, STREAM, TCP));
    check_eq!(connect(late, addr), Err(ECONNREFUSED));
}
