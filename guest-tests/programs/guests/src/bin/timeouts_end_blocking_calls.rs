//! A timeout ends a blocking call with EAGAIN, not early and not much later.

use wasix::errno::*;
use wasix::poll::{MONOTONIC, now};
use wasix::socket::*;
use wasix::{Errno, check, check_eq, check_ok, descriptor};

const LIMIT: u64 = 50_000_000;

fn main() {
    let (listener, _) = check_ok!(listener());
    let (near, far) = check_ok!(connected(listener));

    check_ok!(set_time(listener, option::ACCEPT_TIMEOUT, Some(LIMIT)));
    takes(LIMIT, || accept_v2(listener, 0).unwrap_err());
    takes(LIMIT, || accept(listener, 0).unwrap_err());
    takes(LIMIT, || accept_preview1(listener, 0).unwrap_err());

    check_ok!(set_time(near, option::RECV_TIMEOUT, Some(LIMIT)));
    let mut buf = [0; 16];
    takes(LIMIT, || recv(near, &mut buf, 0).unwrap_err());
    takes(LIMIT, || descriptor::read(near, &mut buf).unwrap_err());
    // What arrives is not lost to the one that came too late.
    check_ok!(send_all(far, b"late"));
    check_eq!(recv(near, &mut buf, 0), Ok(4));

    check_ok!(set_time(near, option::SEND_TIMEOUT, Some(LIMIT)));
    let block = vec![0; 1 << 20];
    let start = check_ok!(now(MONOTONIC));
    let full = loop {
        if let Err(errno) = send(near, &block, 0) {
            break errno;
        }
    };
    check_eq!(full, EAGAIN);
    check!(check_ok!(now(MONOTONIC)) - start >= LIMIT, "a send that waited too little");

    // A limit that is not reached changes nothing.
    check_ok!(set_time(listener, option::CONNECT_TIMEOUT, Some(LIMIT)));
    let client = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(set_time(client, option::CONNECT_TIMEOUT, Some(5_000_000_000)));
    check_ok!(connect(client, check_ok!(addr_local(listener))));
    check_ok!(accept_v2(listener, 0));
}

fn takes(limit: u64, call: impl FnOnce() -> Errno) {
    let start = check_ok!(now(MONOTONIC));
    check_eq!(call(), EAGAIN);
    let took = check_ok!(now(MONOTONIC)) - start;
    check!(took >= limit, "{took} ns is less than {limit} ns");
    check!(took < limit + 5_000_000_000, "{took} ns is far more than {limit} ns");
}
