//! `udp [ADDR]`: datagrams from one end to the other inside of one program, at ADDR, whose
//! port is 0. `udp native ADDR`: and to another program, which sends back what it gets.
//! `udp denied ADDR`: where nothing may be sent.

use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, SOCKET_DGRAM, close, fdstat, set_flags};
use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, check, check_eq, check_ok, wait};

const SECOND: u64 = 1_000_000_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let any: SocketAddr = args.last().map_or("127.0.0.1:0", String::as_str).parse().expect("an address");
    match args.first().map(String::as_str) {
        Some("native") => return native_peer(any),
        Some("denied") => return denied(any),
        _ => {}
    }
    addresses(any);
    boundaries(any);
    connected_ones(any);
    refused(any);
    sizes(any);
    no_stream(any);
}

fn fresh(any: SocketAddr) -> Fd {
    check_ok!(open(if any.is_ipv4() { INET4 } else { INET6 }, DGRAM, UDP))
}

fn bound(any: SocketAddr) -> (Fd, SocketAddr) {
    let fd = fresh(any);
    check_ok!(bind(fd, any));
    (fd, check_ok!(addr_local(fd)))
}

fn native_peer(native: SocketAddr) {
    // It has no address of its own until it sends.
    let fd = fresh(native);
    check_eq!(send_to(fd, b"hello", 0, native), Ok(5));
    let mut buf = [0; 16];
    check_eq!(recv_whole(fd, &mut buf, 0), Ok((5, false, native)));
    check_ok!(connect(fd, native));
    check_eq!(send(fd, b"again", 0), Ok(5));
    check_eq!(recv(fd, &mut buf, 0), Ok(5));
    println!("answered");
}

fn denied(there: SocketAddr) {
    let fd = fresh(there);
    check_eq!(send_to(fd, b"x", 0, there), Err(EACCES));
    check_eq!(send_to(fd, b"x", 0, there), Err(EACCES), "each is asked");
    check_eq!(connect(fd, there), Err(EACCES));
    check_eq!(addr_peer(fd), Err(ENOTCONN));
    check_eq!(bind(fd, SocketAddr::new(there.ip(), 0)), Err(EACCES));
    println!("denied");
}

fn addresses(any: SocketAddr) {
    let fd = fresh(any);
    check_eq!(check_ok!(fdstat(fd)).filetype, SOCKET_DGRAM);
    check_eq!((check_ok!(addr_local(fd)).port(), status(fd)), (0, Ok(0)));
    check_eq!(addr_peer(fd), Err(ENOTCONN));
    check_ok!(bind(fd, any));
    let local = check_ok!(addr_local(fd));
    check!(local.port() != 0 && local.ip() == any.ip(), "{local}");
    check_eq!((status(fd), bind(fd, any)), (Ok(1), Err(EINVAL)));
    check_eq!(bind(fresh(any), local), Err(EADDRINUSE));
    let other: SocketAddr = if any.is_ipv4() { "[::1]:0" } else { "127.0.0.1:0" }.parse().unwrap();
    check_eq!(bind(fresh(any), other), Err(EAFNOSUPPORT));
    check_eq!(send_to(fd, b"x", 0, other), Err(EAFNOSUPPORT));
    check_eq!(size(fd, option::TYPE), Ok(DGRAM.into()));
    check_eq!(size(fd, option::PROTO), Ok(UDP.into()));
    check_ok!(set_flag(fd, option::BROADCAST, true));
    check_eq!(flag(fd, option::BROADCAST), Ok(true));
    check_eq!(set_flag(fd, option::NO_DELAY, true), Err(ENOPROTOOPT));
}

