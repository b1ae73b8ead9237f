//! `kinds_limits KIND`: time limits end the blocking calls of this kind of socket, and what
//! went wrong meanwhile is reported once. Needs `/run`, and grants for all in it.

use std::fs;
use std::os::fd::AsRawFd;
use wasix::descriptor::{close, read, set_flags, set_nonblocking, write};
use wasix::errno::*;
use wasix::kind::{self, Kind, local};
use wasix::poll::{MONOTONIC, Subscription, now, poll};
use wasix::socket::*;
use wasix::{Errno, Fd, IS_WASIX, check, check_eq, check_ok, if_known, if_there, wait};

const LIMIT: u64 = 50_000_000;

fn main() {
    let kind = Kind::named(&std::env::args().nth(1).expect("a kind"));
    receives_end(kind);
    if kind.family == UNIX || kind.connects() {
        sends_end(kind);
    }
    if kind.connects() {
        accepts_end(kind);
        connects_end(kind);
        low_water(kind);
    } else if IS_WASIX {
        // Elsewhere it is the limit of receiving.
        check_eq!(set_time(check_ok!(kind.open()), option::ACCEPT_TIMEOUT, None), Err(ENOPROTOOPT));
    }
    no_error_but_once(kind);
}

/// The call ends with `expected`, when the limit is over and not long after.
fn takes<T>(expected: Errno, call: impl FnOnce() -> wasix::Result<T>) {
    let start = check_ok!(now(MONOTONIC));
    check_eq!(call().err(), Some(expected));
    let took = check_ok!(now(MONOTONIC)) - start;
    check!(took >= LIMIT, "{took} ns is less than {LIMIT} ns");
    check!(took < LIMIT + 10_000_000_000, "{took} ns is far more than {LIMIT} ns");
}

fn receives_end(kind: Kind) {
    let (near, far) = check_ok!(kind.two());
    check_ok!(set_time(near, option::RECV_TIMEOUT, Some(LIMIT)));
    let mut buf = [0; 16];
    takes(EAGAIN, || recv(near, &mut buf, 0));
    takes(EAGAIN, || recv(near, &mut buf, RECV_PEEK));
    takes(EAGAIN, || kind::recv_from(near, &mut buf, 0));
    takes(EAGAIN, || read(near, &mut buf));
    // What arrives is not lost to the one that came too late.
    check_eq!(send(far, b"late", 0), Ok(4));
    check_eq!(recv(near, &mut buf, 0), Ok(4));
    if !kind.keeps_boundaries() {
        // All of it is not there yet: what is there counts.
        check_eq!(send(far, b"some", 0), Ok(4));
        check_eq!(recv(near, &mut buf, RECV_WAITALL), Ok(4));
    }
    check_ok!(close(near));
    check_ok!(close(far));
}

fn sends_end(kind: Kind) {
    fs::write("/run/data", [7; 64]).expect("a file");
    let file = fs::File::open("/run/data").expect("the file");
    let (near, far) = check_ok!(kind.two());
    check_ok!(set_nonblocking(near));
    let block = vec![7; if kind.keeps_boundaries() { 1000 } else { 1 << 16 }];
    while send(near, &block, 0).is_ok() {}
    check_ok!(set_flags(near, 0));
    check_ok!(set_time(near, option::SEND_TIMEOUT, Some(LIMIT)));
    full(|| send(near, &block, 0));
    full(|| write(near, &block));
    full(|| kind::send_to(near, &block, 0, &check_ok!(local(far))));
    if IS_WASIX {
        full(|| kind::send_file(near, file.as_raw_fd() as u32, 0, 64).map(|sent| sent as usize));
    }
    check_ok!(close(near));
    check_ok!(close(far));
}

