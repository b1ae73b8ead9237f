//! Rights of descriptors: what a socket has, how they shrink, that they never grow.

use std::net::{Ipv4Addr, Ipv6Addr};

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::socket::{self, DGRAM, INET4, STREAM, TCP, UDP, option};
use wasix::{Fd, check_eq, check_ok, multicast};

const NEEDED: u64 = right::FD_READ
    | right::FD_WRITE
    | right::POLL
    | right::SOCK_SHUTDOWN
    | right::SOCK_ACCEPT
    | right::SOCK_CONNECT
    | right::SOCK_LISTEN
    | right::SOCK_BIND
    | right::SOCK_RECV
    | right::SOCK_SEND;

fn main() {
    let fd = check_ok!(socket::open(INET4, STREAM, TCP));
    let stat = check_ok!(fdstat(fd));
    check_eq!(stat.filetype, SOCKET_STREAM);
    check_eq!(stat.flags, 0);
    check_eq!(stat.rights_base & NEEDED, NEEDED);
    // A socket has no position.
    check_eq!(stat.rights_base & right::FD_SEEK, 0);

    // Each right that goes takes its call along.
    check_ok!(drop_rights(fd, right::SOCK_BIND));
    check_eq!(socket::bind(fd, socket::loopback(0)), Err(ENOTCAPABLE));
    sets_nothing(fd);
    check_ok!(drop_rights(fd, right::SOCK_CONNECT));
    check_eq!(socket::connect(fd, socket::loopback(1)), Err(ENOTCAPABLE));
    check_eq!(fdstat(fd).unwrap().rights_base & (right::SOCK_BIND | right::SOCK_CONNECT), 0);

    // "fd_fdstat_set_rights: this can only be used to remove rights"
    let left = fdstat(fd).unwrap();
    check_eq!(set_rights(fd, stat.rights_base, stat.rights_inheriting), Err(ENOTCAPABLE));
    check_eq!(set_rights(fd, u64::MAX, 0), Err(ENOTCAPABLE));
    check_eq!(fdstat(fd).unwrap().rights_base, left.rights_base);

    // A duplicate has what the original has, and shrinks alone.
    let copy = check_ok!(dup(fd));
    check_eq!(fdstat(copy).unwrap().rights_base, left.rights_base);
    check_ok!(drop_rights(copy, right::SOCK_LISTEN));
    check_eq!(socket::listen(copy, 1), Err(ENOTCAPABLE));
    check_eq!(socket::listen(fd, 1), Err(EINVAL));

    check_ok!(set_rights(fd, 0, 0));
    check_eq!(socket::listen(fd, 1), Err(ENOTCAPABLE));
    check_eq!(set_flags(fd, NONBLOCK), Err(ENOTCAPABLE));
    for option in [option::RECV_TIMEOUT, option::SEND_TIMEOUT] {
        check_eq!(socket::set_time(fd, option, Some(1)), Err(ENOTCAPABLE));
    }
    // Everyone may ask what it is, and close it.
    check_eq!(fdstat(fd).unwrap().rights_base, 0);
    check_ok!(close(fd));

    // Reading and writing are rights of a connection too.
    let (listener, _) = check_ok!(socket::listener());
    let (near, _far) = check_ok!(socket::connected(listener));
    check_ok!(drop_rights(near, right::FD_READ | right::FD_WRITE));
    check_eq!(read(near, &mut [0; 4]), Err(ENOTCAPABLE));
    check_eq!(write(near, b"x"), Err(ENOTCAPABLE));

    let datagrams = check_ok!(socket::open(INET4, DGRAM, UDP));
    check_ok!(drop_rights(datagrams, right::SOCK_BIND));
    sets_nothing(datagrams);

    check_eq!(fdstat(900).map(drop), Err(EBADF));
    check_eq!(set_rights(900, 0, 0), Err(EBADF));
}

/// What a socket is, is decided no more. How long calls wait is its descriptor's affair.
fn sets_nothing(fd: Fd) {
    use option::*;
    for name in [REUSE_PORT, REUSE_ADDR, NO_DELAY, KEEP_ALIVE] {
        check_eq!(socket::set_flag(fd, name, true), Err(ENOTCAPABLE), "option {name}");
    }
    for name in [RECV_BUF_SIZE, SEND_BUF_SIZE, 77] {
        check_eq!(socket::set_size(fd, name, 65_536), Err(ENOTCAPABLE), "option {name}");
    }
    check_eq!(socket::set_time(fd, LINGER, None), Err(ENOTCAPABLE));
    check_ok!(socket::set_time(fd, RECV_TIMEOUT, None));
    let (group, any) = (Ipv4Addr::new(224, 0, 0, 9), Ipv4Addr::UNSPECIFIED);
    check_eq!(multicast::join_v4(fd, group, any), Err(ENOTCAPABLE));
    check_eq!(multicast::leave_v4(fd, group, any), Err(ENOTCAPABLE));
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 9);
    check_eq!(multicast::join_v6(fd, group, 0), Err(ENOTCAPABLE));
    check_eq!(multicast::leave_v6(fd, group, 0), Err(ENOTCAPABLE));
}
