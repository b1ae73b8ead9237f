//! `signal_waits CASE`: a call that waits, and a signal that comes by the clock. The call
//! answers `EINTR`, and loses nothing.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use wasix::errno::*;
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::signal::*;
use wasix::socket::*;
use wasix::wait::{self, EpollEvent, IN};
use wasix::{Fd, Result, address_of, address_of_mut, check, check_eq, check_ok, descriptor, outcome, raw};

/// How many signals the handler has seen.
static SEEN: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(_signal: i32) {
    SEEN.fetch_add(1, SeqCst);
}

fn main() {
    handle();
    match std::env::args().nth(1).as_deref() {
        Some("accept") => accepts(),
        Some("recv") => receives(),
        Some("send") => sends(),
        Some("connect") => connects(),
        Some("poll") => polls(),
        Some("epoll") => epolls(),
        Some("sleep") => check_eq!(interrupted(|| sleep(FOR_EVER)), EINTR),
        Some("stdin") => reads_input(),
        Some("pipe") => pipes(),
        Some("event") => events(),
        Some("pair") => pairs(),
        Some("futex") => futexes(),
        other => panic!("{other:?}: no such case"),
    }
    println!("holds");
}

const FOR_EVER: u64 = u64::MAX / 4;

fn sleep(nanoseconds: u64) -> Result<()> {
    outcome(unsafe { raw::wasix::thread_sleep(nanoseconds) })
}

/// What ended the call. The signal comes again and again, for the first one may come
/// before the call.
fn ended<T>(call: impl FnOnce() -> T) -> T {
    let before = SEEN.load(SeqCst);
    check_ok!(interval(ALRM, 20_000_000, true));
    let answer = call();
    check_ok!(interval(ALRM, 0, false));
    // It is handled when the call returns.
    check!(SEEN.load(SeqCst) > before, "a handler ran");
    // What may be on its way comes now.
    let _ = sleep(5_000_000);
    answer
}

/// The error that ended the call.
fn interrupted<T>(call: impl FnOnce() -> Result<T>) -> wasix::Errno {
    match ended(call) {
        Err(errno) => errno,
        Ok(_) => panic!("the call ended with success"),
    }
}

fn accepts() {
    let (listener, addr) = check_ok!(listener());
    check_eq!(interrupted(|| accept_v2(listener, 0)), EINTR);
    check_eq!(interrupted(|| accept_preview1(listener, 0)), EINTR);
    // With a limit too.
    check_ok!(set_time(listener, option::ACCEPT_TIMEOUT, Some(15_000_000_000)));
    check_eq!(interrupted(|| accept_v2(listener, 0)), EINTR);
    // A client that comes then is taken, once.
    let client = check_ok!(open_for(addr));
    check_ok!(connect(client, addr));
    let (_, peer) = check_ok!(accept_v2(listener, 0));
    check_eq!(peer, check_ok!(addr_local(client)));
    check_eq!(accept_v2(listener, descriptor::NONBLOCK).err(), Some(EAGAIN));
}

fn both_ends() -> (Fd, Fd) {
    let (listener, _) = check_ok!(listener());
    check_ok!(connected(listener))
}

fn receives() {
    let (near, far) = both_ends();
    let mut buf = [0; 8];
    check_eq!(interrupted(|| recv(near, &mut [0; 8], 0)), EINTR);
    check_eq!(interrupted(|| descriptor::read(near, &mut [0; 8])), EINTR);
    check_ok!(set_time(near, option::RECV_TIMEOUT, Some(15_000_000_000)));
    check_eq!(interrupted(|| recv(near, &mut [0; 8], 0)), EINTR);
    // What has come by then is the answer.
    check_ok!(send_all(far, b"abc"));
    check_eq!(ended(|| recv(near, &mut buf, RECV_WAITALL)), Ok(3));
    check_eq!(&buf[..3], b"abc");
    check_ok!(send_all(far, b"def"));
    check_eq!(recv(near, &mut buf, 0), Ok(3));
    check_eq!(&buf[..3], b"def");
}

fn sends() {
    let (near, far) = both_ends();
    // More than both kernels keep.
    let data: Vec<u8> = (0..32_000_000u32).map(|at| (at % 251) as u8).collect();
    let mut sent = check_ok!(ended(|| send(near, &data, 0)));
    check!((1..data.len()).contains(&sent), "sent {sent}");
    // Until there is no room: then nothing is sent. The kernel may find some later.
    for call in [|fd, data: &[u8]| send(fd, data, 0), descriptor::write] {
        loop {
            match ended(|| call(near, &data[sent..])) {
                Ok(count) => sent += count,
                Err(errno) => break check_eq!(errno, EINTR),
            }
        }
    }
    check_ok!(shutdown(near, SHUT_WR));
    let (mut received, mut buf) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        match check_ok!(recv(far, &mut buf, 0)) {
            0 => break,
            count => received.extend_from_slice(&buf[..count]),
        }
    }
    check_eq!(received.len(), sent);
    check!(received == data[..sent], "every byte once");
}

