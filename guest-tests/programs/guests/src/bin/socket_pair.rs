//! Pairs of sockets: bytes both ways, and ends of either direction.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::socket::option::{NO_DELAY, TYPE};
use wasix::socket::{self, DGRAM, INET4, INET6, RAW, SEQPACKET, STREAM, TCP, UDP, UNIX};
use wasix::wait::*;
use wasix::{check_eq, check_ok, unix};

const PEEK: u32 = 1;
const WAIT_ALL: u32 = 2;
const TRUNCATED: u32 = 4;
const DONT_WAIT: u32 = 8;

fn main() {
    both_ways();
    half_closed();
    closed();
    messages();
    names();
    no_ordinary_sockets();
}

fn both_ways() {
    for (family, protocol) in [(INET4, 0), (INET4, TCP), (INET6, TCP), (UNIX, 0)] {
        let (near, far) = check_ok!(pair(family, STREAM, protocol));
        check_eq!(check_ok!(fdstat(near)).filetype, SOCKET_STREAM);
        for (from, to) in [(near, far), (far, near)] {
            check_eq!(socket::recv(to, &mut [0; 8], DONT_WAIT), Err(EAGAIN));
            check_eq!(socket::send(from, b"hello", 0), Ok(5));
            let mut buf = [0; 8];
            check_eq!(socket::recv(to, &mut buf, PEEK), Ok(5));
            check_eq!(socket::recv(to, &mut buf[..2], WAIT_ALL), Ok(2));
            check_eq!(read(to, &mut buf), Ok(3));
            check_eq!(&buf[..3], b"llo");
            check_eq!(write(from, b"by write"), Ok(8));
            check_eq!(socket::recv(to, &mut buf, 0), Ok(8));
        }
    }
}

fn half_closed() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let watch = check_ok!(epoll());
    check_ok!(add(watch, far, IN | RDHUP));
    check_eq!(now(watch), Ok(vec![]));
    check_eq!(socket::send(near, b"last", 0), Ok(4));
    check_eq!(next(watch), Ok(vec![(far, IN)]));
    check_ok!(socket::shutdown(near, 2));
    check_eq!(next(watch), Ok(vec![(far, IN | RDHUP)]));
    check_eq!(socket::send(near, b"x", 0), Err(EPIPE));
    check_eq!(socket::recv(far, &mut [0; 8], 0), Ok(4));
    check_eq!(socket::recv(far, &mut [0; 8], 0), Ok(0));
    // The other direction goes on.
    check_eq!(socket::send(far, b"answer", 0), Ok(6));
    check_eq!(socket::recv(near, &mut [0; 8], 0), Ok(6));
    check_ok!(socket::shutdown(far, 1));
    check_ok!(socket::shutdown(far, 3));
    check_eq!(next(watch), Ok(vec![(far, IN | RDHUP | HUP)]));
    check_eq!(socket::shutdown(far, 4), Err(EINVAL));
}

fn closed() {
    let (near, far) = check_ok!(pair(INET4, STREAM, 0));
    check_eq!(socket::send(near, b"left", 0), Ok(4));
    check_ok!(close(near));
    check_eq!(socket::recv(far, &mut [0; 8], 0), Ok(4));
    check_eq!(socket::recv(far, &mut [0; 8], 0), Ok(0));
    check_eq!(socket::send(far, b"x", 0), Err(EPIPE));
}

/// Messages keep their boundaries, whole or cut.
fn messages() {
    for (kind, filetype) in [(DGRAM, SOCKET_DGRAM), (SEQPACKET, SOCKET_SEQPACKET)] {
        let (near, far) = check_ok!(pair(UNIX, kind, 0));
        check_eq!(check_ok!(fdstat(near)).filetype, filetype);
        check_eq!(socket::size(near, TYPE), Ok(kind.into()));
        for message in ["one", "", "three", "fourth"] {
            check_eq!(socket::send(near, message.as_bytes(), 0), Ok(message.len()));
        }
        let mut buf = [0; 4];
        check_eq!(unix::recv(far, &mut buf, PEEK), Ok((3, false)));
        check_eq!(unix::recv(far, &mut buf, WAIT_ALL), Ok((3, false)));
        check_eq!(unix::recv(far, &mut buf, 0), Ok((0, false)), "an empty message is one");
        check_eq!(unix::recv(far, &mut buf, 0), Ok((4, true)), "the rest is gone");
        check_eq!(unix::recv(far, &mut buf, TRUNCATED), Ok((6, true)), "its whole length");
        check_eq!(unix::recv(far, &mut buf, DONT_WAIT), Err(EAGAIN));
        check_eq!(unix::recv_from(far, &mut buf, DONT_WAIT).err(), Some(EAGAIN));
        // A wait for an empty buffer is one for a message.
        check_ok!(set_flags(near, NONBLOCK));
        check_eq!(read(near, &mut []), Err(EAGAIN));
    }
}

fn names() {
    for kind in [STREAM, DGRAM, SEQPACKET] {
        let (near, far) = check_ok!(pair(UNIX, kind, 0));
        for end in [near, far] {
            check_eq!(unix::local(end), Ok(String::new()));
            check_eq!(unix::peer(end), Ok(String::new()));
            check_eq!(socket::status(end), Ok(1));
        }
    }
}

fn no_ordinary_sockets() {
    check_eq!(pair(0, STREAM, 0), Err(EAFNOSUPPORT));
    check_eq!(pair(9, STREAM, 0), Err(EAFNOSUPPORT));
    check_eq!(pair(INET4, SEQPACKET, 0), Err(ENOTSUP));
    check_eq!(pair(UNIX, RAW, 0), Err(ENOTSUP));
    check_eq!(pair(INET4, 77, 0), Err(EINVAL));
    check_eq!(pair(INET4, STREAM, 77), Err(EPROTONOSUPPORT));
    check_eq!(pair(INET4, STREAM, UDP), Err(EPROTONOSUPPORT));
    check_eq!(pair(UNIX, STREAM, 77), Err(EPROTONOSUPPORT));
    // What the C library makes of 0.
    for (kind, protocol) in [(STREAM, TCP), (DGRAM, UDP), (SEQPACKET, TCP), (SEQPACKET, UDP)] {
        let (near, far) = check_ok!(pair(UNIX, kind, protocol));
        check_eq!(socket::send(near, b"x", 0), Ok(1));
        check_ok!(wasix::descriptor::close(near));
        check_ok!(wasix::descriptor::close(far));
    }
    let (near, _far) = check_ok!(pair(UNIX, STREAM, 0));
    check_eq!(socket::listen(near, 4), Err(EISCONN));
    check_eq!(socket::accept_v2(near, 0).err(), Some(EINVAL));
    check_eq!(unix::connect(near, "/none"), Err(EISCONN));
    check_eq!(unix::bind(near, "/none"), Err(EINVAL));
    check_eq!(socket::set_flag(near, NO_DELAY, true), Err(ENOPROTOOPT));
    check_ok!(drop_rights(near, right::SOCK_SEND));
    check_eq!(socket::send(near, b"x", 0), Err(ENOTCAPABLE));
}
