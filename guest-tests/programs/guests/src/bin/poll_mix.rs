//! `poll_oneoff` over clocks, sockets, listeners, files and standard streams.
//! The standard input is at its end.

use wasix::errno::*;
use wasix::poll::*;
use wasix::socket::{self, INET4, STREAM, TCP};
use wasix::{Fd, address_of_mut, check, check_eq, check_ok, descriptor, file, raw};

const LONG: u64 = 20_000_000_000;

/// Longer than an acknowledgement is held back: with it the other end's kernel takes more.
const SETTLING: u64 = 300_000_000;

fn main() {
    clocks();
    nothing_and_too_much();
    let (listener, _) = check_ok!(socket::listener());
    listeners(listener);
    connections(listener);
    mixtures(listener);
    unconnected();
    files_and_streams();
}

fn clocks() {
    // Of several clocks the first one to fire decides, and only what fired is reported.
    let events = check_ok!(poll(&[
        Subscription::clock(MONOTONIC, LONG, 1),
        Subscription::clock(MONOTONIC, 1_000_000, 2),
        Subscription::clock(REALTIME, LONG, 3),
    ]));
    check_eq!(events.len(), 1);
    check_eq!((events[0].userdata, events[0].kind, events[0].error), (2, CLOCK, 0));

    // No time at all means now.
    let start = check_ok!(now(MONOTONIC));
    for id in [REALTIME, MONOTONIC] {
        let events = check_ok!(poll(&[Subscription::clock(id, 0, u64::MAX)]));
        check_eq!(events.len(), 1);
        check_eq!(events[0].userdata, u64::MAX);
    }
    // A time on the clock, gone and to come.
    for id in [REALTIME, MONOTONIC] {
        let time = check_ok!(now(id));
        for at in [0, time.saturating_sub(1_000_000), time + 2_000_000] {
            check_eq!(check_ok!(poll(&[Subscription::clock_at(id, at, 5)])).len(), 1);
            check!(check_ok!(now(id)) >= at, "clock {id} fired early");
        }
    }
    check!(check_ok!(now(MONOTONIC)) - start < LONG, "a wait for a time that is gone");

    // A clock that is none: an error of that event, not of the call.
    let answer = poll(&[Subscription::clock(77, 1, 6), Subscription::clock(MONOTONIC, 0, 7)]);
    match answer {
        Ok(events) => check!(
            events.iter().any(|event| event.userdata == 6 && event.error == EINVAL.0),
            "an unknown clock: {events:?}"
        ),
        Err(errno) => check_eq!(errno, EINVAL),
    }
}

fn nothing_and_too_much() {
    let mut count = 0u32;
    let count_at = address_of_mut(&mut count);
    let nothing = unsafe { raw::preview1::poll_oneoff(count_at, count_at, 0, count_at) };
    check_eq!(wasix::outcome(nothing), Err(EINVAL));
    let wrong = Subscription { tag: 9, ..Subscription::read(0, 1) };
    check!(poll(&[wrong]).is_err(), "an unknown kind of subscription");

    // A descriptor that is none: an error of that event alone.
    let events = check_ok!(poll(&[
        Subscription::read(900, 1),
        Subscription::write(u32::MAX, 2),
        Subscription::clock(MONOTONIC, LONG, 3),
    ]));
    check_eq!(events.len(), 2);
    check_eq!((events[0].userdata, events[0].error, events[0].kind), (1, EBADF.0, FD_READ));
    check_eq!((events[1].userdata, events[1].error, events[1].kind), (2, EBADF.0, FD_WRITE));
}

fn listeners(listener: Fd) {
    // No connection waits.
    check_eq!(ready(&[Subscription::read(listener, 1)]), vec![]);

    // A connection waits already: at once, and as often as asked.
    let addr = check_ok!(socket::addr_local(listener));
    let client = check_ok!(socket::open(INET4, STREAM, TCP));
    check_ok!(socket::connect(client, addr));
    for _ in 0..3 {
        let events =
            check_ok!(poll(&[Subscription::read(listener, 1), Subscription::clock(MONOTONIC, LONG, 2),]));
        check_eq!(events.len(), 1);
        check_eq!((events[0].userdata, events[0].error, events[0].kind), (1, 0, FD_READ));
    }
    // Polling took no connection away.
    check_ok!(socket::accept_v2(listener, descriptor::NONBLOCK));
    check_eq!(socket::accept_v2(listener, descriptor::NONBLOCK), Err(EAGAIN));
    check_eq!(ready(&[Subscription::read(listener, 1)]), vec![]);
}

