//! The calls.

use crate::state::{Subject, World};
use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, close};
use wasix::poll::{HANGUP, MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::{Errno, Result, check_ok};

pub struct Call {
    pub name: &'static str,
    pub make: fn(&World, &Subject) -> Result<&'static str>,
    /// Does it leave the socket as it is, however it ends?
    pub only_asks: bool,
}

const fn acting(name: &'static str, make: fn(&World, &Subject) -> Result<&'static str>) -> Call {
    Call { name, make, only_asks: false }
}

const fn asking(name: &'static str, make: fn(&World, &Subject) -> Result<&'static str>) -> Call {
    Call { name, make, only_asks: true }
}

const SECOND: u64 = 1_000_000_000;

#[rustfmt::skip]
pub const CALLS: &[Call] = &[
    acting("bind", |_, it| bind(it.fd, loopback(0)).map(done)),
    acting("listen", |_, it| listen(it.fd, 16).map(done)),
    acting("accept", |_, it| accept(it.fd, NONBLOCK).map(|(fd, _)| check_ok!(close(fd))).map(done)),
    acting("accept_v2", |_, it| accept_v2(it.fd, NONBLOCK).map(|(fd, _)| check_ok!(close(fd))).map(done)),
    acting("accept_preview1", |_, it| accept_preview1(it.fd, 0).map(|fd| check_ok!(close(fd))).map(done)),
    acting("connect", |world, it| connect(it.fd, world.live_addr).map(done)),
    acting("recv", |_, it| recv(it.fd, &mut [0; 16], 0).map(received)),
    acting("recv_from", |_, it| recv_from(it.fd, &mut [0; 16], 0).map(received)),
    acting("send", |_, it| send(it.fd, b"hello", 0).map(done)),
    acting("send_to", |world, it| send_to(it.fd, b"hello", 0, world.live_addr).map(done)),
    acting("shutdown_rd", |_, it| shutdown(it.fd, SHUT_RD).map(done)),
    acting("shutdown_wr", |_, it| shutdown(it.fd, SHUT_WR).map(done)),
    acting("shutdown_rdwr", |_, it| shutdown(it.fd, SHUT_RDWR).map(done)),
    asking("addr_local", |_, it| addr_local(it.fd).map(address)),
    asking("addr_peer", |_, it| addr_peer(it.fd).map(address)),
    #[cfg(target_os = "wasi")]
    asking("status", |_, it| status(it.fd).map(|status| ["opening", "opened", "closed", "failed"][status as usize])),
    asking("set_flag", |_, it| set_flag(it.fd, option::KEEP_ALIVE, true).map(done)),
    asking("flag", |_, it| flag(it.fd, option::KEEP_ALIVE).map(yes_or_no)),
    asking("is_listening", |_, it| flag(it.fd, option::LISTENING).map(yes_or_no)),
    asking("set_size", |_, it| set_size(it.fd, option::RECV_BUF_SIZE, 65_536).map(done)),
    asking("size", |_, it| size(it.fd, option::RECV_BUF_SIZE).map(done)),
    asking("set_time", |_, it| set_time(it.fd, option::RECV_TIMEOUT, Some(SECOND)).map(done)),
    asking("time", |_, it| time(it.fd, option::RECV_TIMEOUT).map(|time| yes_or_no(time.is_some()))),
    asking("set_linger", |_, it| set_time(it.fd, option::LINGER, Some(SECOND)).map(done)),
    asking("linger", |_, it| time(it.fd, option::LINGER).map(|time| yes_or_no(time.is_some()))),
    asking("last_error", |_, it| size(it.fd, option::LAST_ERROR).map(error)),
    asking("poll_read", |_, it| look(Subscription::read(it.fd, 1))),
    asking("poll_write", |_, it| look(Subscription::write(it.fd, 1))),
];

pub fn done<T>(_: T) -> &'static str {
    "ok"
}

pub fn received(count: usize) -> &'static str {
    if count == 0 { "end" } else { "data" }
}

pub fn address(addr: SocketAddr) -> &'static str {
    match (addr.ip().is_unspecified(), addr.ip().is_loopback(), addr.port()) {
        (true, _, 0) => "none",
        (true, _, _) => "wildcard",
        (_, true, 0) => "portless",
        (_, true, _) => "loopback",
        _ => "strange",
    }
}

pub fn yes_or_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

pub fn error(number: u64) -> &'static str {
    if number == 0 { "none" } else { Errno(number as u16).name() }
}

/// Polls without waiting.
pub fn look(asked: Subscription) -> Result<&'static str> {
    let events = poll(&[asked, Subscription::clock(MONOTONIC, 0, 2)])?;
    let Some(event) = events.iter().find(|event| event.userdata == asked.userdata) else {
        return Ok("waits");
    };
    match event.error {
        0 if event.flags & HANGUP != 0 => Ok("hangup"),
        0 => Ok("ready"),
        number => Err(Errno(number)),
    }
}
