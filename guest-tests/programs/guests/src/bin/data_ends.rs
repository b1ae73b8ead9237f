//! `data_ends KIND`: the ends of a connection, one direction and both. Nothing ends the
//! program: there is no signal for a broken pipe. KIND is one that connects.

use wasix::descriptor::{close, dup, read, write};
use wasix::ends::Kind;
use wasix::errno::*;
use wasix::poll::{HANGUP, MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::wait::{HUP, IN, OUT, RDHUP};
use wasix::{Fd, check, check_eq, check_ok, wait};

fn main() {
    let kind = Kind::of_args();
    we_end(kind);
    we_end_reading(kind);
    both_end(kind);
    peer_goes(kind);
    duplicates(kind);
    wrong(kind);
    println!("done");
}

/// What epoll tells of `fd`; waits until it is `expected`.
fn tells(fd: Fd, expected: u32) {
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, fd, IN | OUT | RDHUP));
    let mut told = Vec::new();
    // The peer's end is on its way.
    for _ in 0..1000 {
        told = check_ok!(wait::next(watch));
        if told == [(fd, expected)] {
            return;
        }
        check_ok!(poll(&[Subscription::clock(MONOTONIC, 1_000_000, 0)]));
    }
    check_eq!(told, vec![(fd, expected)]);
}

fn says(from: Fd, to: Fd) {
    let mut buf = [0; 8];
    check_eq!(send(from, b"hello", 0), Ok(5));
    check_eq!(recv(to, &mut buf, 0), Ok(5));
}

/// One direction ends, the other goes on; each side in turn.
fn we_end(kind: Kind) {
    for turn in [0, 1] {
        let (near, far) = check_ok!(kind.ends());
        let (near, far) = if turn == 0 { (near, far) } else { (far, near) };
        check_eq!(send(near, b"last", 0), Ok(4));
        check_ok!(shutdown(near, SHUT_WR));
        tells(near, OUT);
        tells(far, IN | OUT | RDHUP);
        check_eq!(send(near, b"x", 0), Err(EPIPE));
        check_eq!(write(near, b"x"), Err(EPIPE));
        check_eq!(recv(far, &mut [0; 8], 0), Ok(4));
        for _ in 0..2 {
            check_eq!(recv(far, &mut [0; 8], 0), Ok(0));
            check_eq!(read(far, &mut [0; 8]), Ok(0));
            says(far, near);
        }
        check_ok!(shutdown(near, SHUT_WR));
        check_ok!(shutdown(far, SHUT_WR));
        check_eq!(recv(near, &mut [0; 8], 0), Ok(0));
        tells(near, IN | OUT | RDHUP | HUP);
        tells(far, IN | OUT | RDHUP | HUP);
        check_eq!(send(far, b"x", 0), Err(EPIPE));
    }
}

/// No more is received; what was there before is. The peer of a name learns it, the one of
/// a network does not: TCP has no word for it.
fn we_end_reading(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    check_eq!(send(far, b"before", 0), Ok(6));
    let is_there = check_ok!(poll(&[Subscription::read(near, 1)]));
    check_eq!(is_there[0].flags & HANGUP, 0);
    check_ok!(shutdown(near, SHUT_RD));
    check_eq!(recv(near, &mut [0; 8], 0), Ok(6));
    check_eq!(recv(near, &mut [0; 8], 0), Ok(0));
    says(near, far);
    let answer = send(far, b"x", 0);
    check_eq!(answer, if kind.is_unix() { Err(EPIPE) } else { Ok(1) });
}

fn both_end(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    check_ok!(shutdown(near, SHUT_RDWR));
    check_eq!(recv(near, &mut [0; 8], 0), Ok(0));
    check_eq!(send(near, b"x", 0), Err(EPIPE));
    check_eq!(recv(far, &mut [0; 8], 0), Ok(0));
}

/// The peer closes: first the end, then a broken pipe, as often as it is tried.
fn peer_goes(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    check_eq!(send(far, b"last", 0), Ok(4));
    check_ok!(close(far));
    check_eq!(recv(near, &mut [0; 8], 0), Ok(4));
    check_eq!(recv(near, &mut [0; 8], 0), Ok(0));
    // Over a network the first goes out, and is answered by a reset.
    let mut tries = 0;
    while send(near, b"x", 0).is_ok() {
        tries += 1;
        check!(tries < 1000, "it is never broken");
        check_ok!(poll(&[Subscription::clock(MONOTONIC, 1_000_000, 0)]));
    }
    for _ in 0..3 {
        check_eq!(send(near, b"x", 0), Err(EPIPE));
        check_eq!(write(near, b"x"), Err(EPIPE));
        check_eq!(recv(near, &mut [0; 8], 0), Ok(0));
    }
    check_eq!(status(near), Ok(2));
}

/// A shutdown is of the connection, a close of the descriptor.
fn duplicates(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    let twin = check_ok!(dup(near));
    check_ok!(close(near));
    says(twin, far);
    let twin_of_twin = check_ok!(dup(twin));
    check_ok!(shutdown(twin, SHUT_WR));
    check_eq!(send(twin_of_twin, b"x", 0), Err(EPIPE));
    check_eq!(recv(far, &mut [0; 8], 0), Ok(0));
}

fn wrong(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    for how in [0, 4, 255, 256, u32::MAX] {
        check_eq!(shutdown(near, how), Err(EINVAL), "how {how}");
    }
    says(near, far);
    if !kind.is_pair {
        check_eq!(shutdown(check_ok!(kind.open()), SHUT_RDWR), Err(ENOTCONN));
    }
}
