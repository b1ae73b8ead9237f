//! A server for streams of bytes on one thread: nonblocking sockets and one epoll.
//!
//! `stream_server ADDR WHAT` serves every connection in one way:
//!
//! * `echo`: what comes in goes back.
//! * `sink`: what comes in is thrown away.
//! * `source`: bytes go out for as long as they are taken, in writes of 64 KiB.
//!
//! As `http_server`, the same source is the guest and its native twin.

#[allow(dead_code, unused_imports, reason = "the HTTP server uses the rest")]
#[path = "../sys/mod.rs"]
mod sys;

use std::io;
use std::net::SocketAddr;
use sys::{Epoll, Interest, Listener, Poller, Stream};

/// What one call to read or to write moves at most.
const CHUNK: usize = 64 * 1024;

/// How often one connection reads or writes before the others have their turn.
const TURN: usize = 16;

/// The place of the listener in the poller; connection `n` has place `n + 1`.
const LISTENER: usize = 0;

fn main() -> io::Result<()> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next().unwrap_or_default();
    let addr: SocketAddr = addr.parse().map_err(|error| invalid(format!("{addr}: {error}")))?;
    let service = match arguments.next().as_deref() {
        Some("echo") => Service::Echo,
        Some("sink") => Service::Sink,
        Some("source") => Service::Source,
        what => return Err(invalid(format!("{what:?} is no service"))),
    };
    Server::bind(addr, service)?.serve()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Echo,
    Sink,
    Source,
}

struct Connection {
    stream: Stream,
    /// What the peer was too slow to take. Nothing more is read meanwhile.
    unsent: Vec<u8>,
}

struct Server {
    service: Service,
    listener: Listener,
    poller: Epoll,
    connections: Vec<Connection>,
    chunk: Vec<u8>,
}

impl Server {
    fn bind(addr: SocketAddr, service: Service) -> io::Result<Self> {
        let listener = Listener::bind(addr)?;
        let mut poller = Epoll::new()?;
        poller.add(&listener, Interest::Read)?;
        Ok(Self { service, listener, poller, connections: Vec::new(), chunk: vec![b'.'; CHUNK] })
    }

    fn serve(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(&mut ready)?;
            // From the last place to the first: closing moves the last
            // connection into the gap, and the last one has had its turn.
            ready.sort_unstable_by(|a, b| b.cmp(a));
            for &place in &ready {
                match place {
                    LISTENER => self.accept()?,
                    _ => self.advance(place)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let interest = if self.service == Service::Source { Interest::Write } else { Interest::Read };
        loop {
            match self.listener.accept() {
                Ok(stream) => {
                    self.poller.add(&stream, interest)?;
                    self.connections.push(Connection { stream, unsent: Vec::new() });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // A measurement has descriptors enough: to be without is an error.
                Err(error) if sys::is_out_of_descriptors(&error) => return Err(error),
                // A connection that was reset while it waited: the next one.
                Err(_) => {}
            }
        }
    }

    fn advance(&mut self, place: usize) -> io::Result<()> {
        let connection = &mut self.connections[place - 1];
        let moved = match self.service {
            Service::Echo => connection.echo(&mut self.chunk),
            Service::Sink => connection.sink(&mut self.chunk),
            Service::Source => connection.source(&self.chunk),
        };
        match moved {
            Ok(interest) => self.poller.set_interest(place, interest),
            Err(_) => {
                self.poller.swap_remove(place);
                self.connections.swap_remove(place - 1);
                Ok(())
            }
        }
    }
}

impl Connection {
    /// One message in, the same one out.
    fn echo(&mut self, chunk: &mut [u8]) -> io::Result<Interest> {
        if !self.unsent.is_empty() {
            let Some(sent) = waiting(self.stream.write(&self.unsent))? else {
                return Ok(Interest::Write);
            };
            self.unsent.drain(..sent);
        } else if let Some(count) = waiting(self.stream.read(chunk))? {
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let sent = waiting(self.stream.write(&chunk[..count]))?.unwrap_or(0);
            self.unsent.extend_from_slice(&chunk[sent..count]);
        }
        Ok(if self.unsent.is_empty() { Interest::Read } else { Interest::Write })
    }

    fn sink(&mut self, chunk: &mut [u8]) -> io::Result<Interest> {
        for _ in 0..TURN {
            match waiting(self.stream.read(chunk))? {
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(_) => {}
                None => break,
            }
        }
        Ok(Interest::Read)
    }

    fn source(&self, chunk: &[u8]) -> io::Result<Interest> {
        for _ in 0..TURN {
            if waiting(self.stream.write(chunk))?.is_none() {
                break;
            }
        }
        Ok(Interest::Write)
    }
}

/// Nothing where the call would have to wait.
fn waiting(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