/// The second argument is an address that does not answer, for now.
fn connects() {
    let addr = std::env::args().nth(2).expect("an address").parse().unwrap();
    let fd = check_ok!(open_for(addr));
    check_eq!(interrupted(|| connect(fd, addr)), EINTR);
    // It goes on.
    check_eq!(connect(fd, addr), Err(EALREADY));
    println!("connecting");
    let events = loop {
        match poll(&[Subscription::write(fd, 1), Subscription::clock(MONOTONIC, 15_000_000_000, 2)]) {
            Err(EINTR) => {}
            events => break check_ok!(events),
        }
    };
    check_eq!(events[0].userdata, 1);
    check_eq!(addr_peer(fd), Ok(addr));
}

fn polls() {
    let (near, far) = both_ends();
    let asked = [Subscription::read(near, 1), Subscription::clock(MONOTONIC, 15_000_000_000, 2)];
    check_eq!(interrupted(|| poll(&asked)), EINTR);
    check_eq!(interrupted(|| poll(&asked[..1])), EINTR);
    check_eq!(interrupted(|| poll(&asked[1..])), EINTR);
    check_ok!(send_all(far, b"x"));
    check_eq!(check_ok!(poll(&asked))[0].userdata, 1);
}

fn epolls() {
    let (near, far) = both_ends();
    let epfd = check_ok!(wait::epoll());
    check_ok!(wait::add(epfd, near, IN | wait::ET));
    check_eq!(interrupted(|| wait::wait(epfd, 4, u64::MAX)), EINTR);
    check_eq!(interrupted(|| wait::wait(epfd, 4, 15_000_000_000)), EINTR);
    check_ok!(send_all(far, b"x"));
    // The edge is reported, once.
    let events: Vec<EpollEvent> = check_ok!(wait::wait(epfd, 4, wait::LONG));
    check_eq!(events.len(), 1);
    check_eq!(check_ok!(wait::wait(epfd, 4, wait::SHORT)).len(), 0);
}

fn reads_input() {
    check_eq!(interrupted(|| descriptor::read(0, &mut [0; 8])), EINTR);
    check_eq!(interrupted(|| poll(&[Subscription::read(0, 1)])), EINTR);
    println!("reading");
    let mut buf = [0; 8];
    check_eq!(descriptor::read(0, &mut buf), Ok(5));
    check_eq!(&buf[..5], b"line\n");
}

fn pipes() {
    let (reader, writer) = check_ok!(wait::pipe());
    let mut buf = [0; 8];
    check_eq!(interrupted(|| descriptor::read(reader, &mut [0; 8])), EINTR);
    check_ok!(descriptor::write(writer, b"abc"));
    check_eq!(descriptor::read(reader, &mut buf), Ok(3));
    // What found room is counted.
    let data = vec![7; 1 << 24];
    let written = check_ok!(ended(|| descriptor::write(writer, &data)));
    check!((1..data.len()).contains(&written), "wrote {written}");
    check_eq!(interrupted(|| descriptor::write(writer, &data)), EINTR);
    check_ok!(descriptor::close(writer));
    let (mut read, mut buf) = (0, vec![0; 1 << 16]);
    loop {
        match check_ok!(descriptor::read(reader, &mut buf)) {
            0 => break,
            count => read += count,
        }
    }
    check_eq!(read, written);
}

fn events() {
    let fd = check_ok!(wait::event(0, 0));
    check_eq!(interrupted(|| descriptor::read(fd, &mut [0; 8])), EINTR);
    check_ok!(descriptor::write(fd, &(u64::MAX - 1).to_le_bytes()));
    check_eq!(interrupted(|| descriptor::write(fd, &1u64.to_le_bytes())), EINTR);
    let mut count = [0; 8];
    check_eq!(descriptor::read(fd, &mut count), Ok(8));
    check_eq!(u64::from_le_bytes(count), u64::MAX - 1);
}

fn pairs() {
    let (near, far) = check_ok!(wait::pair(UNIX, STREAM, 0));
    check_eq!(interrupted(|| recv(near, &mut [0; 8], 0)), EINTR);
    check_ok!(send_all(far, b"abc"));
    let mut buf = [0; 8];
    check_eq!(recv(near, &mut buf, 0), Ok(3));
}

/// The C library takes any error of a futex for fatal: this one is woken, and looks again.
fn futexes() {
    let word = 0u32;
    for limit in [None, Some(15_000_000_000)] {
        let limit = OptionTimestamp::from(limit);
        let mut woken = u8::MAX;
        let wait = || {
            outcome(unsafe {
                raw::wasix::futex_wait(address_of(&word), 0, address_of(&limit), address_of_mut(&mut woken))
            })
        };
        check_eq!(ended(wait), Ok(()));
        check_eq!(woken, 1);
    }
    // Its place is free: there is no waiter to be woken.
    let mut woken = u8::MAX;
    check_ok!(outcome(unsafe { raw::wasix::futex_wake(address_of(&word), address_of_mut(&mut woken)) }));
    check_eq!(woken, 0);
}
