//! `listener ADDR BACKLOG`: listeners that do what the lines of standard input
//! say, one after the other, and tell how each went. The tests that count
//! connections from outside drive it.
//!
//! ADDR is an address to bind, or `unbound4` or `unbound6` for none at all.

use std::hint::black_box;
use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use wasix::errno::*;
use wasix::poll::{MONOTONIC, Subscription, now, poll};
use wasix::socket::*;
use wasix::{Fd, Result, check_ok, descriptor, signal};

/// How many signals were handled.
static HANDLED: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(_signal: i32) {
    HANDLED.fetch_add(1, SeqCst);
}

struct Program {
    /// A verb concerns the one at `current`.
    listeners: Vec<Fd>,
    current: usize,
    accepted: Vec<Fd>,
    opened: Vec<Fd>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let addr = args.next().expect("an address");
    let backlog = args.next().expect("a backlog").parse().unwrap();
    let listener = check_ok!(begin(&addr));
    check_ok!(listen(listener, backlog));
    let mut program =
        Program { listeners: vec![listener], current: 0, accepted: Vec::new(), opened: Vec::new() };
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.unwrap();
        let answer = match program.obey(&line) {
            Ok(answer) => answer,
            Err(errno) => errno.name().to_owned(),
        };
        println!("answer {number}: {answer}");
    }
}

/// A socket that is about to listen.
fn begin(addr: &str) -> Result<Fd> {
    match addr {
        "unbound4" => open(INET4, STREAM, TCP),
        "unbound6" => open(INET6, STREAM, TCP),
        _ => {
            let addr: SocketAddr = addr.parse().expect("an address");
            let fd = open_for(addr)?;
            bind(fd, addr)?;
            Ok(fd)
        }
    }
}

impl Program {
    fn obey(&mut self, line: &str) -> Result<String> {
        let (verb, value) = line.split_once(' ').unwrap_or((line, "0"));
        let value: u64 = value.parse().expect("a number");
        match verb {
            "also" => self.also(value as u32),
            "use" => {
                self.current = value as usize;
                done(Ok(()))
            }
            "dup" => done(descriptor::dup(self.listener()).map(|fd| self.take_up(fd))),
            "listen" => done(listen(self.listener(), value as u32)),
            "listen_often" => done(self.listen_often(value as u32)),
            "shutdown" => done(shutdown(self.listener(), SHUT_RDWR)),
            "local" => addr_local(self.listener()).map(|addr| addr.to_string()),
            "close_listener" => done(self.close_listener()),
            "poll" => self.poll(value),
            "accept" => self.accept(descriptor::NONBLOCK),
            "accept_waiting" => self.accept(0),
            "accept_within" => self.accept_within(value),
            "accept_all" => Ok(self.accept_all()),
            "addresses" => self.addresses(),
            "read" => self.read(),
            "twice" => done(self.twice()),
            "close" => done(descriptor::close(self.accepted.pop().unwrap())),
            "close_all" => done(self.accepted.drain(..).try_for_each(descriptor::close)),
            "open" => Ok(self.open(value)),
            "give_back" => done(descriptor::close(self.opened.pop().unwrap())),
            "serve" => self.serve(),
            "handle_signals" => {
                signal::handle();
                done(Ok(()))
            }
            "handled" => Ok(HANDLED.load(SeqCst).to_string()),
            "compute" => compute(),
            _ => panic!("{line}: no such verb"),
        }
    }

    fn listener(&self) -> Fd {
        self.listeners[self.current]
    }

    fn take_up(&mut self, listener: Fd) {
        self.current = self.listeners.len();
        self.listeners.push(listener);
    }

    /// Listens on one more port, and tells which.
    fn also(&mut self, backlog: u32) -> Result<String> {
        let fd = begin("127.0.0.1:0")?;
        listen(fd, backlog)?;
        self.take_up(fd);
        addr_local(fd).map(|addr| addr.to_string())
    }

    /// The first one is the next to be used.
    fn close_listener(&mut self) -> Result<()> {
        let fd = self.listeners.remove(self.current);
        self.current = 0;
        descriptor::close(fd)
    }

    /// Listens so often, with backlogs of all sizes.
    fn listen_often(&self, times: u32) -> Result<()> {
        (0..times).try_for_each(|time| listen(self.listener(), time.wrapping_mul(2_654_435_761)))
    }

    fn accept(&mut self, flags: u32) -> Result<String> {
        let (fd, peer) = accept_v2(self.listener(), flags)?;
        self.accepted.push(fd);
        Ok(peer.to_string())
    }

    /// Waits for a connection for so many milliseconds at most.
    fn accept_within(&mut self, limit: u64) -> Result<String> {
        set_time(self.listener(), option::ACCEPT_TIMEOUT, Some(limit * 1_000_000))?;
        let answer = self.accept(0);
        set_time(self.listener(), option::ACCEPT_TIMEOUT, None)?;
        answer
    }

    /// Accepts those that wait: their ports, then what ended it.
    fn accept_all(&mut self) -> String {
        let mut ports = String::new();
        loop {
            match accept_v2(self.listener(), descriptor::NONBLOCK) {
                Ok((fd, peer)) => {
                    self.accepted.push(fd);
                    ports.push_str(&format!("{} ", peer.port()));
                }
                Err(errno) => return ports + errno.name(),
            }
        }
    }

    /// Peer and local address of the last connection.
    fn addresses(&self) -> Result<String> {
        let fd = *self.accepted.last().unwrap();
        Ok(format!("{} {}", addr_peer(fd)?, addr_local(fd)?))
    }

    /// Makes another number for the last connection.
    fn twice(&mut self) -> Result<()> {
        self.accepted.push(descriptor::dup(*self.accepted.last().unwrap())?);
        Ok(())
    }

    /// Waits for what the last connection has to say.
    fn read(&self) -> Result<String> {
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
    fn poll(&self, limit: u64) -> Result<String> {
        let start = now(MONOTONIC)?;
        let asked =
            [Subscription::read(self.listener(), 1), Subscription::clock(MONOTONIC, limit * 1_000_000, 2)];
        let events = poll(&asked)?;
        let took = (now(MONOTONIC)? - start) / 1_000_000;
        let ready = events.iter().filter(|event| event.userdata == 1);
        Ok(format!("{} ready after {took} ms", ready.count()))
    }

    /// Answers one message of each client with the same, until one says `quit`;
    /// tells how many it answered. It passes over dead connections.
    fn serve(&self) -> Result<String> {
        let mut served = 0;
        loop {
            let fd = match accept_v2(self.listener(), 0) {
                Ok((fd, _)) => fd,
                Err(ECONNABORTED) => continue,
                Err(errno) => return Err(errno),
            };
            let mut buf = [0; 64];
            let message = recv(fd, &mut buf, 0).map_or(&[][..], |count| &buf[..count]);
            if !message.is_empty() && send_all(fd, message).is_ok() {
                served += 1;
            }
            descriptor::close(fd)?;
            if message == b"quit" {
                return Ok(format!("{served} served"));
            }
        }
    }
}

fn done(outcome: Result<()>) -> Result<String> {
    outcome.map(|()| "done".to_owned())
}

/// Never calls the host again.
fn compute() -> ! {
    println!("computing");
    let mut number = 1u64;
    loop {
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005));
    }
}
