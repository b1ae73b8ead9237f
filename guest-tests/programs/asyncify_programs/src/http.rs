//! As much of HTTP/1.1 as the servers here need.

use wasix::errno::{EAGAIN, EINTR};
use wasix::poll::{Subscription, poll};
use wasix::{Errno, Fd, Result, socket};

/// A longer head ends its connection.
const LONGEST_HEAD: usize = 16 << 10;

/// The longest body that is taken.
pub const LONGEST_BODY: usize = 32 << 10;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// What follows the question mark.
    pub query: String,
    pub body: Vec<u8>,
    /// Is the connection kept when it is answered?
    pub keeps: bool,
}

/// A connection with a client.
#[derive(Debug)]
pub struct Connection {
    pub fd: Fd,
    received: Vec<u8>,
}

impl Connection {
    pub fn new(fd: Fd) -> Self {
        Self { fd, received: Vec::new() }
    }

    /// The next request, where all of it is there.
    pub fn take(&mut self) -> Option<Request> {
        let head = self.received.windows(4).position(|end| end == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&self.received[..head]).into_owned();
        let mut lines = text.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let method = first.next().unwrap_or_default().to_owned();
        let target = first.next().unwrap_or_default();
        let mut keeps = first.next() == Some("HTTP/1.1");
        let mut length = 0;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("connection") {
                keeps = value.eq_ignore_ascii_case("keep-alive");
            } else if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap_or(0).min(LONGEST_BODY);
            }
        }
        let end = head + 4 + length;
        if self.received.len() < end {
            return None;
        }
        let body = self.received[head + 4..end].to_vec();
        self.received.drain(..end);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Request { method, path: path.to_owned(), query: query.to_owned(), body, keeps })
    }

    /// Is nothing there of a request?
    pub fn is_idle(&self) -> bool {
        self.received.is_empty()
    }

    /// Receives some of what comes next; false at its end.
    pub fn receive(&mut self) -> Result<bool> {
        let mut part = [0; 4096];
        let count = socket::recv(self.fd, &mut part, 0)?;
        self.received.extend_from_slice(&part[..count]);
        Ok(count > 0 && self.received.len() < LONGEST_HEAD + LONGEST_BODY)
    }

    /// Waits for the next request; nothing at the end.
    pub fn next_request(&mut self) -> Option<Request> {
        loop {
            if let Some(request) = self.take() {
                return Some(request);
            }
            match self.receive() {
                Ok(true) | Err(EINTR) => {}
                Err(EAGAIN) => _ = poll(&[Subscription::read(self.fd, 0)]),
                Ok(false) | Err(Errno(_)) => return None,
            }
        }
    }

    pub fn answer(&self, status: &str, body: &[u8], keeps: bool) -> Result<()> {
        let kept = if keeps { "keep-alive" } else { "close" };
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: {kept}\r\n\r\n", body.len());
        socket::send_all(self.fd, &[head.as_bytes(), body].concat())
    }
}