fn connections(listener: Fd) {
    let (near, far) = check_ok!(socket::connected(listener));
    check_eq!(ready(&[Subscription::read(far, 1)]), vec![]);
    check_eq!(ready(&[Subscription::write(far, 2)]), vec![2]);

    check_ok!(socket::send_all(near, b"seventeen letters"));
    let event = only_event(Subscription::read(far, 3));
    check_eq!((event.error, event.kind), (0, FD_READ));
    check!(event.nbytes >= 1, "nothing to read");
    check_eq!(event.flags, 0);
    check_eq!(bytes_now(far), 17);

    // Part of it gone, the rest is still told exactly.
    check_eq!(socket::recv(far, &mut [0; 7], 0), Ok(7));
    check_eq!(bytes_now(far), 10);
    check_eq!(socket::recv(far, &mut [0; 10], 0), Ok(10));
    check_eq!(ready(&[Subscription::read(far, 5)]), vec![]);

    // Full: not writable, until the other side reads.
    check_ok!(descriptor::set_nonblocking(near));
    let block = vec![1; 1 << 18];
    let mut sent = 0;
    loop {
        while let Ok(count) = socket::send(near, &block, 0) {
            sent += count;
        }
        // A kernel may make room for more: what it has sent goes over to the other end.
        let limit = Subscription::clock(MONOTONIC, SETTLING, 9);
        let events = check_ok!(poll(&[Subscription::write(near, 6), limit]));
        if events.iter().all(|event| event.userdata != 6) {
            break;
        }
    }
    check_eq!(ready(&[Subscription::write(near, 6)]), vec![]);
    let mut block = vec![0; 1 << 18];
    while sent > 0 {
        sent -= check_ok!(socket::recv(far, &mut block, 0));
    }
    check_eq!(only_event(Subscription::write(near, 7)).kind, FD_WRITE);

    // The other side is gone.
    check_ok!(descriptor::close(near));
    let event = only_event(Subscription::read(far, 8));
    check_eq!((event.error, event.nbytes), (0, 0));
    check_eq!(event.flags & HANGUP, HANGUP);
    check_eq!(socket::recv(far, &mut [0; 4], 0), Ok(0));
}

fn mixtures(listener: Fd) {
    let (near, far) = check_ok!(socket::connected(listener));
    let addr = check_ok!(socket::addr_local(listener));
    let client = check_ok!(socket::open(INET4, STREAM, TCP));
    check_ok!(socket::connect(client, addr));
    check_ok!(socket::send_all(near, b"x"));
    let wait = Subscription::clock(MONOTONIC, LONG, 99);
    let userdata = ready(&[
        wait,
        Subscription::read(listener, 0xffff_ffff_ffff_fff1),
        Subscription::read(far, 12),
        Subscription::write(far, 13),
        Subscription::read(near, 14),
        Subscription::read(900, 15),
    ]);
    check_eq!(userdata, vec![12, 13, 15, 0xffff_ffff_ffff_fff1]);

    // Many at once.
    let many: Vec<_> = (0..500).map(|n| Subscription::write(far, n)).collect();
    check_eq!(ready(&many).len(), 500);

    // Without the right to be polled.
    check_ok!(descriptor::drop_rights(near, descriptor::right::POLL));
    check_eq!(only_event(Subscription::write(near, 1)).error, ENOTCAPABLE.0);
}

fn unconnected() {
    // It must answer, and never wait for what cannot come without an answer.
    let fresh = check_ok!(socket::open(INET4, STREAM, TCP));
    let events = check_ok!(poll(&[
        Subscription::read(fresh, 1),
        Subscription::write(fresh, 2),
        Subscription::clock(MONOTONIC, 1_000_000, 3),
    ]));
    check!(!events.is_empty(), "polling a fresh socket");
}

fn files_and_streams() {
    let fd = check_ok!(file::open(3, "poll_mix.tmp", file::CREAT | file::TRUNC, 0));
    check_eq!(descriptor::write(fd, b"12345678"), Ok(8));
    check_eq!(file::seek(fd, 3, file::SET), Ok(3));
    check_eq!(ready(&[Subscription::read(fd, 1), Subscription::write(fd, 2)]), vec![1, 2]);
    check_eq!(only_event(Subscription::read(fd, 1)).nbytes, 5);

    check_eq!(ready(&[Subscription::write(1, 3), Subscription::write(2, 4)]), vec![3, 4]);
    // The end of the input counts as something to read.
    let event = only_event(Subscription::read(0, 5));
    check_eq!((event.userdata, event.error), (5, 0));
}

/// The userdata of what is ready now, in order.
fn ready(subscriptions: &[Subscription]) -> Vec<u64> {
    const MARK: u64 = 0x00dd_ba11;
    let mut all = subscriptions.to_vec();
    all.push(Subscription::clock(MONOTONIC, 20_000_000, MARK));
    let mut userdata: Vec<u64> =
        check_ok!(poll(&all)).iter().map(|event| event.userdata).filter(|&it| it != MARK).collect();
    userdata.sort_unstable();
    userdata
}

/// How many bytes there are, as the C library asks for `FIONREAD`: with a time of zero.
fn bytes_now(fd: Fd) -> u64 {
    let events = check_ok!(poll(&[Subscription::read(fd, 1), Subscription::clock(MONOTONIC, 0, 2)]));
    let found = events.iter().find(|event| event.userdata == 1);
    found.map_or(0, |event| event.nbytes)
}

fn only_event(subscription: Subscription) -> Event {
    let events = check_ok!(poll(&[subscription, Subscription::clock(MONOTONIC, LONG, 1 << 40)]));
    check_eq!(events.len(), 1);
    check_eq!(events[0].userdata, subscription.userdata);
    events[0]
}
