//! What `sock_bind` refuses. Granted: 127.0.0.1 on every port.

use std::net::SocketAddr;
use wasix::errno::*;
use wasix::socket::*;
use wasix::{check_eq, check_ok, descriptor};

fn main() {
    let fd = check_ok!(open(INET4, STREAM, TCP));

    // The address's family is not the socket's.
    let v6: SocketAddr = "[::1]:0".parse().unwrap();
    check_eq!(bind(fd, v6), Err(EAFNOSUPPORT));
    for tag in [0, 3, 4, 255] {
        check_eq!(bind_raw(fd, &AddrPort::of_family(tag)), Err(EAFNOSUPPORT), "tag {tag}");
    }

    // Not granted, and the refusal leaves the socket as it was.
    check_eq!(bind(fd, "192.0.2.1:80".parse().unwrap()), Err(EACCES));
    check_eq!(bind(fd, "0.0.0.0:80".parse().unwrap()), Err(EACCES));
    check_ok!(bind(fd, loopback(0)));
    let addr = check_ok!(addr_local(fd));

    // "EINVAL: the socket is already bound to an address" - bind(3p)
    check_eq!(bind(fd, loopback(0)), Err(EINVAL));
    check_eq!(addr_local(fd), Ok(addr));
    check_ok!(listen(fd, 4));
    check_eq!(bind(fd, loopback(0)), Err(EINVAL));

    // Two live listeners on one address do not go, unless both share the port.
    let second = check_ok!(open(INET4, STREAM, TCP));
    let taken = bind(second, addr).and_then(|()| listen(second, 4));
    check_eq!(taken, Err(EADDRINUSE));
    check_ok!(descriptor::close(second));

    // A new listener takes the place of a closed one at once.
    let client = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(connect(client, addr));
    let (accepted, _) = check_ok!(accept_v2(fd, 0));
    check_ok!(descriptor::close(accepted));
    check_ok!(descriptor::close(fd));
    let again = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(bind(again, addr));
    check_ok!(listen(again, 4));

    // What is no socket, and what is no descriptor.
    check_eq!(bind(again + 100, loopback(0)), Err(EBADF));
    check_eq!(bind(u32::MAX, loopback(0)), Err(EBADF));
    check_eq!(bind(1, loopback(0)), Err(ENOTSOCK));
    check_eq!(bind(client, loopback(0)), Err(EINVAL));

    let limited = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(descriptor::drop_rights(limited, descriptor::right::SOCK_BIND));
    check_eq!(bind(limited, loopback(0)), Err(ENOTCAPABLE));
}