/// What was sent before moves on to the peer's buffer for a while: then there is no room.
fn full(send: impl Fn() -> wasix::Result<usize>) {
    for _ in 0..1000 {
        let start = check_ok!(now(MONOTONIC));
        if let Err(errno) = send() {
            check_eq!(errno, EAGAIN);
            let took = check_ok!(now(MONOTONIC)) - start;
            return check!(took >= LIMIT, "{took} ns is less than {LIMIT} ns");
        }
    }
    check!(false, "there is room without end");
}

fn accepts_end(kind: Kind) {
    let (listener, at) = check_ok!(kind.listener(4));
    for limit in [option::RECV_TIMEOUT, option::ACCEPT_TIMEOUT] {
        check_ok!(set_time(listener, limit, Some(LIMIT)));
        takes(EAGAIN, || kind::accept(listener, 0));
        takes(EAGAIN, || kind::accept_v1(listener, 0));
        takes(EAGAIN, || accept_preview1(listener, 0));
    }
    // Its own limit goes before that of receives, where it has one.
    check_ok!(set_time(listener, option::ACCEPT_TIMEOUT, Some(20_000_000_000)));
    let near = check_ok!(kind.open());
    check_ok!(connect_raw(near, &at.raw()));
    check_ok!(kind::accept(listener, 0));
    check_ok!(close(listener));
}

fn connects_end(kind: Kind) {
    // One may wait there, and does.
    let (full, at) = check_ok!(kind.listener(0));
    let inside = check_ok!(kind.open());
    check_ok!(connect_raw(inside, &at.raw()));
    let outside = check_ok!(kind.open());
    check_ok!(set_time(outside, option::CONNECT_TIMEOUT, Some(LIMIT)));
    takes(ETIMEDOUT, || connect_raw(outside, &at.raw()));
    // With room it is time enough.
    let other = check_ok!(kind.open());
    check_ok!(set_time(other, option::CONNECT_TIMEOUT, Some(20_000_000_000)));
    let (live, at) = check_ok!(kind.listener(4));
    check_ok!(connect_raw(other, &at.raw()));
    for fd in [full, inside, outside, other, live] {
        check_ok!(close(fd));
    }
}

/// A blocking receive waits for so much, one that may not wait takes what is there.
fn low_water(kind: Kind) {
    let (near, far) = check_ok!(kind.two());
    if if_known(set_size(near, option::RECV_LOWAT, 4)).is_none() {
        return;
    }
    check_ok!(set_time(near, option::RECV_TIMEOUT, Some(LIMIT)));
    let mut buf = [0; 16];
    check_eq!(send(far, b"ab", 0), Ok(2));
    if kind.keeps_boundaries() {
        return check_eq!(recv(near, &mut buf, 0), Ok(2));
    }
    takes(EAGAIN, || recv(near, &mut buf, 0));
    check_eq!(send(far, b"cd", 0), Ok(2));
    check_eq!(recv(near, &mut buf, 0), Ok(4));
    check_eq!(send(far, b"e", 0), Ok(1));
    is_there(near);
    check_eq!(recv(near, &mut buf, RECV_DONT_WAIT), Ok(1));
    // The end of the stream is not waited for in vain.
    check_eq!(send(far, b"f", 0), Ok(1));
    check_ok!(close(far));
    check_eq!(recv(near, &mut buf, 0), Ok(1));
    check_eq!(recv(near, &mut buf, 0), Ok(0));
    check_ok!(close(near));
}

/// Waits until something is there, without the low-water mark.
fn is_there(fd: Fd) {
    check_ok!(set_size(fd, option::RECV_LOWAT, 1));
    let events = check_ok!(poll(&[Subscription::read(fd, 1), Subscription::clock(MONOTONIC, wait::LONG, 2)]));
    check_eq!(events.first().map(|event| event.userdata), Some(1));
    check_ok!(set_size(fd, option::RECV_LOWAT, 4));
}

