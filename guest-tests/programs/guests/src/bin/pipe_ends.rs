//! Pipes: bytes from one end to the other, how much waits, and what the end of
//! either end means.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::poll::{HANGUP, MONOTONIC, Subscription, poll};
use wasix::wait::pipe;
use wasix::{Fd, check, check_eq, check_ok};

const CAPACITY: usize = 64 * 1024;
const ATOMIC: usize = 4096;

/// The number of bytes and the flags, where it is ready.
fn ready(subscription: Subscription) -> Option<(u64, u16)> {
    let events = check_ok!(poll(&[subscription, Subscription::clock(MONOTONIC, 0, 99)]));
    events.iter().find(|event| event.userdata != 99).map(|event| {
        check_eq!(event.error, 0);
        (event.nbytes, event.flags)
    })
}

fn nonblocking() -> (Fd, Fd) {
    let (reader, writer) = check_ok!(pipe());
    check_ok!(set_nonblocking(reader));
    check_ok!(set_nonblocking(writer));
    (reader, writer)
}

fn main() {
    bytes_in_order();
    room();
    small_writes_are_whole();
    writers_go();
    readers_go();
    the_way_back();
    rights();
}

fn bytes_in_order() {
    let (reader, writer) = nonblocking();
    check_eq!(check_ok!(fdstat(reader)).filetype, 0);
    check_eq!(read(reader, &mut [0; 4]), Err(EAGAIN));
    check_eq!(ready(Subscription::read(reader, 1)), None);
    check_eq!(write(writer, b"one two"), Ok(7));
    check_eq!(ready(Subscription::read(reader, 1)), Some((7, 0)));
    let mut buf = [0; 4];
    check_eq!(read(reader, &mut buf), Ok(4));
    check_eq!(&buf, b"one ");
    check_eq!(read(reader, &mut []), Ok(0));
    check_eq!(read(reader, &mut buf), Ok(3));
    check_eq!(&buf[..3], b"two");
    check_eq!(write(writer, b""), Ok(0));
    check_eq!(read(reader, &mut buf), Err(EAGAIN));
    // A blocking end gets what is there.
    let (reader, writer) = check_ok!(pipe());
    check_eq!(write(writer, b"x"), Ok(1));
    check_eq!(read(reader, &mut buf), Ok(1));
}

fn room() {
    let (reader, writer) = nonblocking();
    check!(ready(Subscription::write(writer, 1)).is_some(), "an empty pipe has room");
    let block = vec![7; CAPACITY + 1];
    check_eq!(write(writer, &block), Ok(CAPACITY));
    check_eq!(write(writer, b"x"), Err(EAGAIN));
    check_eq!(ready(Subscription::write(writer, 1)), None);
    check_eq!(ready(Subscription::read(reader, 1)), Some((CAPACITY as u64, 0)));
    check_eq!(read(reader, &mut vec![0; ATOMIC]), Ok(ATOMIC));
    check!(ready(Subscription::write(writer, 1)).is_some(), "there is room again");
    // A large write takes what there is room for.
    check_eq!(write(writer, &block), Ok(ATOMIC));
}

fn small_writes_are_whole() {
    let (reader, writer) = nonblocking();
    check_eq!(write(writer, &vec![1; CAPACITY - 10]), Ok(CAPACITY - 10));
    check_eq!(write(writer, &[2; 11]), Err(EAGAIN));
    check_eq!(write(writer, &vec![2; ATOMIC]), Err(EAGAIN));
    check_eq!(write(writer, &[2; 10]), Ok(10));
    check_eq!(read(reader, &mut vec![0; CAPACITY]), Ok(CAPACITY));
}

fn writers_go() {
    let (reader, writer) = check_ok!(pipe());
    let twin = check_ok!(dup(writer));
    check_eq!(write(writer, b"last"), Ok(4));
    check_ok!(close(writer));
    check_eq!(ready(Subscription::read(reader, 1)), Some((4, 0)));
    check_ok!(close(twin));
    check_eq!(ready(Subscription::read(reader, 1)), Some((4, HANGUP)));
    let mut buf = [0; 8];
    check_eq!(read(reader, &mut buf), Ok(4));
    for _ in 0..2 {
        check_eq!(ready(Subscription::read(reader, 1)), Some((0, HANGUP)));
        check_eq!(read(reader, &mut buf), Ok(0));
    }
}

fn readers_go() {
    let (reader, writer) = check_ok!(pipe());
    check_eq!(write(writer, b"lost"), Ok(4));
    check_ok!(close(reader));
    check_eq!(ready(Subscription::write(writer, 1)), Some((1, HANGUP)));
    check_eq!(write(writer, b"x"), Err(EPIPE));
    check_eq!(write(writer, &vec![0; 3 * CAPACITY]), Err(EPIPE));
}

/// "It is unspecified whether fildes[0] is also open for writing" - pipe(3p). It is, and programs of 2023 rely on that.
fn the_way_back() {
    let (first, second) = nonblocking();
    // Nobody is told of it who does not use it.
    check_eq!(ready(Subscription::write(first, 1)), None);
    check_eq!(ready(Subscription::read(second, 1)), None);
    check_eq!(read(second, &mut [0; 8]), Err(EAGAIN));
    check!(ready(Subscription::write(first, 1)).is_some(), "there is room");
    check_eq!((write(first, b"back"), write(second, b"ahead")), (Ok(4), Ok(5)));
    check_eq!(ready(Subscription::read(second, 1)), Some((4, 0)));
    let mut buf = [0; 8];
    check_eq!((read(second, &mut buf), &buf[..4]), (Ok(4), &b"back"[..]));
    check_eq!((read(first, &mut buf), &buf[..5]), (Ok(5), &b"ahead"[..]));
    check_eq!(write(first, &vec![0; CAPACITY]), Ok(ATOMIC));
    check_eq!(write(first, b"x"), Err(EAGAIN));
    // Each end is gone in both directions at once: what was written is read, and then it is over.
    let twin = check_ok!(dup(second));
    check_ok!(close(second));
    check_eq!(read(first, &mut buf), Err(EAGAIN));
    check_eq!(write(twin, b"last"), Ok(4));
    check_ok!(close(twin));
    check_eq!(write(first, b"x"), Err(EPIPE));
    check_eq!((read(first, &mut buf), read(first, &mut buf)), (Ok(4), Ok(0)));
    let (first, second) = check_ok!(pipe());
    check_eq!(write(first, b"back"), Ok(4));
    check_ok!(close(first));
    check_eq!(write(second, b"x"), Err(EPIPE));
    check_eq!((read(second, &mut buf), read(second, &mut buf)), (Ok(4), Ok(0)));
}

fn rights() {
    let (reader, _writer) = check_ok!(pipe());
    check_ok!(drop_rights(reader, right::FD_READ));
    check_eq!(read(reader, &mut [0; 1]), Err(ENOTCAPABLE));
}
