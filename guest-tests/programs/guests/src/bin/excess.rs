//! `excess CASE`: too much of something that is allowed, a little of each.

use std::io::Read;
use wasix::descriptor::{close, set_nonblocking};
use wasix::errno::*;
use wasix::poll::{Event, MONOTONIC, Subscription, now, poll_into};
use wasix::socket::*;
use wasix::{address_of_mut, check, check_eq, check_ok, file, outcome, raw};

const CASES: [(&str, fn()); 6] = [
    ("sockets", sockets),
    ("lingering", lingering),
    ("subscriptions", subscriptions),
    ("recv_loop", recv_loop),
    ("tiny_buffers", tiny_buffers),
    ("long_paths", long_paths),
];

fn main() {
    let name = std::env::args().nth(1).expect("a case");
    let case = CASES.iter().find(|(it, _)| *it == name);
    let (_, case) = case.expect("a case that is known");
    case();
}

/// Tells that it has come so far, and waits until its input ends.
fn pause(at: &str) {
    println!("{at}");
    let mut line = [0];
    while std::io::stdin().read(&mut line).unwrap() > 0 && line[0] != b'\n' {}
}

fn sockets() {
    pause("before");
    for round in 0..50_000 {
        // A busy machine takes its time, and is seen to go on.
        if round % 2_500 == 0 {
            println!("round {round}.");
        }
        let fd = check_ok!(open(INET4, STREAM, TCP));
        if round % 10 == 0 {
            check_ok!(bind(fd, loopback(0)));
        }
        if round % 100 == 0 {
            check_ok!(listen(fd, 4));
            let (near, far) = check_ok!(connected(fd));
            // No trace is left in the kernel either.
            check_ok!(set_time(near, option::LINGER, Some(0)));
            check_ok!(close(near));
            check_ok!(close(far));
        }
        check_ok!(close(fd));
    }
    pause("after");
}

fn lingering() {
    const HOUR: u64 = 3_600_000_000_000;
    let (listener, _) = check_ok!(listener());
    check_ok!(set_size(listener, option::RECV_BUF_SIZE, 4096));
    let start = check_ok!(now(MONOTONIC));
    for _ in 0..50 {
        let (near, _far) = check_ok!(connected(listener));
        check_ok!(set_nonblocking(near));
        // It is not read, so something is always left to be delivered.
        while send(near, &[0; 65536], 0).is_ok() {}
        check_ok!(set_time(near, option::LINGER, Some(HOUR)));
        check_ok!(close(near));
    }
    let took = check_ok!(now(MONOTONIC)) - start;
    check!(took < 10_000_000_000, "{took} ns");
    pause("closed");
}

fn subscriptions() {
    let (listener, addr) = check_ok!(listener());
    check_ok!(connect(check_ok!(open(INET4, STREAM, TCP)), addr));
    let most = 1 << 16;
    let asked: Vec<_> = (0..=most).map(|userdata| Subscription::read(listener, userdata)).collect();
    let mut events = vec![Event::default(); asked.len()];
    for count in [10_000, most as usize] {
        check_eq!(poll_into(&asked[..count], &mut events), Ok(count));
        check_eq!(events[count - 1].userdata, count as u64 - 1);
    }
    check_eq!(poll_into(&asked, &mut events), Err(EINVAL));
    check_eq!(poll_into(&[], &mut events), Err(EINVAL));

    // The same ones without a client: each waits, and the clock ends it.
    check_ok!(accept_v2(listener, 0));
    let mut asked = asked[..10_000].to_vec();
    asked.push(Subscription::clock(MONOTONIC, 20_000_000, 7));
    check_eq!(poll_into(&asked, &mut events), Ok(1));
    check_eq!(events[0].userdata, 7);
}

/// Asks again and again, and never waits: what arrives is seen all the same.
fn recv_loop() {
    let (listener, _) = check_ok!(listener());
    let (fd, _) = check_ok!(accept_v2(listener, wasix::descriptor::NONBLOCK).or_else(|_| {
        loop {
            if let Ok(accepted) = accept_v2(listener, wasix::descriptor::NONBLOCK) {
                break Ok::<_, wasix::Errno>(accepted);
            }
        }
    }));
    let mut buf = [0; 64];
    loop {
        match recv(fd, &mut buf, 0) {
            Ok(0) => break,
            Ok(count) => println!("{}", String::from_utf8_lossy(&buf[..count])),
            Err(errno) => check_eq!(errno, EAGAIN),
        }
    }
}

fn tiny_buffers() {
    for name in ["one", "two", "three"] {
        check_ok!(close(check_ok!(file::open(3, name, file::CREAT, 0))));
    }
    for size in 0..=24_u32 {
        let mut buf = [0xaa_u8; 32];
        let mut used = u32::MAX;
        let at = address_of_mut(&mut used);
        let answer = unsafe { raw::preview1::fd_readdir(3, address_of_mut(&mut buf), size, 0, at) };
        check_eq!(outcome(answer), Ok(()), "size {size}");
        // "If less than the size of the read buffer, the end of the directory has
        // been reached." A part of an entry fills the rest.
        check_eq!(used, size);
        check!(buf[size as usize..].iter().all(|&byte| byte == 0xaa), "bytes behind {size}");
    }
    // A path, be it "/", and a NUL need more than one byte.
    for size in 0..2_u32 {
        let mut path = [0xaa_u8; 8];
        let mut len = size;
        let at = address_of_mut(&mut path);
        let answer = unsafe { raw::wasix::getcwd(at, address_of_mut(&mut len)) };
        // "EINVAL: The size argument is 0." - getcwd(3p)
        let expected = if size == 0 { EINVAL } else { ERANGE };
        check_eq!(outcome(answer), Err(expected), "size {size}");
        check!(path[size as usize..].iter().all(|&byte| byte == 0xaa), "bytes behind {size}");
    }
}

fn long_paths() {
    for length in [255, 256, 4095, 4096, 4097, 65_535, 1 << 20] {
        for path in ["a".repeat(length), "a/".repeat(length / 2), "../".repeat(length / 3)] {
            let answer = file::open(3, &path, 0, 0);
            check!(
                matches!(answer, Err(ENOENT | ENAMETOOLONG | EPERM | ENOTCAPABLE | EACCES)),
                "{length} of {:?}: {answer:?}",
                &path[..3]
            );
        }
    }
    check_eq!(file::open(3, "", 0, 0), Err(ENOENT));
    check_eq!(file::open(3, "a\0b", 0, 0), Err(EINVAL));
}
