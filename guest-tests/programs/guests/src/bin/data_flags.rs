//! `data_flags KIND`: the flags of a receive and of a send, on any kind of socket.

use wasix::descriptor::{NONBLOCK, close, read, set_flags, write};
use wasix::ends::Kind;
use wasix::errno::*;
use wasix::poll::{MONOTONIC, now};
use wasix::socket::*;
use wasix::unix::recv as recv_flagged;
use wasix::{Fd, check, check_eq, check_ok};

const LIMIT: u64 = 50_000_000;

fn main() {
    let kind = Kind::of_args();
    nothing_there(kind);
    both_ways(kind);
    unknown(kind);
    if kind.has_messages() {
        messages(kind)
    } else {
        bytes(kind)
    }
    println!("done");
}

fn nothing_there(kind: Kind) {
    let (near, _far) = check_ok!(kind.ends());
    let mut buf = [0; 8];
    for flags in [0, RECV_PEEK, RECV_WAITALL, RECV_DATA_TRUNCATED] {
        check_eq!(recv(near, &mut buf, RECV_DONT_WAIT | flags), Err(EAGAIN), "flags {flags}");
        check_eq!(recv_from(near, &mut buf, RECV_DONT_WAIT | flags), Err(EAGAIN), "flags {flags}");
    }
    check_ok!(set_time(near, option::RECV_TIMEOUT, Some(LIMIT)));
    for flags in [0, RECV_PEEK, RECV_WAITALL] {
        let start = check_ok!(now(MONOTONIC));
        check_eq!(recv(near, &mut buf, flags), Err(EAGAIN), "flags {flags}");
        check!(check_ok!(now(MONOTONIC)) - start >= LIMIT, "it waited too little");
    }
    check_ok!(set_flags(near, NONBLOCK));
    check_eq!(recv(near, &mut buf, 0), Err(EAGAIN));
    check_eq!(read(near, &mut buf), Err(EAGAIN));
}

fn both_ways(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    let mut buf = [0; 16];
    for (from, to) in [(near, far), (far, near)] {
        for flags in [0, SEND_DONT_WAIT] {
            check_eq!(send(from, b"hello", flags), Ok(5));
            check_eq!(recv(to, &mut buf, RECV_PEEK), Ok(5));
            check_eq!(recv_from(to, &mut buf, RECV_PEEK), Ok(5));
            check_eq!(read(to, &mut buf), Ok(5));
            check_eq!(buf[..5], *b"hello");
        }
        check_eq!(write(from, b"written"), Ok(7));
        check_eq!(recv(to, &mut buf, RECV_DONT_WAIT), Ok(7));
        check_eq!(buf[..7], *b"written");
    }
}

/// An unknown flag is no flag, and takes nothing.
fn unknown(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    check_eq!(send(near, b"x", 0), Ok(1));
    for flags in [16, 0x8000, 0x10000, 1 << 31, u32::MAX] {
        check_eq!(recv(far, &mut [0; 4], flags), Err(EINVAL), "flags {flags:#x}");
        check_eq!(recv_from(far, &mut [0; 4], flags), Err(EINVAL), "flags {flags:#x}");
        check_eq!(send(far, b"x", flags & !1), Err(EINVAL), "flags {flags:#x}");
    }
    check_eq!(recv(far, &mut [0; 4], 0), Ok(1));
    check_eq!(recv(near, &mut [0; 4], RECV_DONT_WAIT), Err(EAGAIN), "nothing was sent");
}

fn both(near: Fd, first: &[u8], second: &[u8]) {
    check_eq!(send(near, first, 0), Ok(first.len()));
    check_eq!(send(near, second, 0), Ok(second.len()));
}

fn bytes(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    let mut buf = [0; 16];
    // Peeking sees the beginning, as often as it likes, and nothing is ever cut.
    both(near, b"first ", b"second");
    check_eq!(recv_flagged(far, &mut buf[..2], RECV_PEEK), Ok((2, false)));
    check_eq!(recv_flagged(far, &mut buf[..2], RECV_DATA_TRUNCATED), Ok((2, false)));
    check_eq!(recv(far, &mut buf[..10], RECV_WAITALL), Ok(10));
    check_eq!(buf[..10], *b"rst second");
    // Waiting for all: until the buffer is full, the time is over, or the end.
    check_eq!(send(near, b"half", 0), Ok(4));
    check_eq!(recv(far, &mut buf, RECV_WAITALL | RECV_DONT_WAIT), Ok(4));
    check_eq!(send(near, b"half", 0), Ok(4));
    check_eq!(recv(far, &mut buf, RECV_WAITALL | RECV_PEEK), Ok(4), "may return less with a peek");
    check_ok!(set_time(far, option::RECV_TIMEOUT, Some(LIMIT)));
    check_eq!(recv(far, &mut buf, RECV_WAITALL), Ok(4), "the time is over");
    check_ok!(set_time(far, option::RECV_TIMEOUT, None));
    // A buffer of no length is filled already.
    check_eq!(recv(far, &mut [], 0), Ok(0));
    check_eq!(recv(far, &mut [], RECV_WAITALL), Ok(0));
    check_eq!(send(near, &[], 0), Ok(0));
    check_eq!(recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN), "nothing was sent");
    check_eq!(send(near, b"the end", 0), Ok(7));
    check_ok!(close(near));
    check_eq!(recv(far, &mut buf, RECV_WAITALL), Ok(7));
    for flags in [0, RECV_PEEK, RECV_WAITALL, RECV_DONT_WAIT, RECV_DATA_TRUNCATED] {
        check_eq!(recv(far, &mut buf, flags), Ok(0), "flags {flags}");
    }
}

fn messages(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    let mut buf = [0; 8];
    both(near, b"one", b"longer than that");
    check_eq!(recv_flagged(far, &mut buf, RECV_PEEK), Ok((3, false)));
    check_eq!(recv_flagged(far, &mut buf[..2], RECV_PEEK), Ok((2, true)), "cut, and still whole");
    let whole = RECV_PEEK | RECV_DATA_TRUNCATED;
    check_eq!(recv_flagged(far, &mut buf[..1], whole), Ok((3, true)));
    check_eq!(recv_flagged(far, &mut buf, RECV_WAITALL), Ok((3, false)), "one message is all");
    check_eq!(buf[..3], *b"one");
    check_eq!(recv_flagged(far, &mut buf, 0), Ok((8, true)), "the rest is gone");
    check_eq!(buf, *b"longer t");
    check_eq!(recv_flagged(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));
    both(near, b"a long message", b"");
    check_eq!(recv_flagged(far, &mut buf, RECV_DATA_TRUNCATED), Ok((14, true)), "its whole length");
    // An empty message is one, and takes nothing of a buffer; one that finds no room is cut.
    check_eq!(recv_flagged(far, &mut buf, RECV_DONT_WAIT), Ok((0, false)));
    check_eq!(recv_flagged(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));
    both(near, b"unseen", b"next");
    check_eq!(recv_flagged(far, &mut [], 0), Ok((0, true)));
    check_eq!(recv_flagged(far, &mut buf, 0), Ok((4, false)));
    // Through `fd_read` there is no room to say that it was cut.
    both(near, b"longer than that", b"next");
    check_eq!(read(far, &mut buf), Ok(8));
    check_eq!(read(far, &mut buf), Ok(4));
}
