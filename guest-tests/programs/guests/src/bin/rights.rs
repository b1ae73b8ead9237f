//! Rights of descriptors: what a socket has, how they shrink, that they never grow.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::socket::{self, INET4, STREAM, TCP};
use wasix::{check_eq, check_ok};

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
    // Everyone may ask what it is, and close it.
    check_eq!(fdstat(fd).unwrap().rights_base, 0);
    check_ok!(close(fd));

    // Reading and writing are rights of a connection too.
    let (listener, _) = check_ok!(socket::listener());
    let (near, _far) = check_ok!(socket::connected(listener));
    check_ok!(drop_rights(near, right::FD_READ | right::FD_WRITE));
    check_eq!(read(near, &mut [0; 4]), Err(ENOTCAPABLE));
    check_eq!(write(near, b"x"), Err(ENOTCAPABLE));

    check_eq!(fdstat(900).map(drop), Err(EBADF));
    check_eq!(set_rights(900, 0, 0), Err(EBADF));
}
