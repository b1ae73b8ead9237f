//! One connection: bytes in, answers out.

use crate::request::{self, Bad, Method, Request};
use crate::sys::Stream;
use std::io;

/// Answers that wait for a slow reader. Beyond it, no further request is taken.
const MAX_WAITING: usize = 64 * 1024;

/// What is still read after a refused request, so that the client sees the
/// refusal and not a reset.
const MAX_DRAINED: usize = 64 * 1024;

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/plain\r\nContent-Length: 24\r\n\r\n\
    Hello from a wasm guest\n";
const PAGE_KEPT: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/plain\r\nContent-Length: 24\r\nConnection: keep-alive\r\n\r\n\
    Hello from a wasm guest\n";
const PAGE_LAST: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/plain\r\nContent-Length: 24\r\nConnection: close\r\n\r\n\
    Hello from a wasm guest\n";
const BODY_LENGTH: usize = 24;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Read,
    Write,
    Close,
}

pub struct Connection {
    stream: Stream,
    /// The start of a request that is not complete yet.
    partial: Vec<u8>,
    /// Bytes of a request's body that are still to come, and of no interest.
    body: u64,
    out: Vec<u8>,
    sent: usize,
    phase: Phase,
    manner: Manner,
}

/// What a server does besides answering.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Plain,
    /// It ends at the request `TRAP /`.
    Fragile,
    /// It computes before each answer.
    Computing,
}

/// How many steps are some 2 ms of a processor of these years.
const STEPS: u32 = 1_000_000;

/// Xorshift: each step needs the one before, and no compiler makes one of two, as it does with
/// multiplications and additions.
fn compute() {
    let mut number = std::hint::black_box(1_u64);
    for _ in 0..STEPS {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
    }
    std::hint::black_box(number);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// The last answer is in `out`.
    Finishing,
    /// The last answer is in `out` and refuses what the client still sends.
    Refusing,
    /// The refusal is sent; so many bytes of the client are thrown away.
    Draining(usize),
}

impl Connection {
    /// One of a server that does so.
    pub fn new(stream: Stream, manner: Manner) -> Self {
        let (partial, out) = (Vec::new(), Vec::new());
        Self { stream, partial, body: 0, out, sent: 0, phase: Phase::Serving, manner }
    }

    /// Does what can be done without waiting.
    pub fn advance(&mut self, scratch: &mut [u8]) -> Next {
        match self.try_advance(scratch) {
            Ok(next) => next,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.out.is_empty() {
                    Next::Read
                } else {
                    Next::Write
                }
            }
            Err(_) => Next::Close,
        }
    }

    fn try_advance(&mut self, scratch: &mut [u8]) -> io::Result<Next> {
        if !self.out.is_empty() {
            self.flush()?;
            self.take_kept();
        } else if let Phase::Draining(drained) = self.phase {
            let count = self.stream.read(scratch)?;
            self.phase = Phase::Draining(drained + count);
            let is_over = count == 0 || drained + count > MAX_DRAINED;
            return Ok(if is_over { Next::Close } else { Next::Read });
        } else {
            let count = self.stream.read(scratch)?;
            if count == 0 {
                return Ok(Next::Close);
            }
            self.take(&scratch[..count]);
        }
        while !self.out.is_empty() {
            self.flush()?;
            self.take_kept();
        }
        match self.phase {
            Phase::Serving | Phase::Draining(_) => Ok(Next::Read),
            Phase::Finishing => Ok(Next::Close),
            Phase::Refusing => {
                self.stream.finish()?;
                self.phase = Phase::Draining(0);
                Ok(Next::Read)
            }
        }
    }

    /// Takes new bytes of the client.
    fn take(&mut self, bytes: &[u8]) {
        if self.partial.is_empty() {
            let rest = self.answer(bytes);
            self.partial.extend_from_slice(&bytes[rest..]);
        } else {
            self.partial.extend_from_slice(bytes);
            self.take_kept();
        }
    }

    /// Answers what was kept, as far as it is complete.
    fn take_kept(&mut self) {
        if self.partial.is_empty() {
            return;
        }
        let mut kept = std::mem::take(&mut self.partial);
        let rest = self.answer(&kept);
        kept.drain(..rest);
        self.partial = kept;
    }

    /// Answers the requests of `bytes`, and says how many bytes they were.
    fn answer(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while self.phase == Phase::Serving && self.out.len() < MAX_WAITING {
            let rest = &bytes[done..];
            let skipped = usize::try_from(self.body).unwrap_or(usize::MAX).min(rest.len());
            self.body -= skipped as u64;
            done += skipped;
            match request::parse(&bytes[done..]) {
                Ok(Some((request, head))) if self.body == 0 => {
                    done += head;
                    self.body = request.body;
                    self.reply(request);
                }
                Ok(_) => break,
                Err(bad) => self.refuse(bad),
            }
        }
        // After the last answer nothing is of interest.
        if self.phase == Phase::Serving { done } else { bytes.len() }
    }

    fn reply(&mut self, request: Request) {
        if self.manner == Manner::Computing {
            compute();
        }
        if request.method == Method::Trap && self.manner == Manner::Fragile {
            std::process::abort();
        }
        if matches!(request.method, Method::Trap | Method::Other) {
            return self.refuse_with("405 Method Not Allowed");
        }
        let page = match (request.keep_alive, request.is_http_1_0) {
            (true, false) => PAGE,
            (true, true) => PAGE_KEPT,
            (false, _) => PAGE_LAST,
        };
        let shown = match request.method {
            Method::Head => page.len() - BODY_LENGTH,
            _ => page.len(),
        };
        self.out.extend_from_slice(&page[..shown]);
        if !request.keep_alive {
            self.phase = Phase::Finishing;
        }
    }

    fn refuse(&mut self, bad: Bad) {
        self.refuse_with(match bad {
            Bad::Request => "400 Bad Request",
            Bad::HeadTooLong => "431 Request Header Fields Too Large",
            Bad::TransferEncoding => "501 Not Implemented",
        });
    }

    fn refuse_with(&mut self, status: &str) {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        self.out.extend_from_slice(answer.as_bytes());
        self.phase = Phase::Refusing;
    }

    /// Sends what waits. Fails with `WouldBlock` when the client reads slowly.
    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            self.sent += self.stream.write(&self.out[self.sent..])?;
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}
