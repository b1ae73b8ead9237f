//! `listener ADDR BACKLOG`: a listener that does what the lines of its standard
//! input say, one after the other, and tells how each went. The tests that count
//! connections from outside drive it.

use std::io::BufRead;
use std::net::SocketAddr;
use wasix::poll::{MONOTONIC, Subscription, now, poll};
use wasix::socket::*;
use wasix::{Errno, Fd, check_ok, descriptor};

struct Program {
    listener: Fd,
    accepted: Vec<Fd>,
    opened: Vec<Fd>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let addr: SocketAddr = args.next().expect("an address").parse().unwrap();
    let backlog = args.next().expect("a backlog").parse().unwrap();
    let listener = check_ok!(open_for(addr));
    check_ok!(bind(listener, addr));
    check_ok!(listen(listener, backlog));
    let mut program = Program { listener, accepted: Vec::new(), opened: Vec::new() };
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.unwrap();
        let answer = match program.obey(&line) {
            Ok(answer) => answer,
            Err(errno) => errno.name().to_owned(),
        };
        println!("answer {number}: {answer}");
    }
}

impl Program {
    fn obey(&mut self, line: &str) -> Result<String, Errno> {
        let (verb, value) = line.split_once(' ').unwrap_or((line, "0"));
        let value: u64 = value.parse().expect("a number");
        let done = || "done".to_owned();
        match verb {
            "listen" => listen(self.listener, value as u32).map(|()| done()),
            "local" => addr_local(self.listener).map(|addr| addr.to_string()),
            "accept" => self.accept(descriptor::NONBLOCK),
            "accept_waiting" => self.accept(0),
            "addresses" => self.addresses(),
            "read" => self.read(),
            "close" => descriptor::close(self.accepted.pop().unwrap()).map(|()| done()),
            "close_listener" => descriptor::close(self.listener).map(|()| done()),
            "open" => Ok(self.open(value)),
            "give_back" => descriptor::close(self.opened.pop().unwrap()).map(|()| done()),
            "poll" => self.poll(value),
            _ => panic!("{line}: no such verb"),
        }
    }

    fn accept(&mut self, flags: u32) -> Result<String, Errno> {
        let (fd, peer) = accept_v2(self.listener, flags)?;
        self.accepted.push(fd);
        Ok(peer.to_string())
    }

    /// Peer and local address of the last connection.
    fn addresses(&self) -> Result<String, Errno> {
        let fd = *self.accepted.last().unwrap();
        Ok(format!("{} {}", addr_peer(fd)?, addr_local(fd)?))
    }

    /// Waits for what the last connection has to say.
    fn read(&self) -> Result<String, Errno> {
        let mut buf = [0; 64];
        let count = recv(*self.accepted.last().unwrap(), &mut buf, 0)?;
        Ok(String::from_utf8_lossy(&buf[..count]).into_owned())
    }

    /// Opens sockets, `most` at most, and tells how many and what ended it.
    fn open(&mut self, most: u64) -> String {
        for count in 0..most {
            match open(INET4, STREAM, TCP) {
                Ok(fd) => self.opened.push(fd),
                Err(errno) => return format!("{count} then {}", errno.name()),
            }
        }
        format!("{most}")
    }

    /// Polls the listener for `limit` milliseconds; tells the number of events and
    /// how long it took.
    fn poll(&self, limit: u64) -> Result<String, Errno> {
        let start = now(MONOTONIC)?;
        let asked =
            [Subscription::read(self.listener, 1), Subscription::clock(MONOTONIC, limit * 1_000_000, 2)];
        let events = poll(&asked)?;
        let took = (now(MONOTONIC)? - start) / 1_000_000;
        let ready = events.iter().filter(|event| event.userdata == 1);
        Ok(format!("{} ready after {took} ms", ready.count()))
    }
}
