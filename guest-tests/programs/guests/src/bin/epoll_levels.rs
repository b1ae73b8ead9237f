//! Level-triggered epoll: told as long as it is so, of everything that can be
//! watched; and what the calls refuse.

use wasix::descriptor::{close, drop_rights, dup, read, right, set_nonblocking, write};
use wasix::errno::*;
use wasix::poll::{FD_READ, MONOTONIC, Subscription, poll};
use wasix::socket::{self, INET4, STREAM, TCP};
use wasix::wait::*;
use wasix::{check, check_eq, check_ok, descriptor, file, raw};

fn main() {
    pipes();
    counters();
    connections();
    listeners();
    attempts_to_connect();
    standard_streams();
    data_and_order();
    refusals();
    closed_things();
    polled();
}

fn pipes() {
    let watch = check_ok!(epoll());
    let (reader, writer) = check_ok!(pipe());
    check_ok!(add(watch, reader, IN));
    check_ok!(add(watch, writer, OUT));
    check_eq!(next(watch), Ok(vec![(writer, OUT)]));
    check_ok!(write(writer, b"x"));
    for _ in 0..3 {
        check_eq!(next(watch), Ok(vec![(reader, IN), (writer, OUT)]));
    }
    check_ok!(read(reader, &mut [0; 8]));
    check_ok!(modify(watch, writer, 0));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(modify(watch, writer, OUT));
    check_ok!(set_nonblocking(writer));
    check_ok!(write(writer, &vec![0; 64 * 1024]));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_ok!(close(writer));
    check_eq!(next(watch), Ok(vec![(reader, IN | HUP)]));
    check_ok!(read(reader, &mut vec![0; 64 * 1024]));
    check_eq!(next(watch), Ok(vec![(reader, HUP)]));

    let (reader, writer) = check_ok!(pipe());
    let watch = check_ok!(epoll());
    check_ok!(add(watch, writer, 0));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(close(reader));
    check_eq!(next(watch), Ok(vec![(writer, ERR)]));
}

fn counters() {
    let watch = check_ok!(epoll());
    let counter = check_ok!(event(0, 0));
    check_ok!(add(watch, counter, IN));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(write(counter, &1_u64.to_le_bytes()));
    check_eq!(next(watch), Ok(vec![(counter, IN)]));
    check_eq!(next(watch), Ok(vec![(counter, IN)]));
    check_ok!(read(counter, &mut [0; 8]));
    check_eq!(now(watch), Ok(vec![]));
}

fn connections() {
    let (listener, _) = check_ok!(socket::listener());
    let (near, far) = check_ok!(socket::connected(listener));
    let watch = check_ok!(epoll());
    check_ok!(add(watch, far, IN | RDHUP));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(socket::send_all(near, b"ab"));
    check_eq!(next(watch), Ok(vec![(far, IN)]));
    check_eq!(socket::recv(far, &mut [0; 1], 0), Ok(1));
    check_eq!(next(watch), Ok(vec![(far, IN)]));
    check_eq!(socket::recv(far, &mut [0; 1], 0), Ok(1));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(modify(watch, far, IN | OUT));
    check_eq!(next(watch), Ok(vec![(far, OUT)]));
    check_ok!(modify(watch, far, IN | RDHUP));
    check_ok!(socket::shutdown(near, 2));
    check_eq!(next(watch), Ok(vec![(far, IN | RDHUP)]));
    // HUP is reported unasked.
    check_ok!(modify(watch, far, 0));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(socket::shutdown(far, 2));
    check_eq!(next(watch), Ok(vec![(far, HUP)]));
}

