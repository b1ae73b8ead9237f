//! `data_partial KIND`: a connection without room takes a part of a stream's bytes, and a
//! message whole or not at all. Nothing is lost, and the order is kept.

use wasix::descriptor::{NONBLOCK, set_flags, write};
use wasix::ends::Kind;
use wasix::errno::*;
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::{Fd, Result, check, check_eq, check_ok, wait};

const LIMIT: u64 = 50_000_000;

fn main() {
    let kind = Kind::of_args();
    if !kind.has_messages() {
        waiting_in_part(kind);
    }
    // A network drops what finds no room there.
    if kind.is_connection() || kind.is_unix() {
        for send_it in [send_dont_wait as fn(Fd, &[u8]) -> Result<usize>, write] {
            filled(kind, send_it);
        }
    }
    println!("done");
}

fn send_dont_wait(fd: Fd, data: &[u8]) -> Result<usize> {
    send(fd, data, SEND_DONT_WAIT)
}

fn filled(kind: Kind, send_it: fn(Fd, &[u8]) -> Result<usize>) {
    let (near, far) = check_ok!(kind.ends());
    check_ok!(set_flags(near, NONBLOCK));
    let data: Vec<u8> = (0..8 << 20).map(|n: u32| (n ^ n >> 8) as u8).collect();
    // Messages are of one length; of a stream each send offers all the rest.
    let length = |sent: usize| if kind.has_messages() { 5000 } else { data.len() - sent };
    let (mut sent, mut is_partial) = (0, false);
    loop {
        let offered = &data[sent..sent + length(sent)];
        match send_it(near, offered) {
            Ok(count) => {
                check!(count > 0, "no progress and no error");
                check!(!kind.has_messages() || count == offered.len(), "half of a message");
                is_partial |= count < offered.len();
                sent += count;
            }
            Err(errno) => {
                check_eq!(errno, EAGAIN);
                // A kernel may make room for more: what it has sent goes over to the other end.
                if !has_room(near) {
                    break;
                }
            }
        }
        check!(sent < data.len() - 5000, "it is never full");
    }
    check!(kind.has_messages() || is_partial, "a part");
    is_writable(near, false);
    let mut buf = vec![0; 70_000];
    let mut received = 0;
    while received < sent {
        let count = check_ok!(recv(far, &mut buf, 0));
        check!(buf[..count] == data[received..received + count], "the same bytes, in order");
        received += count;
    }
    check_eq!(received, sent);
    is_writable(near, true);
    check_ok!(send_it(near, b"goes on"));
}

/// Longer than an acknowledgement is held back: with it the other end's kernel takes more.
const SETTLING: u64 = 300_000_000;

/// Is there room after a while?
fn has_room(fd: Fd) -> bool {
    let limit = Subscription::clock(MONOTONIC, SETTLING, 2);
    check_ok!(poll(&[Subscription::write(fd, 1), limit])).iter().any(|event| event.userdata == 1)
}

/// By poll and by epoll.
fn is_writable(fd: Fd, expected: bool) {
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, fd, wait::OUT));
    let told = if expected { check_ok!(wait::next(watch)) } else { check_ok!(wait::now(watch)) };
    check_eq!(told, if expected { vec![(fd, wait::OUT)] } else { vec![] });
    let limit = Subscription::clock(MONOTONIC, if expected { wait::LONG } else { wait::SHORT }, 2);
    let events = check_ok!(poll(&[Subscription::write(fd, 1), limit]));
    check_eq!(events.iter().any(|event| event.userdata == 1), expected);
}

/// A send that waits goes on until all is sent, or its time is over: then it tells how much.
fn waiting_in_part(kind: Kind) {
    let (near, far) = check_ok!(kind.ends());
    check_ok!(set_time(near, option::SEND_TIMEOUT, Some(LIMIT)));
    let data = vec![7; 16 << 20];
    let mut sent = check_ok!(send(near, &data, 0));
    check!(0 < sent && sent < data.len(), "{sent} sent");
    // A kernel may make room for more.
    let over = loop {
        match send(near, &data, 0) {
            Ok(count) => sent += count,
            Err(errno) => break errno,
        }
    };
    check_eq!(over, EAGAIN);
    check_ok!(shutdown(near, SHUT_WR));
    let mut received = 0;
    let mut buf = vec![0; 1 << 20];
    loop {
        match check_ok!(recv(far, &mut buf, 0)) {
            0 => break,
            count => received += count,
        }
    }
    check_eq!(received, sent, "it returned what was sent");
}
