//! Is a socket as good as before? It is used as its state allows.

use super::state::{Subject, World};
pub use crate::proof::Proof;
use crate::proof::expect;
use crate::state::wait_for;
use wasix::descriptor::{NONBLOCK, close};
use wasix::ends::{Kind, Place};
use wasix::errno::*;
use wasix::poll::Subscription;
use wasix::socket::*;
use wasix::{Fd, check_ok};

fn same_addresses(world: &World, it: &Subject) -> Proof {
    expect("own address", &world.local(it.fd), &it.local)?;
    expect("the peer's address", &world.peer(it.fd), &it.remote)
}

/// One message from `from` arrives at `to`.
fn carries(from: Fd, to: Fd) -> Proof {
    expect("send", send(from, b"hello", 0), Ok(5))?;
    wait_for(Subscription::read(to, 0));
    expect("recv", recv(to, &mut [0; 16], 0), Ok(5))
}

fn both_ways(one: Fd, other: Fd) -> Proof {
    carries(one, other)?;
    carries(other, one)
}

fn place_of(world: &World, fd: Fd) -> Place {
    if world.kind.is_unix() {
        Place::Name(check_ok!(wasix::unix::local(fd)))
    } else {
        Place::Network(check_ok!(addr_local(fd)))
    }
}

/// A client of a listener is let in, and data goes both ways.
pub fn serves(world: &World, it: &Subject) -> Proof {
    let client = check_ok!(Kind { is_pair: false, ..world.kind }.open());
    expect("a client's connect", place_of(world, it.fd).connect(client), Ok(()))?;
    wait_for(Subscription::read(it.fd, 0));
    let accepted = accept_preview1(it.fd, NONBLOCK).map_err(|errno| format!("accept: {errno:?}"))?;
    both_ways(client, accepted)?;
    check_ok!(close(client));
    check_ok!(close(accepted));
    Ok(())
}

/// It may connect, and have an address.
pub fn fresh(world: &World, it: &Subject, outcome: &str) -> Proof {
    same_addresses(world, it)?;
    expect("bind", world.free_place().bind(it.fd), Ok(()))?;
    let local = world.local(it.fd);
    bound(
        world,
        &Subject { fd: it.fd, peer: None, is_open: false, local, remote: it.remote.clone() },
        outcome,
    )
}

pub fn bound(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    if world.kind.is_connection() {
        expect("listen", listen(it.fd, 16), Ok(()))?;
        return serves(world, it);
    }
    expect("send_to", place_of(world, it.fd).send_to(world.live, b"hello"), Ok(5))?;
    wait_for(Subscription::read(it.fd, 0));
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(5))?;
    expect("send_to", world.live_at.send_to(it.fd, b"hello"), Ok(5))
}

pub fn listening(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    expect("listening", flag(it.fd, option::LISTENING), Ok(true))?;
    serves(world, it)
}

pub fn connected(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    both_ways(it.fd, it.peer.unwrap())
}

pub fn we_ended(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    carries(it.peer.unwrap(), it.fd)?;
    expect("send", send(it.fd, b"hello", 0), Err(EPIPE))?;
    expect("the peer's recv", recv(it.peer.unwrap(), &mut [0; 16], 0), Ok(0))
}

pub fn peer_ended(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    carries(it.fd, it.peer.unwrap())?;
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(0))
}

pub fn both_ended(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(0))?;
    expect("send", send(it.fd, b"hello", 0), Err(EPIPE))
}

/// The reset is reported once, and then it is at its end.
pub fn reset(world: &World, it: &Subject, outcome: &str) -> Proof {
    same_addresses(world, it)?;
    if outcome != "ECONNRESET" {
        expect("recv", recv(it.fd, &mut [0; 16], 0), Err(ECONNRESET))?;
    }
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(0))?;
    expect("send", send(it.fd, b"hello", 0), Err(EPIPE))
}

pub fn no_reading(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    carries(it.fd, it.peer.unwrap())?;
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(0))
}

pub fn no_writing(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    carries(it.peer.unwrap(), it.fd)?;
    expect("send", send(it.fd, b"hello", 0), Err(EPIPE))
}

pub fn neither(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(0))?;
    expect("send", send(it.fd, b"hello", 0), Err(EPIPE))
}

/// Over a network the error is reported once; a name that is gone refuses each message. Another
/// peer may take its place.
pub fn refused(world: &World, it: &Subject, outcome: &str) -> Proof {
    same_addresses(world, it)?;
    if world.kind.is_unix() || outcome != "ECONNREFUSED" {
        expect("send", send(it.fd, b"hello", 0), Err(ECONNREFUSED))?;
    }
    expect("connect", world.live_at.connect(it.fd), Ok(()))?;
    carries(it.fd, world.live)
}

pub fn peer_full(world: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(world, it)?;
    expect("send", send(it.fd, b"hello", 0), Err(EAGAIN))?;
    expect("the peer's recv", recv(it.peer.unwrap(), &mut [0; 16], 0), Ok(5))?;
    expect("send", send(it.fd, b"hello", 0), Ok(5))
}

/// The number is free.
pub fn closed(_: &World, it: &Subject, _: &str) -> Proof {
    let next = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(close(next));
    expect("the next descriptor", next, it.fd)
}
