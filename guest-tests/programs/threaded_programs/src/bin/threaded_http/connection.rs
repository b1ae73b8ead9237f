//! A connection: requests in, answers out.

use alloc::vec::Vec;
use threaded::{AGAIN, Fd, Result};

/// Answers that wait for a slow reader. Beyond it nothing more is read.
const MOST_WAITING: usize = 64 * 1024;

/// The longest head of a request.
const LONGEST_HEAD: usize = 8 * 1024;

/// What a connection needs to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The peer has to send.
    Read,
    /// The peer has to read.
    Write,
    /// Nothing: it is over.
    Over,
}

pub struct Connection {
    pub fd: Fd,
    head: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    is_ending: bool,
    answers_once: bool,
}

impl Connection {
    pub fn new(fd: Fd) -> Self {
        Self { fd, head: Vec::new(), out: Vec::new(), sent: 0, is_ending: false, answers_once: false }
    }

    /// It is over after one answer.
    pub fn answering_once(fd: Fd) -> Self {
        Self { answers_once: true, ..Self::new(fd) }
    }

    /// Does what can be done; a socket that waits goes on until it is over.
    pub fn advance(&mut self) -> Result<Next> {
        let mut bytes = [0; 4096];
        loop {
            while self.sent < self.out.len() {
                match threaded::send(self.fd, &self.out[self.sent..]) {
                    Ok(count) => self.sent += count,
                    Err(AGAIN) => return Ok(Next::Write),
                    Err(errno) => return Err(errno),
                }
            }
            self.out.clear();
            self.sent = 0;
            if self.is_ending {
                return Ok(Next::Over);
            }
            match threaded::recv(self.fd, &mut bytes) {
                Ok(0) => return Ok(Next::Over),
                Ok(count) => self.hear(&bytes[..count]),
                Err(AGAIN) => return Ok(Next::Read),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.head.push(*byte);
            if self.head.ends_with(b"\r\n\r\n") {
                self.answer();
            }
            if self.is_ending {
                return;
            }
        }
        self.is_ending = self.head.len() > LONGEST_HEAD || self.out.len() > MOST_WAITING;
    }

    fn answer(&mut self) {
        let mut lines = self.head.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
        let is_old = lines.next().is_some_and(|line| line.ends_with(b"HTTP/1.0"));
        let asks = |what: &[u8]| {
            self.head
                .split(|byte| *byte == b'\n')
                .any(|line| line.trim_ascii_end().eq_ignore_ascii_case(what))
        };
        let is_last = self.answers_once
            || if is_old { !asks(b"Connection: keep-alive") } else { asks(b"Connection: close") };
        self.out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n");
        self.out.extend_from_slice(match (is_last, is_old) {
            (true, _) => b"Connection: close\r\n",
            (false, true) => b"Connection: keep-alive\r\n",
            (false, false) => b"",
        });
        self.out.extend_from_slice(b"\r\nwasm\n");
        self.head.clear();
        self.is_ending = is_last;
    }
}
