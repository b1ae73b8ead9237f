//! Edge-triggered epoll: told of what is new, once, and never missed by a program
//! that reads until there is no more.

use wasix::descriptor::{read, set_nonblocking, write};
use wasix::errno::*;
use wasix::socket;
use wasix::wait::*;
use wasix::{check_eq, check_ok};

fn main() {
    pipes();
    counters();
    connections();
    listeners();
    long_streams();
}

fn pipes() {
    let watch = check_ok!(epoll());
    let (reader, writer) = check_ok!(pipe());
    check_ok!(write(writer, b"before"));
    check_ok!(add(watch, reader, IN | ET));
    // What is so when it is added counts as new.
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_eq!(now(watch), Ok(vec![]));
    // More of it is new, though the rest was not read.
    check_ok!(write(writer, b"more"));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_ok!(read(reader, &mut [0; 3]));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(modify(watch, reader, IN | ET));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_ok!(read(reader, &mut [0; 64]));
    check_ok!(modify(watch, reader, IN | ET));
    check_eq!(now(watch), Ok(vec![]));

    check_ok!(set_nonblocking(writer));
    check_ok!(add(watch, writer, OUT | ET));
    check_eq!(next(watch), Ok(vec![(writer, OUT)]));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(write(writer, &vec![0; 64 * 1024]));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_ok!(read(reader, &mut vec![0; 64 * 1024]));
    check_eq!(next(watch), Ok(vec![(writer, OUT)]));
    check_eq!(now(watch), Ok(vec![]));
}

fn counters() {
    let watch = check_ok!(epoll());
    let counter = check_ok!(event(0, 0));
    check_ok!(add(watch, counter, IN | ET));
    check_eq!(now(watch), Ok(vec![]));
    for _ in 0..3 {
        check_ok!(write(counter, &1_u64.to_le_bytes()));
        check_eq!(next(watch), Ok(vec![(counter, IN)]));
        check_eq!(now(watch), Ok(vec![]));
    }
    check_ok!(read(counter, &mut [0; 8]));
    check_eq!(now(watch), Ok(vec![]));
}

fn connections() {
    let (listener, _) = check_ok!(socket::listener());
    let (near, far) = check_ok!(socket::connected(listener));
    check_ok!(set_nonblocking(far));
    let watch = check_ok!(epoll());
    check_ok!(add(watch, far, IN | RDHUP | ET));
    check_eq!(now(watch), Ok(vec![]));
    for _ in 0..3 {
        check_ok!(socket::send_all(near, b"abc"));
        check_eq!(next(watch), Ok(vec![(far, IN)]));
        check_eq!(now(watch), Ok(vec![]));
    }
    check_eq!(socket::recv(far, &mut [0; 64], 0), Ok(9));
    check_eq!(socket::recv(far, &mut [0; 64], 0), Err(EAGAIN));
    check_ok!(socket::shutdown(near, 2));
    check_eq!(next(watch), Ok(vec![(far, IN | RDHUP)]));
    check_eq!(now(watch), Ok(vec![]));
    // The end of the other direction is one more.
    check_ok!(socket::shutdown(far, 2));
    check_eq!(next(watch), Ok(vec![(far, IN | RDHUP | HUP)]));
    check_eq!(now(watch), Ok(vec![]));
}

fn listeners() {
    let (listener, addr) = check_ok!(socket::listener());
    check_ok!(set_nonblocking(listener));
    let watch = check_ok!(epoll());
    check_ok!(add(watch, listener, IN | ET));
    check_eq!(now(watch), Ok(vec![]));
    for _ in 0..3 {
        let client = check_ok!(socket::open(socket::INET4, socket::STREAM, socket::TCP));
        check_ok!(socket::connect(client, addr));
        check_eq!(next(watch), Ok(vec![(listener, IN)]));
        check_eq!(now(watch), Ok(vec![]));
    }
    for _ in 0..3 {
        check_ok!(socket::accept_v2(listener, 0));
    }
    check_eq!(socket::accept_v2(listener, 0).err(), Some(EAGAIN));
    check_eq!(now(watch), Ok(vec![]));
}

/// A megabyte both ways at once through small steps: a side that goes on until EAGAIN
/// gets all of it.
fn long_streams() {
    const TOTAL: usize = 1 << 20;
    let (listener, _) = check_ok!(socket::listener());
    let (near, far) = check_ok!(socket::connected(listener));
    let watch = check_ok!(epoll());
    let mut left = [(near, TOTAL, TOTAL), (far, TOTAL, TOTAL)];
    for (fd, ..) in left {
        check_ok!(set_nonblocking(fd));
        check_ok!(add(watch, fd, IN | OUT | ET));
    }
    while left.iter().any(|(_, to_read, to_write)| to_read + to_write > 0) {
        let found = check_ok!(next(watch));
        check_eq!(found.is_empty(), false, "stuck at {left:?}");
        for (fd, _) in found {
            let Some((_, to_read, to_write)) = left.iter_mut().find(|it| it.0 == fd) else { continue };
            while let Ok(count @ 1..) = socket::recv(fd, &mut [0; 1000], 0) {
                *to_read -= count;
            }
            while let (1.., Ok(count)) = (*to_write, socket::send(fd, &vec![1; 3000.min(*to_write)], 0)) {
                *to_write -= count;
            }
        }
    }
}
