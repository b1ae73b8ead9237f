//! `host_memory CASE`: as much of one thing as the host gives, and what it says then. Waits for a
//! line of input with all of it.

use std::io::Read;
use wasix::descriptor::*;
use wasix::errno::*;
use wasix::poll::{Event, MONOTONIC, Subscription, poll_into};
use wasix::socket::*;
use wasix::wait::{IN, add, epoll, event, pair, pipe, remove, wait};
use wasix::{Fd, Result, check, check_eq, check_ok};

/// More than any case gets within the limit of its test.
const TOO_MANY: usize = 200_000;

const CASES: [(&str, fn()); 9] = [
    ("nothing", || {}),
    ("events", events),
    ("sockets", sockets),
    ("pipes", pipes),
    ("epolls", epolls),
    ("entries", entries),
    ("entries_come_and_go", entries_come_and_go),
    ("subscriptions", subscriptions),
    ("high_number", high_number),
];

fn main() {
    let name = std::env::args().nth(1).expect("a case");
    let case = CASES.iter().find(|(it, _)| *it == name);
    let (_, case) = case.expect("a case that is known");
    case();
    println!("done");
    let _line = std::io::stdin().read(&mut [0]);
}

/// Opens as many as there may be; closes some, and gets others for them.
fn fill(mut open: impl FnMut() -> Result<Fd>) {
    let mut count = 0;
    let last = loop {
        check!(count < TOO_MANY, "{count} descriptors");
        match open() {
            Ok(_) => count += 1,
            Err(errno) => break errno,
        }
    };
    check_eq!(last, EMFILE, "after {count}");
    check!(count > 100, "{count} descriptors");
    for fd in 10..50 {
        check_ok!(close(fd));
    }
    for _ in 0..10 {
        check_ok!(open());
    }
}

fn events() {
    fill(|| event(0, 0));
}

fn sockets() {
    fill(|| open(INET4, STREAM, TCP));
}

fn epolls() {
    fill(epoll);
}

fn pipes() {
    let mut writers = Vec::new();
    let full = loop {
        check!(writers.len() < TOO_MANY, "{} pipes", writers.len());
        match pipe() {
            Ok((_, writer)) => writers.push(writer),
            Err(errno) => break errno,
        }
    };
    check_eq!(full, EMFILE);
    // What is open has room for all that it holds.
    for writer in writers {
        check_ok!(set_nonblocking(writer));
        check_eq!(write(writer, &[0; 70_000]), Ok(65_536));
    }
}

fn entries() {
    let epolls: Vec<Fd> = (0..40).map(|_| check_ok!(epoll())).collect();
    let things: Vec<Fd> = (0..900).map(|_| check_ok!(event(1, 0))).collect();
    let pairs = epolls.iter().flat_map(|epfd| things.iter().map(move |fd| (*epfd, *fd)));
    let mut count = 0;
    let mut refused = pairs.filter_map(|(epfd, fd)| match add(epfd, fd, IN) {
        Ok(()) => {
            count += 1;
            None
        }
        Err(errno) => Some((errno, epfd, fd)),
    });
    let last = refused.next();
    drop(refused);
    check!(count > 1000, "{count} entries, then {last:?}");
    let Some((ENOSPC, epfd, fd)) = last else { panic!("{count} entries, then {last:?}") };
    // Those that go make room for another one.
    for thing in &things[..10] {
        check_ok!(remove(epolls[0], *thing));
    }
    check_ok!(add(epfd, fd, IN));
    check_eq!(check_ok!(wait(epolls[0], 64, 0)).len(), 64);
}

fn entries_come_and_go() {
    let fd = check_ok!(event(1, 0));
    let epfd = check_ok!(epoll());
    for round in 0..TOO_MANY {
        check_eq!(add(epfd, fd, IN), Ok(()), "round {round}");
        // Half of them are left behind by what is closed.
        if round % 2 == 0 {
            check_ok!(remove(epfd, fd));
        } else {
            check_ok!(close(fd));
            check_eq!(event(1, 0), Ok(fd));
        }
    }
}

fn subscriptions() {
    let (near, _far) = check_ok!(pair(INET4, STREAM, 0));
    let mut asked: Vec<_> = (0..65_536).map(|userdata| Subscription::read(near, userdata)).collect();
    let mut events = vec![Event::default(); asked.len()];
    let clock = asked.len() - 1;
    asked[clock] = Subscription::clock(MONOTONIC, 1_000_000, 7);
    // All of them are 3 MiB of the guest's.
    check_eq!(poll_into(&asked, &mut events), Err(ENOMEM));
    // Some are as ever, and nothing is left of what was refused.
    for _ in 0..100 {
        check_eq!(poll_into(&asked[clock - 1000..], &mut events), Ok(1));
        check_eq!(events[0].userdata, 7);
    }
    for fd in 0..100 {
        asked[clock - 100 + fd] = Subscription::write(near, fd as u64);
    }
    check_eq!(poll_into(&asked[clock - 1000..], &mut events), Ok(100));
    check_eq!(events[99].userdata, 99);
}

fn high_number() {
    // 32 MB of a table.
    check_eq!(renumber_wasix(1, 1_048_575), Err(EMFILE));
    check_ok!(renumber_wasix(1, 20_000));
    check_eq!(event(0, 0), Ok(3));
}
