//! An HTTP/1.1 server on one thread: nonblocking sockets and one poll or epoll.
//!
//! `http_server [ADDR [poll|epoll [fragile|computing]]]` listens on ADDR, `127.0.0.1:8080` by default, and
//! answers every request with a small fixed text. A fragile one traps at the request `TRAP /`, a computing one
//! computes for some 2 ms before each answer. The same source is the guest
//! and, compiled for the host, its native twin: only [`sys`] differs.

mod connection;
mod request;
mod sys;

use connection::{Connection, Manner, Next};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use sys::{Epoll, Interest, Listener, Poll, Poller};

/// The place of the listener in the poller; connection `n` has place `n + 1`.
const LISTENER: usize = 0;

/// How long the listener rests when no descriptor is free. Polling it would
/// report the same waiting connection for ever; a closed connection wakes it too.
const REST: Duration = Duration::from_millis(100);

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let addr: SocketAddr = addr
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{addr}: {error}")))?;
    match std::env::args().nth(2).as_deref() {
        None | Some("poll") => Server::<Poll>::bind(addr)?.serve(),
        Some("epoll") => Server::<Epoll>::bind(addr)?.serve(),
        Some(way) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{way} is no way to wait"))),
    }
}

struct Server<P> {
    listener: Listener,
    poller: P,
    connections: Vec<Connection>,
    /// What one read takes, shared by all connections.
    scratch: Vec<u8>,
    resting: bool,
    manner: Manner,
}

impl<P: Poller> Server<P> {
    fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = Listener::bind(addr)?;
        let mut poller = P::new()?;
        poller.add(&listener, Interest::Read)?;
        let manner = match std::env::args().nth(3).as_deref() {
            Some("fragile") => Manner::Fragile,
            Some("computing") => Manner::Computing,
            _ => Manner::Plain,
        };
        let (connections, scratch) = (Vec::new(), vec![0; 16 * 1024]);
        Ok(Self { listener, poller, connections, scratch, resting: false, manner })
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
        self.resting = false;
        self.poller.set_interest(LISTENER, Interest::Read)?;
        loop {
            match self.listener.accept() {
                Ok(stream) => {
                    self.poller.add(&stream, Interest::Read)?;
                    self.connections.push(Connection::new(stream, self.manner));
                    // The request often is there already.
                    self.advance(self.connections.len())?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if sys::is_out_of_descriptors(&error) => {
                    self.resting = true;
                    return self.poller.set_interest(LISTENER, Interest::Later(REST));
                }
                // A connection that was reset while it waited: the next one.
                Err(_) => {}
            }
        }
    }

    fn advance(&mut self, place: usize) -> io::Result<()> {
        let next = self.connections[place - 1].advance(&mut self.scratch);
        match next {
            Next::Read => self.poller.set_interest(place, Interest::Read),
            Next::Write => self.poller.set_interest(place, Interest::Write),
            Next::Close => {
                self.poller.swap_remove(place);
                self.connections.swap_remove(place - 1);
                if self.resting {
                    self.resting = false;
                    return self.poller.set_interest(LISTENER, Interest::Read);
                }
                Ok(())
            }
        }
    }
}
