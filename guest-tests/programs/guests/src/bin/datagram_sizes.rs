//! `datagram_sizes ADDR`: messages of every size, in one piece and in many.

use std::net::SocketAddr;
use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, check, check_eq, check_ok};

/// As many as a call takes.
const MOST: usize = 1024;

fn main() {
    let any: SocketAddr = std::env::args().nth(1).expect("an address").parse().expect("an address");
    largest(any);
    empty(any);
    cut(any);
    pieces(any);
}

fn bound(any: SocketAddr) -> (Fd, SocketAddr) {
    let fd = check_ok!(open(if any.is_ipv4() { INET4 } else { INET6 }, DGRAM, UDP));
    check_ok!(bind(fd, any));
    (fd, check_ok!(addr_local(fd)))
}

fn linked(any: SocketAddr) -> (Fd, Fd) {
    let ((near, from), (far, to)) = (bound(any), bound(any));
    check_ok!(connect(near, to));
    check_ok!(connect(far, from));
    (near, far)
}

/// 65,535 bytes less the headers: 20 of IPv4, none that count of IPv6, and 8 of UDP.
fn largest(any: SocketAddr) {
    let (near, far) = linked(any);
    let most = if any.is_ipv4() { 65_507 } else { 65_527 };
    let bytes: Vec<u8> = (0..=most).map(|at| (at % 251) as u8).collect();
    let mut buf = vec![0; most + 1];
    let there = check_ok!(addr_local(far));
    for size in [1, most - 1, most] {
        check_eq!(send(near, &bytes[..size], 0), Ok(size));
        check_eq!(recv(far, &mut buf, 0), Ok(size));
        check!(buf[..size] == bytes[..size], "{size} bytes came out as they went in");
        check_eq!(send_to(near, &bytes[..size], 0, there), Ok(size));
        check_eq!(recv_whole(far, &mut buf, 0), Ok((size, false, check_ok!(addr_local(near)))));
    }
    // "EMSGSIZE: The message is too large to be sent all at once" - send(3p)
    check_eq!(send(near, &bytes[..most + 1], 0), Err(EMSGSIZE));
    check_eq!(send_to(near, &bytes[..most + 1], 0, there), Err(EMSGSIZE));
    check_eq!(send(near, &vec![0; 1 << 20], 0), Err(EMSGSIZE));
    let halves = [IoVec::writing(&bytes[..most]), IoVec::writing(&bytes[most..])];
    check_eq!(send_vectored(near, &halves, 0), Err(EMSGSIZE));
    check_eq!(recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN), "nothing of it was sent");
}

/// A message without bytes is one.
fn empty(any: SocketAddr) {
    let (near, far) = linked(any);
    check_eq!(send(near, b"", 0), Ok(0));
    check_eq!(send_vectored(near, &[], 0), Ok(0), "of no pieces");
    check_eq!(send_vectored(near, &[IoVec::writing(b""); 3], 0), Ok(0), "of empty pieces");
    check_eq!(send(near, b"after", 0), Ok(5));
    let mut buf = [0; 8];
    for _ in 0..3 {
        check_eq!(recv(far, &mut buf, RECV_PEEK), Ok(0));
        check_eq!(recv(far, &mut buf, 0), Ok(0));
    }
    // No room takes a message all the same.
    check_eq!(recv_vectored(far, &[], RECV_PEEK), Ok(0));
    check_eq!(recv_vectored(far, &[], RECV_PEEK | RECV_DATA_TRUNCATED), Ok(5));
    check_eq!(recv_vectored(far, &[], 0), Ok(0));
    check_eq!(recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));
}

fn cut(any: SocketAddr) {
    let (near, far) = linked(any);
    let from = check_ok!(addr_local(near));
    let mut buf = [0; 4];
    check_eq!(send(near, b"twelve bytes", 0), Ok(12));
    check_eq!(recv_whole(far, &mut buf, RECV_PEEK), Ok((4, true, from)));
    check_eq!(&buf, b"twel");
    check_eq!(recv_whole(far, &mut buf, RECV_PEEK | RECV_DATA_TRUNCATED), Ok((12, true, from)));
    check_eq!(recv_whole(far, &mut buf, 0), Ok((4, true, from)));
    // The rest is gone.
    check_eq!(send(near, b"next", 0), Ok(4));
    check_eq!(recv_whole(far, &mut buf, RECV_DATA_TRUNCATED), Ok((4, false, from)));
    check_eq!(&buf, b"next");
    // Over pieces, too, and what is behind them is as it was.
    check_eq!(send(near, b"twelve bytes", 0), Ok(12));
    let (mut one, mut two, three) = ([0; 3], [0; 4], [7; 4]);
    let pieces = [IoVec::reading(&mut one), IoVec::reading(&mut []), IoVec::reading(&mut two)];
    check_eq!(recv_vectored(far, &pieces, RECV_DATA_TRUNCATED), Ok(12));
    check_eq!((&one, &two, three), (b"twe", b"lve ", [7; 4]));
}

fn pieces(any: SocketAddr) {
    let (near, far) = linked(any);
    let bytes: Vec<u8> = (0..2 * MOST).map(|at| (at % 253) as u8).collect();
    let sent: Vec<IoVec> = bytes.chunks(2).map(IoVec::writing).collect();
    check_eq!(send_vectored(near, &sent, 0), Ok(2 * MOST));
    let mut copy = vec![0; 2 * MOST];
    let room: Vec<IoVec> = copy.chunks_mut(2).map(IoVec::reading).collect();
    check_eq!(recv_vectored(far, &room, RECV_PEEK), Ok(2 * MOST));
    check_eq!(recv_vectored(far, &room, 0), Ok(2 * MOST), "one message");
    check!(copy == bytes, "the pieces are in order");
    let too_many = vec![IoVec::writing(b"x"); MOST + 1];
    // "EINVAL: The iovcnt argument was less than or equal to 0, or greater than {IOV_MAX}."
    // - writev(3p), in whose manner these calls take their pieces
    check_eq!(send_vectored(near, &too_many, 0), Err(EINVAL));
    check_eq!(recv_vectored(far, &too_many, 0), Err(EINVAL));
}
