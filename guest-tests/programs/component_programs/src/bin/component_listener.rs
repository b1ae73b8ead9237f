//! `component_listener ADDR BACKLOG`: listeners of WASI 0.2 that do what the lines of standard input
//! say, one after the other, and tell how each went, as the program `listener` does for the dialects of modules. Codes are
//! told by the error numbers that mean the same.

use std::io::BufRead as _;
use std::net::SocketAddr;

use component_programs::*;
use wasip2::clocks::monotonic_clock::{now, subscribe_duration};
use wasip2::io::poll::poll;
use wasip2::io::streams::StreamError;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

const MILLISECOND: u64 = 1_000_000;

struct Program {
    /// A verb concerns the one at `current`.
    listeners: Vec<TcpSocket>,
    current: usize,
    accepted: Vec<Connection>,
    opened: Vec<TcpSocket>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr = args.next().expect("an address").parse().expect("an address");
    let backlog = args.next().expect("a backlog").parse().expect("a number");
    let listener = listen_with(address, backlog).unwrap_or_else(|code| {
        eprintln!("{}", errno(code));
        std::process::exit(1);
    });
    let mut program =
        Program { listeners: vec![listener], current: 0, accepted: Vec::new(), opened: Vec::new() };
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let answer = program.obey(&line.expect("a line")).unwrap_or_else(|code| errno(code).to_owned());
        println!("answer {number}: {answer}");
    }
}

/// A listener, as the C library of this target makes it: a backlog below 1 is 1.
fn listen_with(address: SocketAddr, backlog: u64) -> Result<TcpSocket, ErrorCode> {
    let socket = bound_to(address)?;
    socket.set_listen_backlog_size(backlog.max(1))?;
    start(&socket)?;
    Ok(socket)
}

impl Program {
    fn obey(&mut self, line: &str) -> Result<String, ErrorCode> {
        let (verb, value) = line.split_once(' ').unwrap_or((line, "0"));
        let value: u64 = value.parse().expect("a number");
        match verb {
            "also" => self.also(value),
            "use" => {
                self.current = value as usize;
                done(Ok(()))
            }
            "listen" => done(self.listener().set_listen_backlog_size(value.max(1))),
            "local" => Ok(local(self.listener()).to_string()),
            "close_listener" => {
                self.listeners.remove(self.current);
                self.current = 0;
                done(Ok(()))
            }
            "poll" => Ok(self.poll(value)),
            "accept" => self.accept(),
            "accept_waiting" => {
                let accepted = accept(self.listener())?;
                self.take_up(accepted)
            }
            "accept_within" => self.accept_within(value),
            "accept_all" => Ok(self.accept_all()),
            "addresses" => self.addresses(),
            "read" => Ok(self.read()),
            "close" => done(self.accepted.pop().map(drop).ok_or(ErrorCode::Unknown)),
            "close_all" => {
                self.accepted.clear();
                done(Ok(()))
            }
            "open" => Ok(self.open(value)),
            "give_back" => done(self.opened.pop().map(drop).ok_or(ErrorCode::Unknown)),
            _ => panic!("{line}: no such verb"),
        }
    }

    fn listener(&self) -> &TcpSocket {
        &self.listeners[self.current]
    }

    /// Listens on one more port, and tells which.
    fn also(&mut self, backlog: u64) -> Result<String, ErrorCode> {
        let listener = listen_with(loopback(0), backlog)?;
        let address = local(&listener).to_string();
        self.current = self.listeners.len();
        self.listeners.push(listener);
        Ok(address)
    }

    fn accept(&mut self) -> Result<String, ErrorCode> {
        let accepted = self.listener().accept()?;
        self.take_up(accepted)
    }

    fn take_up(&mut self, accepted: Connection) -> Result<String, ErrorCode> {
        let peer = from_wasi(accepted.0.remote_address()?);
        self.accepted.push(accepted);
        Ok(peer.to_string())
    }

    /// Waits for a connection for so many milliseconds at most.
    fn accept_within(&mut self, limit: u64) -> Result<String, ErrorCode> {
        let end = now() + limit * MILLISECOND;
        loop {
            match self.accept() {
                Err(ErrorCode::WouldBlock) if now() < end => {
                    poll(&[&self.listener().subscribe(), &subscribe_duration(end.saturating_sub(now()))]);
                }
                answer => return answer,
            }
        }
    }

    /// Accepts those that wait: their ports, then what ended it.
    fn accept_all(&mut self) -> String {
        let mut ports = String::new();
        loop {
            match self.listener().accept() {
                Ok(accepted) => {
                    let peer = from_wasi(accepted.0.remote_address().expect("a peer"));
                    self.accepted.push(accepted);
                    ports.push_str(&format!("{} ", peer.port()));
                }
                Err(code) => return ports + errno(code),
            }
        }
    }

    /// Peer and local address of the last connection.
    fn addresses(&self) -> Result<String, ErrorCode> {
        let (socket, ..) = self.accepted.last().ok_or(ErrorCode::Unknown)?;
        Ok(format!("{} {}", from_wasi(socket.remote_address()?), local(socket)))
    }

    /// Waits for what the last connection has to say.
    fn read(&self) -> String {
        let (_, input, _) = self.accepted.last().expect("a connection");
        match input.blocking_read(64) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(StreamError::Closed) => String::new(),
            Err(StreamError::LastOperationFailed(error)) => {
                let text = error.to_debug_string();
                let name = text.split(['(', ')']).find(|word| word.starts_with('E'));
                name.unwrap_or(&text).to_owned()
            }
        }
    }

    /// Opens sockets, `most` at most, and tells how many and what ended it.
    fn open(&mut self, most: u64) -> String {
        for count in 0..most {
            match create_tcp_socket(IpAddressFamily::Ipv4) {
                Ok(socket) => self.opened.push(socket),
                Err(code) => return format!("{count} then {}", errno(code)),
            }
        }
        format!("{most}")
    }

    /// Polls the listener for `limit` milliseconds; tells the number of events and how long it took.
    fn poll(&self, limit: u64) -> String {
        let start = now();
        let ready = poll(&[&self.listener().subscribe(), &subscribe_duration(limit * MILLISECOND)]);
        let took = (now() - start) / MILLISECOND;
        format!("{} ready after {took} ms", ready.iter().filter(|place| **place == 0).count())
    }
}

fn done(outcome: Result<(), ErrorCode>) -> Result<String, ErrorCode> {
    outcome.map(|()| "done".to_owned())
}