fn boundaries(any: SocketAddr) {
    let ((near, from), (far, to)) = (bound(any), bound(any));
    let mut buf = [0; 4];
    check_eq!(recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));
    check_eq!(send(near, b"x", 0), Err(EDESTADDRREQ));
    for message in ["one", "", "fourth", "eleven"] {
        check_eq!(send_to(near, message.as_bytes(), 0, to), Ok(message.len()));
    }
    check_eq!(recv_whole(far, &mut buf, RECV_PEEK), Ok((3, false, from)));
    check_eq!(recv_whole(far, &mut buf, RECV_WAITALL), Ok((3, false, from)), "one is all");
    check_eq!(recv_whole(far, &mut buf, 0), Ok((0, false, from)));
    check_eq!(recv_whole(far, &mut buf, 0), Ok((4, true, from)));
    check_eq!(recv_whole(far, &mut buf, RECV_DATA_TRUNCATED), Ok((6, true, from)));
    check_eq!(send_to(far, b"back", 0, from), Ok(4));
    check_eq!(recv_whole(near, &mut buf, 0), Ok((4, false, to)));
    check_ok!(set_time(far, option::RECV_TIMEOUT, Some(SECOND / 20)));
    check_eq!(recv(far, &mut buf, 0), Err(EAGAIN));
    // It is as ready as it has messages.
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, far, wait::IN));
    check_eq!(wait::now(watch), Ok(vec![]));
    check_eq!(send_to(near, b"", 0, to), Ok(0));
    check_eq!(wait::next(watch), Ok(vec![(far, wait::IN)]));
    check_eq!(recv(far, &mut buf, 0), Ok(0));
    check_eq!(wait::now(watch), Ok(vec![]));
}

fn connected_ones(any: SocketAddr) {
    let ((near, from), (far, to), (other, _)) = (bound(any), bound(any), bound(any));
    check_ok!(connect(near, to));
    check_eq!(addr_peer(near), Ok(to));
    check_eq!(send(near, b"x", 0), Ok(1));
    check_eq!(recv_whole(far, &mut [0; 4], 0), Ok((1, false, from)));
    // No other sender gets through.
    check_eq!(send_to(other, b"other", 0, from), Ok(5));
    check_eq!(send_to(far, b"peer", 0, from), Ok(4));
    check_eq!(recv(near, &mut [0; 8], 0), Ok(4));
    check_ok!(set_flags(near, NONBLOCK));
    check_eq!(recv(near, &mut [0; 8], 0), Err(EAGAIN));
}

/// The peer is gone, and the network says so.
fn refused(any: SocketAddr) {
    let ((near, _), (gone, to)) = (bound(any), bound(any));
    check_ok!(close(gone));
    check_ok!(connect(near, to));
    check_eq!(send(near, b"x", 0), Ok(1));
    check_eq!(recv(near, &mut [0; 4], 0), Err(ECONNREFUSED));
    check_ok!(set_flags(near, NONBLOCK));
    check_eq!(recv(near, &mut [0; 4], 0), Err(EAGAIN), "it is reported once");
    check_eq!(send(near, b"x", 0), Ok(1));
    check_eq!(size(near, option::LAST_ERROR), Ok(u64::from(ECONNREFUSED.0)));
    check_eq!(size(near, option::LAST_ERROR), Ok(0));
}

fn sizes(any: SocketAddr) {
    let ((near, from), (far, to)) = (bound(any), bound(any));
    // "65,535 bytes less the headers of IPv4 and UDP"
    let most = if any.is_ipv4() { 65_507 } else { 65_527 };
    let large = vec![7; most + 1];
    check_eq!(send_to(near, &large, 0, to), Err(EMSGSIZE));
    check_eq!(send_to(near, &large[..most], 0, to), Ok(most));
    let mut buf = vec![0; 70_000];
    check_eq!(recv_whole(far, &mut buf, 0), Ok((most, false, from)));
    check!(buf[..most] == large[..most], "it came out as it went in");
}

fn no_stream(any: SocketAddr) {
    let (fd, _) = bound(any);
    check_eq!(listen(fd, 4), Err(ENOTSUP));
    check_eq!(accept_v2(fd, 0).err(), Some(ENOTSUP));
    check_eq!(shutdown(fd, SHUT_WR), Err(ENOTCONN));
}
