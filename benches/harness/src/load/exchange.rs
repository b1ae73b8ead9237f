//! One exchange on a connection: a request goes out, an answer of known length comes back.

use super::Options;
use anyhow::{Context, Result, bail};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The ports that connections come from, at each of many addresses of this machine. Those
/// that the kernel hands out are some 28,000, and one that was used is not free at once.
const PORTS: std::ops::Range<usize> = 20_000..60_000;

/// How long a server may take for one answer. More is an error, not a figure.
pub(super) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// What is sent, and how long the answer is.
pub(super) struct Payload {
    pub(super) request: Vec<u8>,
    pub(super) answer: usize,
}

impl Payload {
    /// What `payload=` names: so many bytes that come back, or a request of HTTP, whose
    /// answer's length is learnt from the server.
    pub(super) fn of(options: &Options) -> Result<Self> {
        match options.text("payload") {
            "http" => Self::http("GET / HTTP/1.1\r\nHost: bench\r\n\r\n", options.address),
            "http-close" => {
                Self::http("GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", options.address)
            }
            bytes => {
                let length: usize = bytes.parse().with_context(|| format!("payload={bytes}"))?;
                Ok(Self { request: vec![b'e'; length], answer: length })
            }
        }
    }

    fn http(request: &str, server: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let mut seen = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                bail!("the server ended the connection after {} bytes", seen.len());
            }
            seen.extend_from_slice(chunk.get(..count).unwrap_or_default());
            if let Some(answer) = length_of_answer(&String::from_utf8_lossy(&seen))? {
                return Ok(Self { request: request.as_bytes().to_vec(), answer });
            }
        }
    }
}

/// How long this answer of HTTP is; nothing while its head is incomplete.
fn length_of_answer(text: &str) -> Result<Option<usize>> {
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("the server answers {head:?}");
    }
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, body) = lengths.next().context("the answer has no length")?;
    Ok(Some(head.len() + 4 + body.trim().parse::<usize>()?))
}

/// A connection that begins. Each `number` of this process has a source of its own.
pub(super) fn connect_to(server: SocketAddr, number: usize) -> Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket: OwnedFd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    // What ended a moment ago does not keep its port from us.
    set_socket_reuseaddr(&socket, true)?;
    // Two runs of this program shall not begin with the same sources.
    let number = number + usize::try_from(std::process::id())? * 10_007;
    let port = u16::try_from(PORTS.start + number % PORTS.len())?;
    let host = u8::try_from(2 + number / PORTS.len() % 250)?;
    match bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), port)) {
        // A program that listens at all addresses has that port: the kernel chooses another.
        Ok(()) | Err(Errno::ADDRINUSE) => {}
        Err(error) => return Err(error).context("bind"),
    }
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error).context("connect"),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection that is there, and does not wait.
pub(super) fn connected(server: SocketAddr, number: usize) -> Result<TcpStream> {
    let stream = connect_to(server, number)?;
    let mut ready = [rustix::event::PollFd::new(&stream, rustix::event::PollFlags::OUT)];
    let timeout = rustix::time::Timespec::try_from(WAIT_TIMEOUT)?;
    if rustix::event::poll(&mut ready, Some(&timeout))? == 0 {
        bail!("no connection was accepted in {WAIT_TIMEOUT:?}");
    }
    match stream.take_error()? {
        Some(error) => Err(error).context("connect"),
        None => Ok(stream),
    }
}

/// A connection with an exchange under way, or none.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    /// How much of the answer is still to come.
    missing: usize,
    pub(super) since: Instant,
}

impl Peer {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, missing: 0, since: Instant::now() }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.missing > 0
    }

    /// Begins an exchange, which counts from `since`.
    pub(super) fn send(&mut self, payload: &Payload, since: Instant) -> Result<()> {
        let sent = self.stream.write(&payload.request).context("send")?;
        // Only one request is ever under way, and any buffer has room for that.
        if sent != payload.request.len() {
            bail!("only {sent} bytes of a request could be sent");
        }
        (self.missing, self.since) = (payload.answer, since);
        Ok(())
    }

    /// Takes what has come; tells whether the answer is complete.
    pub(super) fn receive(&mut self, chunk: &mut [u8]) -> Result<bool> {
        match self.stream.read(chunk) {
            Ok(0) => bail!("the server ended a connection"),
            Ok(count) if count > self.missing => bail!("the server answered more than was asked"),
            Ok(count) => self.missing -= count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("receive"),
        }
        Ok(self.missing == 0)
    }
}

/// Connections, and an epoll that tells which of them can be read.
pub(super) struct Peers {
    pub(super) epoll: OwnedFd,
    pub(super) all: Vec<Peer>,
}

impl Peers {
    pub(super) fn connect(server: SocketAddr, count: usize) -> Result<Self> {
        let mut peers = Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, all: Vec::new() };
        for number in 0..count {
            peers.watch(Peer::new(connected(server, number)?))?;
        }
        Ok(peers)
    }

    pub(super) fn watch(&mut self, peer: Peer) -> Result<()> {
        let data = EventData::new_u64(self.all.len() as u64);
        epoll::add(&self.epoll, &peer.stream, data, EventFlags::IN)?;
        self.all.push(peer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::length_of_answer;
    use anyhow::Result;

    #[test]
    fn the_length_of_an_answer() -> Result<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n";
        assert_eq!(length_of_answer(head)?, Some(head.len() + 6));
        assert_eq!(length_of_answer("HTTP/1.1 200 OK\r\nContent")?, None);
        assert!(length_of_answer("HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(length_of_answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_err());
        Ok(())
    }
}
