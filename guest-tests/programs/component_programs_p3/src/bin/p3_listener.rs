//! `p3_listener ADDR BACKLOG`: listeners of WASI 0.3 that do what the lines of standard input say, one after the
//! other, and tell how each went, as the program `listener` does for the dialects of modules. Codes are told by the error
//! numbers that mean the same, and a stream without a connection by `EAGAIN`.

use std::net::SocketAddr;

use component_programs_p3::*;
use wasip3::clocks::monotonic_clock::now;
use wasip3::sockets::types::{ErrorCode, IpAddressFamily, TcpSocket};
use wasip3::wit_bindgen::StreamReader;

program!(run);

struct Program {
    /// A verb concerns the one at `current`.
    listeners: Vec<Listener>,
    current: usize,
    accepted: Vec<Accepted>,
    opened: Vec<TcpSocket>,
}

struct Accepted {
    socket: TcpSocket,
    /// Once something is read of it.
    input: Option<(StreamReader<u8>, Ended)>,
}

type Answer = Result<String, ErrorCode>;

async fn run() -> Result<(), ()> {
    let backlog = argument(2).expect("a backlog").parse().expect("a number");
    let listener = listen_with(address(1), backlog).map_err(|code| eprintln!("{}", errno(code)))?;
    let mut program =
        Program { listeners: vec![listener], current: 0, accepted: Vec::new(), opened: Vec::new() };
    let mut lines = Lines::of_stdin();
    let mut number = 0;
    while let Some(line) = lines.next().await {
        let answer = program.obey(&line).await.unwrap_or_else(|code| errno(code).to_owned());
        println!("answer {number}: {answer}");
        number += 1;
    }
    Ok(())
}

/// A listener, as C libraries make it: a backlog below 1 is 1.
fn listen_with(address: SocketAddr, backlog: u64) -> Result<Listener, ErrorCode> {
    let socket = bound_to(address)?;
    socket.set_listen_backlog_size(backlog.max(1))?;
    Listener::of(socket)
}

impl Program {
    async fn obey(&mut self, line: &str) -> Answer {
        let (verb, value) = line.split_once(' ').unwrap_or((line, "0"));
        let value: u64 = value.parse().expect("a number");
        match verb {
            "also" => self.also(value),
            "use" => {
                self.current = value as usize;
                done(Ok(()))
            }
            "listen" => done(self.listener().socket.set_listen_backlog_size(value.max(1))),
            "local" => Ok(local(&self.listener().socket).to_string()),
            "close_listener" => {
                self.listeners.remove(self.current);
                self.current = 0;
                done(Ok(()))
            }
            "poll" => Ok(self.poll(value).await),
            "accept" => {
                let accepted = self.listener().try_accept();
                self.take_up(accepted)
            }
            "accept_waiting" => {
                let accepted = self.listener().accept().await;
                self.take_up(Some(accepted))
            }
            "accept_within" => {
                let accepted = self.listener().accept_within(value).await;
                self.take_up(accepted)
            }
            "give_up" => {
                self.give_up(value);
                done(Ok(()))
            }
            "accept_all" => Ok(self.accept_all()),
            "addresses" => self.addresses(),
            "read" => Ok(self.read().await),
            "close" => done(self.accepted.pop().map(drop).ok_or(ErrorCode::InvalidState)),
            "close_all" => {
                self.accepted.clear();
                done(Ok(()))
            }
            "open" => Ok(self.open(value)),
            "give_back" => done(self.opened.pop().map(drop).ok_or(ErrorCode::InvalidState)),
            "accept_as_one_is_given_back" => self.accept_as_one_is_given_back().await,
            _ => panic!("{line}: no such verb"),
        }
    }

    fn listener(&mut self) -> &mut Listener {
        &mut self.listeners[self.current]
    }

    /// Listens on one more port, and tells which.
    fn also(&mut self, backlog: u64) -> Answer {
        let listener = listen_with(loopback(0), backlog)?;
        let address = local(&listener.socket).to_string();
        self.current = self.listeners.len();
        self.listeners.push(listener);
        Ok(address)
    }

    fn take_up(&mut self, accepted: Option<TcpSocket>) -> Answer {
        let Some(socket) = accepted else { return Ok("EAGAIN".to_owned()) };
        let peer = from_wasi(socket.get_remote_address()?);
        self.accepted.push(Accepted { socket, input: None });
        Ok(peer.to_string())
    }

    /// A descriptor becomes free while the stream waits for one.
    async fn accept_as_one_is_given_back(&mut self) -> Answer {
        let listener = &mut self.listeners[self.current];
        let opened = &mut self.opened;
        let (accepted, ()) = futures::join!(listener.accept(), async {
            // The other one waits by now.
            wasip3::clocks::monotonic_clock::wait_for(50 * MILLISECOND).await;
            drop(opened.pop());
        });
        self.take_up(Some(accepted))
    }

    /// Begins to accept, computes for so many milliseconds, and drops what it has begun.
    fn give_up(&mut self, limit: u64) {
        let mut read = Box::pin(self.listener().connections.read(Vec::with_capacity(1)));
        assert!(poll_once(read.as_mut()).is_none());
        // The read has begun: who comes now comes in its middle.
        println!("computes");
        let end = now() + limit * MILLISECOND;
        while now() < end {}
    }

    /// Accepts those that wait: their ports, then that there are no more.
    fn accept_all(&mut self) -> String {
        let mut ports = String::new();
        while let Some(socket) = self.listener().try_accept() {
            ports.push_str(&format!("{} ", peer(&socket).port()));
            self.accepted.push(Accepted { socket, input: None });
        }
        ports + "EAGAIN"
    }

    /// Peer and local address of the last connection.
    fn addresses(&self) -> Answer {
        let Accepted { socket, .. } = self.accepted.last().expect("a connection");
        Ok(format!("{} {}", from_wasi(socket.get_remote_address()?), local(socket)))
    }

    /// Waits for what the last connection has to say.
    async fn read(&mut self) -> String {
        let accepted = self.accepted.last_mut().expect("a connection");
        let (input, _) = accepted.input.get_or_insert_with(|| accepted.socket.receive());
        let (_, bytes) = input.read(Vec::with_capacity(64)).await;
        if !bytes.is_empty() {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        // The stream is at its end, and why is told.
        let ended = accepted.input.take().expect("it was read").1.await;
        ended.map_or_else(|code| errno(code).to_owned(), |()| String::new())
    }

    /// Opens sockets, `most` at most, and tells how many and what ended it.
    fn open(&mut self, most: u64) -> String {
        for count in 0..most {
            match TcpSocket::create(IpAddressFamily::Ipv4) {
                Ok(socket) => self.opened.push(socket),
                Err(code) => return format!("{count} then {}", errno(code)),
            }
        }
        format!("{most}")
    }

    /// Waits `limit` milliseconds for a connection; tells the number of events and how long it took.
    async fn poll(&mut self, limit: u64) -> String {
        let start = now();
        let ready = u32::from(self.listener().is_ready_within(limit).await);
        let took = (now() - start) / MILLISECOND;
        format!("{ready} ready after {took} ms")
    }
}

fn done(outcome: Result<(), ErrorCode>) -> Answer {
    outcome.map(|()| "done".to_owned())
}
