//! The calls. What options there are is each kind's own, and no matter of its state.

use super::state::{Subject, World, there};
use crate::call::{done, error, look, received, yes_or_no};
use wasix::descriptor::{NONBLOCK, close};
use wasix::poll::Subscription;
use wasix::socket::*;
use wasix::{Result, check_ok};

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

#[rustfmt::skip]
pub const CALLS: &[Call] = &[
    acting("bind", |world, it| world.free_place().bind(it.fd).map(done)),
    acting("listen", |_, it| listen(it.fd, 16).map(done)),
    acting("accept", |_, it| accept_preview1(it.fd, NONBLOCK).map(|fd| check_ok!(close(fd))).map(done)),
    acting("connect", |world, it| world.live_at.connect(it.fd).map(done)),
    acting("recv", |_, it| recv(it.fd, &mut [0; 16], 0).map(received)),
    acting("recv_from", |_, it| recv_from(it.fd, &mut [0; 16], 0).map(received)),
    acting("send", |_, it| send(it.fd, b"hello", 0).map(done)),
    acting("send_to", |world, it| world.live_at.send_to(it.fd, b"hello").map(done)),
    acting("shutdown_rd", |_, it| shutdown(it.fd, SHUT_RD).map(done)),
    acting("shutdown_wr", |_, it| shutdown(it.fd, SHUT_WR).map(done)),
    acting("shutdown_rdwr", |_, it| shutdown(it.fd, SHUT_RDWR).map(done)),
    asking("addr_local", |world, it| world.local(it.fd).map(|name| there(&name))),
    asking("addr_peer", |world, it| world.peer(it.fd).map(|name| there(&name))),
    asking("status", |_, it| status(it.fd).map(|status| ["opening", "opened", "closed", "failed"][status as usize])),
    asking("is_listening", |_, it| flag(it.fd, option::LISTENING).map(yes_or_no)),
    asking("last_error", |_, it| size(it.fd, option::LAST_ERROR).map(error)),
    asking("poll_read", |_, it| look(Subscription::read(it.fd, 1))),
    asking("poll_write", |_, it| look(Subscription::write(it.fd, 1))),
];