fn listeners() {
    let (listener, addr) = check_ok!(socket::listener());
    let watch = check_ok!(epoll());
    check_ok!(add(watch, listener, IN | OUT));
    check_eq!(now(watch), Ok(vec![]));
    let clients = [0; 2].map(|_| check_ok!(socket::open(INET4, STREAM, TCP)));
    for client in clients {
        check_ok!(socket::connect(client, addr));
    }
    for _ in 0..3 {
        // Without waiting: the kernel knows of them already.
        check_eq!(check_ok!(wait(watch, 8, 0)).len(), 1);
        check_eq!(next(watch), Ok(vec![(listener, IN)]));
    }
    check_ok!(socket::accept_v2(listener, 0));
    check_eq!(next(watch), Ok(vec![(listener, IN)]));
    check_ok!(socket::accept_v2(listener, 0));
    check_eq!(now(watch), Ok(vec![]));
}

fn attempts_to_connect() {
    let (listener, addr) = check_ok!(socket::listener());
    let watch = check_ok!(epoll());
    let client = check_ok!(socket::open(INET4, STREAM, TCP));
    check_ok!(set_nonblocking(client));
    // A fresh socket: what the kernel says of it. Its connecting is news.
    check_ok!(add(watch, client, IN | OUT));
    check_eq!(next(watch), Ok(vec![(client, OUT | HUP)]));
    match socket::connect(client, addr) {
        Ok(()) | Err(EINPROGRESS) => {}
        Err(errno) => check_eq!(errno, EINPROGRESS),
    }
    check_eq!(next(watch), Ok(vec![(client, OUT)]));
    let far = check_ok!(socket::accept_v2(listener, 0)).0;
    check_ok!(socket::send_all(far, b"x"));
    check_eq!(next(watch).map(|found| found.len()), Ok(1));

    // There is no listener any more.
    check_ok!(close(listener));
    let late = check_ok!(socket::open(INET4, STREAM, TCP));
    check_ok!(set_nonblocking(late));
    check_ok!(add(watch, late, OUT));
    let begun = socket::connect(late, addr);
    check!(matches!(begun, Err(EINPROGRESS | ECONNREFUSED)), "{begun:?}");
    if begun == Err(EINPROGRESS) {
        let found = check_ok!(next(watch));
        check!(
            found.iter().any(|(fd, events)| *fd == late && events & (ERR | HUP | OUT) == ERR | HUP | OUT),
            "{found:?}"
        );
    }
}

/// The input is at its end.
fn standard_streams() {
    let watch = check_ok!(epoll());
    check_ok!(add(watch, 0, IN));
    check_ok!(add(watch, 1, OUT));
    check_ok!(add(watch, 2, IN));
    let mut found = check_ok!(next(watch));
    while found.len() < 2 {
        found = check_ok!(next(watch));
    }
    check_eq!(found, vec![(0, IN | HUP), (1, OUT)]);
}

fn data_and_order() {
    let watch = check_ok!(epoll());
    let counter = check_ok!(event(1, 0));
    let event = EpollEvent {
        events: IN,
        ptr: 0xffff_fff1,
        fd: 77,
        data1: 0x8000_0002,
        data2: 0xfedc_ba98_7654_3210,
        ..EpollEvent::default()
    };
    check_ok!(ctl(watch, ADD, counter, &event));
    // What it is called is the host's to say; the rest comes back as it was.
    check_eq!(wait(watch, 4, LONG), Ok(vec![EpollEvent { fd: counter, ..event }]));

    // No more than asked for, and each of them gets a turn.
    let others: Vec<_> = (0..9).map(|_| check_ok!(wasix::wait::event(1, 0))).collect();
    for other in &others {
        check_ok!(add(watch, *other, IN));
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        let found = check_ok!(wait(watch, 2, LONG));
        check_eq!(found.len(), 2);
        seen.extend(found.iter().map(|event| event.fd));
    }
    seen.sort_unstable();
    seen.dedup();
    check_eq!(seen.len(), 10);
}

