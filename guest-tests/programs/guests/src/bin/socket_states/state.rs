//! The states, and how a socket gets there.

use crate::proof::{self, Proof};
use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, close, set_nonblocking};
use wasix::errno::EINPROGRESS;
use wasix::poll::{HANGUP, MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::{Errno, Fd, check, check_eq, check_ok};

pub struct State {
    pub name: &'static str,
    pub make: fn(&World) -> Subject,
    /// Uses a socket of this state, after a call with this outcome.
    pub proof: fn(&World, &Subject, &str) -> Proof,
}

#[rustfmt::skip]
pub const STATES: &[State] = &[
    State { name: "fresh", make: fresh, proof: proof::fresh },
    State { name: "bound", make: bound, proof: proof::bound },
    State { name: "connecting", make: connecting, proof: proof::of_nothing },
    State { name: "connected", make: active, proof: proof::connected },
    State { name: "accepted", make: passive, proof: proof::connected },
    State { name: "arrived", make: arrived, proof: proof::connected },
    State { name: "listening", make: listening, proof: proof::listening },
    State { name: "we_ended", make: we_ended, proof: proof::we_ended },
    State { name: "peer_ended", make: peer_ended, proof: proof::peer_ended },
    State { name: "both_ended", make: both_ended, proof: proof::both_ended },
    State { name: "reset", make: reset, proof: proof::reset },
    State { name: "failed", make: failed, proof: proof::failed },
    State { name: "closed", make: closed, proof: proof::closed },
];

/// What is the same all the time.
pub struct World {
    /// A listener with room.
    pub live: Fd,
    pub live_addr: SocketAddr,
    pub full: SocketAddr,
    /// Bound by a socket that does not listen, so that a connect is refused.
    dead: SocketAddr,
}

impl World {
    pub fn around(full: SocketAddr) -> Self {
        let (live, live_addr) = check_ok!(listener());
        let dead = check_ok!(open(INET4, STREAM, TCP));
        check_ok!(bind(dead, loopback(0)));
        Self { live, live_addr, full, dead: check_ok!(addr_local(dead)) }
    }

    /// Takes what waits at the live listener, so that the next one is alone.
    pub fn forget_clients(&self) {
        while let Ok((client, _)) = accept_v2(self.live, NONBLOCK) {
            discard(client);
        }
    }
}

/// A socket that never waits, in some state.
pub struct Subject {
    pub fd: Fd,
    /// The other end.
    pub peer: Option<Fd>,
    pub is_open: bool,
    /// Its addresses at the beginning.
    pub local: Result<SocketAddr, Errno>,
    pub remote: Result<SocketAddr, Errno>,
}

impl Subject {
    fn new(fd: Fd, peer: Option<Fd>) -> Self {
        check_ok!(set_nonblocking(fd));
        if let Some(peer) = peer {
            check_ok!(set_nonblocking(peer));
        }
        Self { fd, peer, is_open: true, local: addr_local(fd), remote: addr_peer(fd) }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let own = self.is_open.then_some(self.fd);
        own.into_iter().chain(self.peer).for_each(discard);
    }
}

/// Closes without a trace in the kernel.
fn discard(fd: Fd) {
    let _ = set_time(fd, option::LINGER, Some(0));
    check_ok!(close(fd));
}

/// Waits until there is news to read, or to write; tells whether the peer is gone.
pub fn wait_for(news: Subscription) -> bool {
    const WAIT_TIMEOUT: u64 = 10_000_000_000;
    let events = check_ok!(poll(&[news, Subscription::clock(MONOTONIC, WAIT_TIMEOUT, 1)]));
    let found = events.iter().find(|event| event.userdata == news.userdata);
    check!(found.is_some(), "no news of fd {}", news.fd_or_clock);
    found.is_some_and(|event| event.flags & HANGUP != 0)
}

fn fresh(_: &World) -> Subject {
    Subject::new(check_ok!(open(INET4, STREAM, TCP)), None)
}

fn bound(_: &World) -> Subject {
    let fd = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(bind(fd, loopback(0)));
    Subject::new(fd, None)
}

fn connecting(world: &World) -> Subject {
    let subject = fresh(world);
    check_eq!(connect(subject.fd, world.full), Err(EINPROGRESS));
    known_anew(subject)
}

fn active(world: &World) -> Subject {
    let (near, far) = check_ok!(connected(world.live));
    Subject::new(near, Some(far))
}

fn passive(world: &World) -> Subject {
    let (near, far) = check_ok!(connected(world.live));
    Subject::new(far, Some(near))
}

/// An attempt that has arrived, before its result was read.
fn arrived(world: &World) -> Subject {
    let mut near = fresh(world);
    check_eq!(connect(near.fd, world.live_addr), Err(EINPROGRESS));
    wait_for(Subscription::write(near.fd, 0));
    let (far, _) = check_ok!(accept_v2(world.live, 0));
    check_ok!(set_nonblocking(far));
    near.peer = Some(far);
    known_anew(near)
}

fn listening(_: &World) -> Subject {
    let (fd, _) = check_ok!(listener());
    Subject::new(fd, None)
}

fn we_ended(world: &World) -> Subject {
    let subject = active(world);
    check_ok!(shutdown(subject.fd, SHUT_WR));
    wait_for(Subscription::read(subject.peer.unwrap(), 0));
    subject
}

fn peer_ended(world: &World) -> Subject {
    let subject = active(world);
    check_ok!(shutdown(subject.peer.unwrap(), SHUT_WR));
    wait_for(Subscription::read(subject.fd, 0));
    subject
}

fn both_ended(world: &World) -> Subject {
    let subject = we_ended(world);
    check_ok!(shutdown(subject.peer.unwrap(), SHUT_WR));
    wait_for(Subscription::read(subject.fd, 0));
    known_anew(subject)
}

fn reset(world: &World) -> Subject {
    let mut subject = active(world);
    discard(subject.peer.take().unwrap());
    wait_for(Subscription::read(subject.fd, 0));
    known_anew(subject)
}

fn failed(world: &World) -> Subject {
    let subject = fresh(world);
    check_eq!(connect(subject.fd, world.dead), Err(EINPROGRESS));
    wait_for(Subscription::write(subject.fd, 0));
    subject
}

fn closed(world: &World) -> Subject {
    let mut subject = fresh(world);
    check_ok!(close(subject.fd));
    subject.is_open = false;
    subject
}

/// With the addresses that it has now.
fn known_anew(mut subject: Subject) -> Subject {
    subject.local = addr_local(subject.fd);
    subject.remote = addr_peer(subject.fd);
    subject
}