fn no_error_but_once(kind: Kind) {
    let (near, far) = check_ok!(kind.two());
    has_no_error(near);
    if kind.connects() {
        breaks(near, far);
        refuses(kind);
        return;
    }
    // The peer is gone: the next call that reads the error or sends gets it.
    check_ok!(close(far));
    if kind.family == UNIX {
        check_eq!(send(near, b"x", 0), Err(ECONNREFUSED));
        return has_no_error(near);
    }
    let told: [fn(Fd) -> wasix::Result<usize>; 4] = [
        |fd| recv(fd, &mut [0; 4], 0),
        |fd| read(fd, &mut [0; 4]),
        |fd| send(fd, b"x", 0),
        |fd| write(fd, b"x"),
    ];
    for call in told {
        check_eq!(send(near, b"x", 0), Ok(1));
        wait_for_error(near);
        check_eq!(call(near), Err(ECONNREFUSED));
        has_no_error(near);
    }
    check_eq!(send(near, b"x", 0), Ok(1));
    wait_for_error(near);
    has_error(near, ECONNREFUSED);
    check_ok!(set_nonblocking(near));
    check_eq!(recv(near, &mut [0; 4], 0), Err(EAGAIN));
}

/// An error is pending: it is reported once, where a dialect cannot ask for it by the next call.
fn has_error(fd: Fd, errno: Errno) {
    match if_known(size(fd, option::LAST_ERROR)) {
        Some(error) => check_eq!(error, errno.0.into()),
        None => check_eq!(recv(fd, &mut [0; 4], 0), Err(errno)),
    }
    has_no_error(fd);
}

fn has_no_error(fd: Fd) {
    check_eq!(if_known(size(fd, option::LAST_ERROR)).unwrap_or(0), 0);
}

fn wait_for_error(fd: Fd) {
    let Some(watch) = if_there(wait::epoll()) else {
        let asked = [Subscription::read(fd, 1), Subscription::clock(MONOTONIC, wait::LONG, 2)];
        return check_eq!(check_ok!(poll(&asked)).first().map(|event| event.userdata), Some(1));
    };
    check_ok!(wait::add(watch, fd, 0));
    let found = check_ok!(wait::next(watch));
    check!(found.iter().any(|(_, events)| events & wait::ERR != 0), "{found:?}");
    check_ok!(close(watch));
}

/// A peer that goes with something unread resets the connection.
fn breaks(near: Fd, far: Fd) {
    check_eq!(send(near, b"unread", 0), Ok(6));
    let events =
        check_ok!(poll(&[Subscription::read(far, 1), Subscription::clock(MONOTONIC, wait::LONG, 2)]));
    check_eq!(events.first().map(|event| event.userdata), Some(1));
    check_ok!(close(far));
    let events =
        check_ok!(poll(&[Subscription::read(near, 1), Subscription::clock(MONOTONIC, wait::LONG, 2)]));
    check_eq!(events.first().map(|event| event.userdata), Some(1));
    has_error(near, ECONNRESET);
    check_eq!(recv(near, &mut [0; 4], 0), Ok(0));
    check_eq!(send(near, b"x", 0), Err(EPIPE));
    check_ok!(close(near));
}

/// Over a network an attempt is refused later; at a name at once.
fn refuses(kind: Kind) {
    let (gone, at) = check_ok!(kind.bound());
    let near = check_ok!(kind.open());
    check_ok!(set_nonblocking(near));
    if kind.family == UNIX {
        check_eq!(connect_raw(near, &at.raw()), Err(ECONNREFUSED));
        return has_no_error(near);
    }
    check_eq!(connect_raw(near, &at.raw()), Err(EINPROGRESS));
    let writing = [Subscription::write(near, 1), Subscription::clock(MONOTONIC, wait::LONG, 2)];
    check_eq!(check_ok!(poll(&writing)).first().map(|event| event.userdata), Some(1));
    has_error(near, ECONNREFUSED);
    check_ok!(close(near));
    check_ok!(close(gone));
}
