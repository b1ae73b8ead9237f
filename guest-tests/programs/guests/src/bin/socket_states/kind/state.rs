//! The states, and how a socket gets there.

use super::proof::{self, Proof};
use crate::state::wait_for;
use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, close, set_flags, set_nonblocking};
use wasix::ends::{Kind, Place, fresh_name};
use wasix::errno::EAGAIN;
use wasix::poll::Subscription;
use wasix::socket::{self, *};
use wasix::{Fd, Result, check_eq, check_ok, unix};

pub struct State {
    pub name: &'static str,
    /// Do sockets of this kind get there?
    pub is_of: fn(Kind) -> bool,
    pub make: fn(&World) -> Subject,
    /// Uses a socket of this state, after a call with this outcome.
    pub proof: fn(&World, &Subject, &str) -> Proof,
}

fn has_address(kind: Kind) -> bool {
    !kind.is_pair
}

fn listens(kind: Kind) -> bool {
    kind.is_connection() && !kind.is_pair
}

fn is_connection(kind: Kind) -> bool {
    kind.is_connection()
}

fn is_datagram(kind: Kind) -> bool {
    !kind.is_connection()
}

fn has_full_peers(kind: Kind) -> bool {
    is_datagram(kind) && kind.is_unix()
}

fn any(_: Kind) -> bool {
    true
}

#[rustfmt::skip]
pub const STATES: &[State] = &[
    State { name: "fresh", is_of: has_address, make: fresh, proof: proof::fresh },
    State { name: "bound", is_of: has_address, make: bound, proof: proof::bound },
    State { name: "queue_full", is_of: listens, make: queue_full, proof: proof::fresh },
    State { name: "listening", is_of: listens, make: listening, proof: proof::listening },
    State { name: "connected", is_of: any, make: connected, proof: proof::connected },
    State { name: "accepted", is_of: listens, make: accepted, proof: proof::connected },
    State { name: "we_ended", is_of: is_connection, make: we_ended, proof: proof::we_ended },
    State { name: "peer_ended", is_of: is_connection, make: peer_ended, proof: proof::peer_ended },
    State { name: "both_ended", is_of: is_connection, make: both_ended, proof: proof::both_ended },
    State { name: "gone", is_of: is_connection, make: gone, proof: proof::both_ended },
    State { name: "reset", is_of: is_connection, make: reset, proof: proof::reset },
    State { name: "no_reading", is_of: is_datagram, make: no_reading, proof: proof::no_reading },
    State { name: "no_writing", is_of: is_datagram, make: no_writing, proof: proof::no_writing },
    State { name: "neither", is_of: is_datagram, make: neither, proof: proof::neither },
    State { name: "refused", is_of: is_datagram, make: refused, proof: proof::refused },
    State { name: "peer_full", is_of: has_full_peers, make: peer_full, proof: proof::peer_full },
    State { name: "closed", is_of: any, make: closed, proof: proof::closed },
];

/// What is the same all the time.
pub struct World {
    pub kind: Kind,
    /// A listener with room; where nothing listens, a socket with an address.
    pub live: Fd,
    pub live_at: Place,
    /// A listener with a full queue.
    full_at: Option<Place>,
}

impl World {
    pub fn of(kind: Kind) -> Self {
        // Pairs have no names; others of their type have.
        let named = Kind { is_pair: false, ..kind };
        let (live, live_at) = check_ok!(named.somewhere());
        check_ok!(set_nonblocking(live));
        let mut full_at = None;
        if kind.is_connection() {
            check_ok!(listen(live, 16));
            let (full, place) = check_ok!(named.somewhere());
            check_ok!(listen(full, 0));
            check_ok!(place.connect(check_ok!(named.open())));
            full_at = Some(place);
        }
        Self { kind, live, live_at, full_at }
    }

    /// A free address.
    pub fn free_place(&self) -> Place {
        match (self.kind.family, &self.live_at) {
            (UNIX, _) => Place::Name(fresh_name()),
            (_, Place::Network(live)) => Place::Network(SocketAddr::new(live.ip(), 0)),
            _ => unreachable!(),
        }
    }

    /// Takes what waits at the live socket, so that the next one is alone.
    pub fn forget_clients(&self) {
        if self.kind.is_connection() {
            while let Ok(client) = accept_preview1(self.live, NONBLOCK) {
                check_ok!(close(client));
            }
        } else {
            while recv(self.live, &mut [0; 16], RECV_DONT_WAIT).is_ok() {}
        }
    }

