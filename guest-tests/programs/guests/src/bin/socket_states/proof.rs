//! Is a socket as good as before? It is used as its state allows.

use crate::state::{Subject, World, wait_for};
use std::fmt::Debug;
use wasix::descriptor::{NONBLOCK, close};
use wasix::errno::*;
use wasix::poll::Subscription;
use wasix::socket::*;
use wasix::{Fd, check_ok, if_known};

/// What was found to differ, where something did.
pub type Proof = Result<(), String>;

pub fn expect<T: PartialEq + Debug>(what: &str, got: T, expected: T) -> Proof {
    if got == expected { Ok(()) } else { Err(format!("{what}: {got:?}, not {expected:?}")) }
}

fn same_addresses(subject: &Subject) -> Proof {
    expect("own address", addr_local(subject.fd), subject.local)?;
    expect("the peer's address", addr_peer(subject.fd), subject.remote)
}

/// One message from `from` arrives at `to`.
fn carries(from: Fd, to: Fd) -> Proof {
    expect("send", send(from, b"hello", 0), Ok(5))?;
    wait_for(Subscription::read(to, 0));
    expect("recv", recv(to, &mut [0; 16], 0), Ok(5))
}

/// A client of `listener` is let in, and data goes both ways.
pub fn serves(listener: Fd) -> Proof {
    let client = check_ok!(open(INET4, STREAM, TCP));
    let port = check_ok!(addr_local(listener)).port();
    expect("a client's connect", connect(client, loopback(port)), Ok(()))?;
    wait_for(Subscription::read(listener, 0));
    let (accepted, _) = accept_v2(listener, NONBLOCK).map_err(|errno| format!("accept: {errno:?}"))?;
    carries(client, accepted)?;
    carries(accepted, client)?;
    for fd in [client, accepted] {
        check_ok!(set_time(fd, option::LINGER, Some(0)));
        check_ok!(close(fd));
    }
    Ok(())
}

pub fn of_nothing(_: &World, _: &Subject, _: &str) -> Proof {
    Ok(())
}

pub fn fresh(world: &World, it: &Subject, outcome: &str) -> Proof {
    same_addresses(it)?;
    expect("bind", bind(it.fd, loopback(0)), Ok(()))?;
    let it = Subject { fd: it.fd, peer: None, is_open: false, local: addr_local(it.fd), remote: it.remote };
    bound(world, &it, outcome)
}

pub fn bound(_: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(it)?;
    expect("listen", listen(it.fd, 16), Ok(()))?;
    serves(it.fd)
}

pub fn still_connecting(world: &World, it: &Subject) -> Proof {
    same_addresses(it)?;
    expect("connect", connect(it.fd, world.full), Err(EALREADY))
}

/// Once there is room at the full listener.
pub fn arrives_at_full(world: &World, it: &Subject) -> Proof {
    wait_for(Subscription::write(it.fd, 0));
    expect("last error", if_known(size(it.fd, option::LAST_ERROR)).unwrap_or(0), 0)?;
    expect("the peer's address", addr_peer(it.fd), Ok(world.full))
}

/// An attempt to connect to the live listener gets there.
pub fn arrives(world: &World, it: &Subject) -> Proof {
    wait_for(Subscription::write(it.fd, 0));
    expect("last error", if_known(size(it.fd, option::LAST_ERROR)).unwrap_or(0), 0)?;
    wait_for(Subscription::read(world.live, 0));
    let (far, peer) = accept_v2(world.live, NONBLOCK).map_err(|errno| format!("accept: {errno:?}"))?;
    expect("own address", addr_local(it.fd), Ok(peer))?;
    carries(it.fd, far)?;
    carries(far, it.fd)?;
    check_ok!(close(far));
    Ok(())
}

pub fn connected(_: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(it)?;
    let peer = it.peer.unwrap();
    carries(it.fd, peer)?;
    carries(peer, it.fd)
}

pub fn listening(_: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(it)?;
    expect("listening", if_known(flag(it.fd, option::LISTENING)).unwrap_or(true), true)?;
    serves(it.fd)
}

pub fn we_ended(_: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(it)?;
    let peer = it.peer.unwrap();
    carries(peer, it.fd)?;
    expect("send", send(it.fd, b"hello", 0), Err(EPIPE))?;
    expect("the peer's recv", recv(peer, &mut [0; 16], 0), Ok(0))
}

pub fn peer_ended(_: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(it)?;
    carries(it.fd, it.peer.unwrap())?;
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(0))
}

pub fn both_ended(_: &World, it: &Subject, _: &str) -> Proof {
    same_addresses(it)?;
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(0))?;
    expect("send", send(it.fd, b"hello", 0), Err(EPIPE))
}

/// The reset is reported once, and then the stream is at its end.
pub fn reset(_: &World, it: &Subject, outcome: &str) -> Proof {
    same_addresses(it)?;
    if outcome != "ECONNRESET" {
        expect("recv", recv(it.fd, &mut [0; 16], 0), Err(ECONNRESET))?;
    }
    expect("recv", recv(it.fd, &mut [0; 16], 0), Ok(0))?;
    expect("send", send(it.fd, b"hello", 0), Err(EPIPE))
}

/// Why it failed is reported once, and then it may try again.
pub fn failed(world: &World, it: &Subject, outcome: &str) -> Proof {
    if outcome != "ECONNREFUSED" {
        expect("connect", connect(it.fd, world.live_addr), Err(ECONNREFUSED))?;
    }
    expect("connect", connect(it.fd, world.live_addr), Err(EINPROGRESS))?;
    arrives(world, it)
}

/// The number is free.
pub fn closed(_: &World, it: &Subject, _: &str) -> Proof {
    let next = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(close(next));
    expect("the next descriptor", next, it.fd)
}