fn refusals() {
    let watch = check_ok!(epoll());
    let counter = check_ok!(event(0, 0));
    check_eq!(modify(watch, counter, IN), Err(ENOENT));
    check_eq!(remove(watch, counter), Err(ENOENT));
    check_ok!(add(watch, counter, IN));
    check_eq!(add(watch, counter, IN), Err(EEXIST));
    check_ok!(remove(watch, counter));
    check_eq!(remove(watch, counter), Err(ENOENT));
    // 0 is the reference host's other number for "add".
    check_ok!(ctl(watch, 0, counter, &EpollEvent::default()));
    check_eq!(ctl(watch, 4, counter, &EpollEvent::default()), Err(EINVAL));
    for op in [ADD, MOD] {
        check_eq!(wasix::outcome(unsafe { raw::wasix::epoll_ctl(watch, op, counter, 0) }), Err(EINVAL));
    }
    for bits in [256, 1 << 31] {
        check_eq!(modify(watch, counter, bits), Err(EINVAL), "events {bits:#x}");
    }
    check_eq!(add(900, counter, IN), Err(EBADF));
    check_eq!(add(watch, 900, IN), Err(EBADF));
    check_eq!(add(counter, watch, IN), Err(EINVAL));
    check_eq!(wait(counter, 4, 0), Err(EINVAL));
    check_eq!(wait(900, 4, 0), Err(EBADF));
    for most in [0, 1 << 31, u32::MAX, 0x0400_0000] {
        let at = 0x1000;
        let answer = unsafe { raw::wasix::epoll_wait(watch, at, most, 0, at) };
        check_eq!(wasix::outcome(answer), Err(EINVAL), "{most} events");
    }
    // Files are always ready, and so is a folder.
    let file = check_ok!(file::open(3, "epoll_levels.tmp", file::CREAT, 0));
    check_eq!(add(watch, file, IN), Err(EPERM));
    check_eq!(add(watch, 3, IN), Err(EPERM));
    let limited = check_ok!(dup(counter));
    check_ok!(drop_rights(limited, right::POLL));
    check_eq!(add(watch, limited, IN), Err(ENOTCAPABLE));
    check_eq!(read(watch, &mut [0; 8]), Err(ENOTCAPABLE));
    check_eq!(socket::listen(watch, 4), Err(ENOTSOCK));
    check_eq!(check_ok!(descriptor::fdstat(watch)).filetype, 0);
}

/// What is closed is not reported any more; what has a duplicate still is.
fn closed_things() {
    let watch = check_ok!(epoll());
    let counter = check_ok!(event(1, 0));
    check_ok!(add(watch, counter, IN));
    let twin = check_ok!(dup(counter));
    check_ok!(close(counter));
    // "a file descriptor is removed from an epoll set only after all the file
    // descriptors referring to the same underlying open file description have been
    // closed" - epoll(7)
    check_eq!(next(watch), Ok(vec![(counter, IN)]));
    check_ok!(close(twin));
    check_eq!(now(watch), Ok(vec![]));
    // The number is free for another one.
    let other = check_ok!(event(1, 0));
    check_eq!(other, counter);
    check_ok!(add(watch, other, IN));
    check_eq!(next(watch), Ok(vec![(other, IN)]));
    // The same thing under two numbers is two entries.
    let twin = check_ok!(dup(other));
    check_ok!(add(watch, twin, IN));
    check_eq!(next(watch).map(|found| found.len()), Ok(2));
}

/// An epoll is polled as anything else is.
fn polled() {
    let watch = check_ok!(epoll());
    let (reader, writer) = check_ok!(pipe());
    check_ok!(add(watch, reader, IN));
    let subscriptions = [Subscription::read(watch, 1), Subscription::clock(MONOTONIC, SHORT, 2)];
    check_eq!(
        check_ok!(poll(&subscriptions)).iter().map(|event| event.userdata).collect::<Vec<_>>(),
        vec![2]
    );
    check_ok!(write(writer, b"x"));
    let events = check_ok!(poll(&[Subscription::read(watch, 1), Subscription::clock(MONOTONIC, LONG, 2)]));
    check_eq!(events.len(), 1);
    check_eq!((events[0].userdata, events[0].kind, events[0].error), (1, FD_READ, 0));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
}
