//! What `sock_connect` refuses, and how a connection comes up without waiting.
//! Granted: 127.0.0.1 on every port.

use std::net::SocketAddr;
use wasix::descriptor::right;
use wasix::errno::*;
use wasix::poll::{FD_WRITE, MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::{Fd, check, check_eq, check_ok, descriptor};

fn main() {
    let (listener, addr) = check_ok!(listener());
    let closed = free_address();

    let fd = check_ok!(open(INET4, STREAM, TCP));
    check_eq!(status(fd), Ok(0));
    check_eq!(connect(fd, "192.0.2.1:80".parse().unwrap()), Err(EACCES));
    let v6: SocketAddr = "[::1]:80".parse().unwrap();
    check_eq!(connect(fd, v6), Err(EAFNOSUPPORT));
    for tag in [0, 3, 4, 255] {
        check_eq!(connect_raw(fd, &AddrPort::of_family(tag)), Err(EAFNOSUPPORT), "tag {tag}");
    }
    check_eq!(addr_peer(fd), Err(ENOTCONN));
    check_eq!(connect(fd, closed), Err(ECONNREFUSED));

    let fd = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(connect(fd, addr));
    check_eq!(status(fd), Ok(1));
    check_eq!(connect(fd, addr), Err(EISCONN));
    let accepted = check_ok!(accept_v2(listener, 0)).0;
    check_eq!(connect(accepted, addr), Err(EISCONN));
    let answer = connect(listener, addr);
    check!(matches!(answer, Err(EISCONN | ENOTSUP | EINVAL)), "a listener answered {answer:?}");

    // From a chosen address.
    let chosen = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(bind(chosen, loopback(0)));
    let local = check_ok!(addr_local(chosen));
    check_ok!(connect(chosen, addr));
    check_eq!(check_ok!(accept_v2(listener, 0)).1, local);

    without_waiting(listener, addr, closed);
    after_a_failure(listener, addr, closed);

    check_eq!(connect(900, addr), Err(EBADF));
    check_eq!(connect(1, addr), Err(ENOTSOCK));
    check_eq!(connect(3, addr), Err(ENOTSOCK));
    let limited = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(descriptor::drop_rights(limited, right::SOCK_CONNECT));
    check_eq!(connect(limited, addr), Err(ENOTCAPABLE));
}

fn without_waiting(listener: Fd, addr: SocketAddr, closed: SocketAddr) {
    let fd = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(descriptor::set_nonblocking(fd));
    match connect(fd, addr) {
        Ok(()) => {}
        Err(errno) => {
            check_eq!(errno, EINPROGRESS);
            wait_until_writable(fd);
        }
    }
    check_eq!(status(fd), Ok(1));
    check_eq!(size(fd, option::LAST_ERROR), Ok(0));
    check_eq!(addr_peer(fd), Ok(addr));
    check_eq!(connect(fd, addr), Err(EISCONN));
    check_ok!(accept_v2(listener, 0));

    let fd = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(descriptor::set_nonblocking(fd));
    let first = connect(fd, closed);
    if first == Err(EINPROGRESS) {
        wait_until_writable(fd);
        check_eq!(status(fd), Ok(3));
        check_eq!(size(fd, option::LAST_ERROR), Ok(u64::from(ECONNREFUSED.0)));
        // "consumed by reading"
        check_eq!(size(fd, option::LAST_ERROR), Ok(0));
    } else {
        check_eq!(first, Err(ECONNREFUSED));
    }
    check!(send(fd, b"x", 0).is_err(), "sending after a failed connect");
}

/// A socket whose attempt failed is as it was before: it tells why once, and then it
/// connects, or listens at the address that it had.
fn after_a_failure(listener: Fd, addr: SocketAddr, closed: SocketAddr) {
    let failed = || {
        let fd = check_ok!(open(INET4, STREAM, TCP));
        check_ok!(bind(fd, loopback(0)));
        let local = check_ok!(addr_local(fd));
        check_ok!(descriptor::set_nonblocking(fd));
        check_eq!(connect(fd, closed), Err(EINPROGRESS));
        wait_until_writable(fd);
        check_eq!(addr_local(fd), Ok(local));
        (fd, local)
    };
    let (fd, local) = failed();
    check_eq!(shutdown(fd, SHUT_RDWR), Err(ENOTCONN));
    check_eq!(connect(fd, addr), Err(ECONNREFUSED));
    check_eq!(connect(fd, addr), Err(EINPROGRESS));
    check_eq!(check_ok!(accept_v2(listener, 0)).1, local);

    let (fd, local) = failed();
    check_ok!(listen(fd, 4));
    check_eq!(addr_local(fd), Ok(local));
    check_ok!(connected(listener));
    check_ok!(connect(check_ok!(open(INET4, STREAM, TCP)), local));

    let fd = check_ok!(open(INET4, STREAM, TCP));
    check_eq!(connect(fd, closed), Err(ECONNREFUSED));
    check_eq!(addr_local(fd).map(|addr| addr.port()), Ok(0));
    check_ok!(connect(fd, addr));
    check_ok!(accept_v2(listener, 0));
}

fn wait_until_writable(fd: Fd) {
    let limit = Subscription::clock(MONOTONIC, 5_000_000_000, 2);
    let events = check_ok!(poll(&[Subscription::write(fd, 1), limit]));
    check_eq!(events.len(), 1);
    check_eq!((events[0].userdata, events[0].kind), (1, FD_WRITE));
}

/// An address without a listener.
fn free_address() -> SocketAddr {
    let (fd, addr) = check_ok!(listener());
    check_ok!(descriptor::close(fd));
    addr
}
