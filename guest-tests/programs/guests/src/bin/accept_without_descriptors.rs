//! A full descriptor table: accept says so, loses no connection, and works again as
//! soon as one descriptor is free.

use wasix::errno::*;
use wasix::poll::{Subscription, poll};
use wasix::socket::*;
use wasix::{Fd, check, check_eq, check_ok, descriptor};

fn main() {
    let (listener, addr) = check_ok!(listener());
    let client = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(connect(client, addr));
    let local = check_ok!(addr_local(client));

    let mut filling: Vec<Fd> = Vec::new();
    let full = loop {
        match descriptor::dup(0) {
            Ok(fd) => filling.push(fd),
            Err(errno) => break errno,
        }
        check!(filling.len() < 100_000, "a table without a limit");
    };
    check_eq!(full, EMFILE);
    check_eq!(open(INET4, STREAM, TCP), Err(EMFILE));

    for _ in 0..100 {
        check_eq!(accept_v2(listener, 0), Err(EMFILE));
        check_eq!(accept(listener, descriptor::NONBLOCK), Err(EMFILE));
        check_eq!(accept_preview1(listener, 0), Err(EMFILE));
    }
    // The connection still waits.
    check_eq!(check_ok!(poll(&[Subscription::read(listener, 7)])).len(), 1);

    let freed = filling.pop().unwrap();
    check_ok!(descriptor::close(freed));
    let (accepted, peer) = check_ok!(accept_v2(listener, 0));
    check_eq!(accepted, freed);
    check_eq!(peer, local);
    check_ok!(send_all(accepted, b"welcome"));
    let mut buf = [0; 16];
    check_eq!(recv(client, &mut buf, 0), Ok(7));
    println!("{}", filling.len());
}
