//! `udp_answers ADDR`: does what each datagram says, and prints a line about it.
//!
//! `answer` sends it back to its sender; `send ADDR` sends to another address, `other ADDR`
//! does so from another socket; `connect` makes the sender the peer; `end` ends.

use std::net::SocketAddr;
use wasix::errno::ENOSYS;
use wasix::socket::*;
use wasix::{Fd, Result, check_ok};

fn main() {
    let at: SocketAddr = std::env::args().nth(1).expect("an address").parse().unwrap();
    let family = if at.is_ipv4() { INET4 } else { INET6 };
    let (fd, other) = (check_ok!(open(family, DGRAM, UDP)), check_ok!(open(family, DGRAM, UDP)));
    check_ok!(bind(fd, at));
    let mut buf = [0; 64];
    loop {
        let mut addr = AddrPort::unwritten();
        let (count, _) = check_ok!(recv_from_raw(fd, &mut buf, 0, &mut addr));
        let from = addr.decode();
        let text = std::str::from_utf8(&buf[..count]).unwrap();
        if text == "end" {
            return;
        }
        let answer =
            obey(fd, other, text, from).map_or_else(|errno| errno.name().to_owned(), |()| "done".to_owned());
        println!("{text}: {answer}");
    }
}

fn obey(fd: Fd, other: Fd, text: &str, from: SocketAddr) -> Result<()> {
    let words: Vec<&str> = text.split(' ').collect();
    match *words {
        ["answer"] => send_to(fd, text.as_bytes(), 0, from).map(drop),
        ["send", to] => send_to(fd, text.as_bytes(), 0, to.parse().unwrap()).map(drop),
        ["other", to] => send_to(other, text.as_bytes(), 0, to.parse().unwrap()).map(drop),
        ["connect"] => connect(fd, from),
        _ => Err(ENOSYS),
    }
}
