//! `epoll_server ADDR`: an HTTP server on one thread, over edge-triggered epoll.
//!
//! Reads until there is no more, answers each request of a client that sends many at
//! once, and writes on when there is room again. Closes after the answer where the
//! client asks for it, as HTTP/1.0 does by itself.

use std::borrow::Cow;
use std::collections::HashMap;
use wasix::descriptor::{close, set_nonblocking};
use wasix::errno::{EAGAIN, EMFILE, ENFILE};
use wasix::wait::*;
use wasix::{Fd, Result, check_ok, descriptor, socket};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nepoll\n";
const ANSWER_KEPT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: keep-alive\r\n\r\nepoll\n";
const ANSWER_LAST: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nepoll\n";

/// The longest head of a request.
const MAX_HEAD: usize = 8 * 1024;

/// Answers that wait for a slow reader. Beyond it nothing more is read.
const MOST_WAITING: usize = 64 * 1024;

#[derive(Default)]
struct Connection {
    /// The head of a request that is not complete yet.
    head: Vec<u8>,
    out: Vec<u8>,
    /// No request follows, because the client or the last one said so.
    has_ended: bool,
}

impl Connection {
    /// Does what can be done without waiting; tells whether there is more to come.
    fn advance(&mut self, fd: Fd, buf: &mut [u8]) -> Result<bool> {
        loop {
            while !self.out.is_empty() {
                match socket::send(fd, &self.out, 0) {
                    Ok(sent) => drop(self.out.drain(..sent)),
                    Err(EAGAIN) => return Ok(true),
                    Err(errno) => return Err(errno),
                }
            }
            if self.has_ended {
                return Ok(false);
            }
            while self.out.len() < MOST_WAITING && !self.has_ended {
                match socket::recv(fd, buf, 0) {
                    Ok(0) => {
                        self.has_ended = true;
                        break;
                    }
                    Ok(count) => self.take(&buf[..count]),
                    Err(EAGAIN) if self.out.is_empty() => return Ok(true),
                    Err(EAGAIN) => break,
                    Err(errno) => return Err(errno),
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let kept = std::mem::take(&mut self.head);
        let all = if kept.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned([&kept, bytes].concat()) };
        let mut rest = &all[..];
        while !self.has_ended
            && let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n")
        {
            self.answer(&rest[..end]);
            rest = &rest[end + 4..];
        }
        self.has_ended |= rest.len() > MAX_HEAD;
        self.head.extend_from_slice(rest);
    }

    fn answer(&mut self, head: &[u8]) {
        let is_old = head.split(|&byte| byte == b'\r').next().is_some_and(|line| line.ends_with(b"/1.0"));
        if has_option(head, b"close") || (is_old && !has_option(head, b"keep-alive")) {
            self.out.extend_from_slice(ANSWER_LAST);
            self.has_ended = true;
        } else {
            self.out.extend_from_slice(if is_old { ANSWER_KEPT } else { ANSWER });
        }
    }
}

/// Does the head say `Connection: option`?
fn has_option(head: &[u8], option: &[u8]) -> bool {
    head.split(|&byte| byte == b'\n').any(|line| {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
        line[..colon].eq_ignore_ascii_case(b"connection")
            && line[colon + 1..].trim_ascii().eq_ignore_ascii_case(option)
    })
}

fn main() {
    let addr = std::env::args().nth(1).expect("an address").parse().expect("an address");
    let listener = check_ok!(socket::open_for(addr));
    check_ok!(socket::bind(listener, addr));
    check_ok!(socket::listen(listener, 1024));
    check_ok!(set_nonblocking(listener));
    let watch = check_ok!(epoll());
    check_ok!(add(watch, listener, IN));
    let mut connections: HashMap<Fd, Connection> = HashMap::new();
    let mut buf = vec![0; 16 * 1024];
    loop {
        for found in check_ok!(wait(watch, 64, u64::MAX)) {
            if found.fd == listener {
                accept(watch, listener, &mut connections);
                continue;
            }
            let Some(connection) = connections.get_mut(&found.fd) else { continue };
            if !connection.advance(found.fd, &mut buf).unwrap_or(false) {
                connections.remove(&found.fd);
                check_ok!(close(found.fd));
                check_ok!(modify(watch, listener, IN));
            }
        }
    }
}

/// Takes all that wait. Without descriptors the others are not reported until one is
/// closed.
fn accept(watch: Fd, listener: Fd, connections: &mut HashMap<Fd, Connection>) {
    loop {
        match socket::accept_v2(listener, descriptor::NONBLOCK) {
            Ok((fd, _)) => {
                connections.insert(fd, Connection::default());
                check_ok!(add(watch, fd, IN | OUT | RDHUP | ET));
            }
            Err(EMFILE | ENFILE) if !connections.is_empty() => {
                check_ok!(modify(watch, listener, 0));
                return;
            }
            Err(_) => return,
        }
    }
}