    /// The address of a socket; empty for none.
    pub fn local(&self, fd: Fd) -> Result<String> {
        if self.kind.is_unix() { unix::local(fd) } else { addr_local(fd).map(|addr| known(&addr)) }
    }

    pub fn peer(&self, fd: Fd) -> Result<String> {
        if self.kind.is_unix() { unix::peer(fd) } else { addr_peer(fd).map(|addr| known(&addr)) }
    }

    fn subject(&self, fd: Fd, peer: Option<Fd>) -> Subject {
        check_ok!(set_nonblocking(fd));
        if let Some(peer) = peer {
            check_ok!(set_nonblocking(peer));
        }
        Subject { fd, peer, is_open: true, local: self.local(fd), remote: self.peer(fd) }
    }
}

fn known(addr: &SocketAddr) -> String {
    if addr.ip().is_unspecified() && addr.port() == 0 { String::new() } else { addr.to_string() }
}

pub fn there(name: &str) -> &'static str {
    if name.is_empty() { "none" } else { "there" }
}

/// A socket that never waits, in some state.
pub struct Subject {
    pub fd: Fd,
    /// The other end.
    pub peer: Option<Fd>,
    pub is_open: bool,
    /// Its addresses at the beginning.
    pub local: Result<String>,
    pub remote: Result<String>,
}

impl Drop for Subject {
    fn drop(&mut self) {
        for fd in self.is_open.then_some(self.fd).into_iter().chain(self.peer) {
            check_ok!(close(fd));
        }
    }
}

fn fresh(world: &World) -> Subject {
    world.subject(check_ok!(world.kind.open()), None)
}

fn bound(world: &World) -> Subject {
    world.subject(check_ok!(world.kind.somewhere()).0, None)
}

/// It asked where the queue is full, and got EAGAIN.
fn queue_full(world: &World) -> Subject {
    let subject = fresh(world);
    check_eq!(world.full_at.as_ref().unwrap().connect(subject.fd), Err(EAGAIN));
    subject
}

fn listening(world: &World) -> Subject {
    let subject = bound(world);
    check_ok!(listen(subject.fd, 16));
    subject
}

fn connected(world: &World) -> Subject {
    let (near, far) = check_ok!(world.kind.ends());
    world.subject(near, Some(far))
}

fn accepted(world: &World) -> Subject {
    let (near, far) = check_ok!(world.kind.ends());
    world.subject(far, Some(near))
}

fn we_ended(world: &World) -> Subject {
    let subject = connected(world);
    check_ok!(shutdown(subject.fd, SHUT_WR));
    subject
}

fn peer_ended(world: &World) -> Subject {
    let subject = connected(world);
    check_ok!(shutdown(subject.peer.unwrap(), SHUT_WR));
    subject
}

fn both_ended(world: &World) -> Subject {
    let subject = we_ended(world);
    check_ok!(shutdown(subject.peer.unwrap(), SHUT_WR));
    subject
}

fn gone(world: &World) -> Subject {
    let mut subject = connected(world);
    check_ok!(close(subject.peer.take().unwrap()));
    subject
}

/// The peer went without reading what it was sent.
fn reset(world: &World) -> Subject {
    let mut subject = connected(world);
    check_eq!(send(subject.fd, b"unread", 0), Ok(6));
    check_ok!(close(subject.peer.take().unwrap()));
    subject
}

fn no_reading(world: &World) -> Subject {
    let subject = connected(world);
    check_ok!(shutdown(subject.fd, SHUT_RD));
    subject
}

fn no_writing(world: &World) -> Subject {
    let subject = connected(world);
    check_ok!(shutdown(subject.fd, SHUT_WR));
    subject
}

fn neither(world: &World) -> Subject {
    let subject = connected(world);
    check_ok!(shutdown(subject.fd, SHUT_RDWR));
    subject
}

/// Its peer is gone. Over a network a message went out, and was answered by an error.
fn refused(world: &World) -> Subject {
    let mut subject = connected(world);
    check_ok!(close(subject.peer.take().unwrap()));
    if !world.kind.is_unix() {
        check_eq!(send(subject.fd, b"lost", 0), Ok(4));
        wait_for(Subscription::read(subject.fd, 0));
    }
    subject
}

/// There is no room at its peer's.
fn peer_full(world: &World) -> Subject {
    let subject = connected(world);
    while socket::send(subject.fd, b"hello", 0).is_ok() {}
    check_ok!(set_flags(subject.fd, NONBLOCK));
    subject
}

fn closed(world: &World) -> Subject {
    let mut subject = fresh(world);
    check_ok!(close(subject.fd));
    subject.is_open = false;
    subject
}
