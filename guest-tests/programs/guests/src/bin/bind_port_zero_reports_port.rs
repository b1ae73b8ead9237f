//! Port 0: the host chooses, and `sock_addr_local` tells what it chose.

use wasix::socket::*;
use wasix::{check, check_eq, check_ok};

fn main() {
    let fd = check_ok!(open(INET4, STREAM, TCP));
    let before = check_ok!(addr_local(fd));
    check_eq!(before.port(), 0);
    check!(before.ip().is_unspecified(), "a fresh socket has {before}");

    check_ok!(bind(fd, loopback(0)));
    let bound = check_ok!(addr_local(fd));
    check!(bound.port() != 0, "the port of a bound socket");
    check_eq!(bound.ip(), loopback(0).ip());

    check_ok!(listen(fd, 4));
    check_eq!(addr_local(fd), Ok(bound));

    let client = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(connect(client, bound));
    let (accepted, peer) = check_ok!(accept_v2(fd, 0));
    check_eq!(addr_local(accepted), Ok(bound));
    check_eq!(addr_peer(client), Ok(bound));
    check_eq!(addr_local(client), Ok(peer));

    // Of the 110 bytes the host writes what the address needs and no more: the
    // programs of 2022 have space for 20.
    let mut bytes = AddrPort::unwritten();
    let answer = unsafe { wasix::raw::wasix::sock_addr_local(fd, wasix::address_of_mut(&mut bytes)) };
    check_eq!(answer, 0);
    check!(bytes.0[20..].iter().all(|&byte| byte == 0xaa), "bytes behind an IPv4 address");
    println!("{}", bound.port());
}
