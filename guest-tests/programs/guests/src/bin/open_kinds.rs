//! Every family, type and protocol that `sock_open` may get.

use wasix::descriptor::{SOCKET_DGRAM, SOCKET_STREAM};
use wasix::errno::*;
use wasix::socket::*;
use wasix::{check, check_eq, check_ok, descriptor};

fn main() {
    for family in [INET4, INET6] {
        for protocol in [0, TCP] {
            let fd = check_ok!(open(family, STREAM, protocol));
            check_eq!(check_ok!(descriptor::fdstat(fd)).filetype, SOCKET_STREAM);
            check_ok!(descriptor::close(fd));
        }
        for protocol in [0, UDP] {
            let fd = check_ok!(open(family, DGRAM, protocol));
            check_eq!(check_ok!(descriptor::fdstat(fd)).filetype, SOCKET_DGRAM);
            check_ok!(descriptor::close(fd));
        }
        check_eq!(open(family, STREAM, UDP), Err(EPROTONOSUPPORT));
        check_eq!(open(family, DGRAM, TCP), Err(EPROTONOSUPPORT));
        for protocol in [1, 2, 41, 58, 132, 255, 256, 263, 264, 0xffff, 0x1_0006, u32::MAX] {
            check_eq!(open(family, STREAM, protocol), Err(EPROTONOSUPPORT), "protocol {protocol}");
        }
        check_eq!(open(family, RAW, 0), Err(ENOTSUP));
        check_eq!(open(family, SEQPACKET, 0), Err(ENOTSUP));
        for kind in [0, 5, 6, 255, 256, 257, u32::MAX] {
            let answer = open(family, kind, 0);
            let is_refused = matches!(answer, Err(ENOTSUP | EINVAL | EPROTONOSUPPORT));
            check!(is_refused, "type {kind} answered {answer:?}");
        }
    }
    for family in [0, 4, 5, 10, 255, 256, 257, 0x1_0001, u32::MAX] {
        check_eq!(open(family, STREAM, TCP), Err(EAFNOSUPPORT), "family {family}");
    }
    for (kind, filetype) in
        [(STREAM, SOCKET_STREAM), (DGRAM, SOCKET_DGRAM), (SEQPACKET, descriptor::SOCKET_SEQPACKET)]
    {
        let fd = check_ok!(open(UNIX, kind, 0));
        check_eq!(check_ok!(descriptor::fdstat(fd)).filetype, filetype);
        check_ok!(descriptor::close(fd));
        // What the C library makes of 0.
        for protocol in [TCP, UDP] {
            let fd = check_ok!(open(UNIX, kind, protocol));
            check_eq!(check_ok!(descriptor::fdstat(fd)).filetype, filetype);
            check_ok!(descriptor::close(fd));
        }
        for protocol in [1, 255, 0x1_0000] {
            check_eq!(open(UNIX, kind, protocol), Err(EPROTONOSUPPORT), "protocol {protocol}");
        }
    }
    check_eq!(open(UNIX, RAW, 0), Err(ENOTSUP));
    check_eq!(open(UNIX, 77, 0), Err(EINVAL));
}
