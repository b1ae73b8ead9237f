//! What accept waits for, what it takes, and what it hands on. The descriptor table has
//! 64 places.
//!
//! A line says `CASE STEP OUTCOME`. Compiled natively, the program tells the same
//! of the kernel.

use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, close, dup, fdstat, set_flags, set_nonblocking};
use wasix::errno::EMFILE;
use wasix::poll::{HANGUP, MONOTONIC, Subscription, now, poll};
use wasix::socket::*;
use wasix::{Fd, Result, check_ok};

fn main() {
    readiness();
    order();
    time_limit();
    handed_on();
    blocking_mode();
    reset_while_waiting();
    without_descriptors();
}

fn tell(case: &str, step: &str, outcome: Result<()>) {
    match outcome {
        Ok(()) => println!("{case} {step} ok"),
        Err(errno) => println!("{case} {step} {}", errno.name()),
    }
}

fn tell_whether(case: &str, step: &str, holds: bool) {
    println!("{case} {step} {}", if holds { "yes" } else { "no" });
}

fn client_of(addr: SocketAddr) -> Fd {
    let client = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(connect(client, addr));
    client
}

/// Closes without a trace in the kernel.
fn discard(fd: Fd) {
    check_ok!(set_time(fd, option::LINGER, Some(0)));
    check_ok!(close(fd));
}

/// Polls for at most this long, in nanoseconds.
fn look(case: &str, step: &str, asked: Subscription, limit: u64) {
    let events = check_ok!(poll(&[asked, Subscription::clock(MONOTONIC, limit, 99)]));
    let event = events.iter().find(|event| event.userdata != 99);
    let outcome = match event {
        None => "waits",
        Some(event) if event.flags & HANGUP != 0 => "hangup",
        Some(_) => "ready",
    };
    println!("{case} {step} {outcome}");
}

const LONG: u64 = 10_000_000_000;

/// It is ready as long as a connection waits, and a poll takes none away.
fn readiness() {
    let (listener, addr) = check_ok!(listener());
    look("readiness", "nobody", Subscription::read(listener, 1), 0);
    look("readiness", "write", Subscription::write(listener, 1), 0);
    let clients = [client_of(addr), client_of(addr)];
    for step in ["two", "two_still"] {
        look("readiness", step, Subscription::read(listener, 1), LONG);
    }
    let first = check_ok!(accept_v2(listener, NONBLOCK)).0;
    look("readiness", "one", Subscription::read(listener, 1), LONG);
    let second = check_ok!(accept_v2(listener, NONBLOCK)).0;
    look("readiness", "none", Subscription::read(listener, 1), 0);
    tell("readiness", "accept", accept_v2(listener, NONBLOCK).map(drop));
    // Again after an accept in vain.
    let third = client_of(addr);
    look("readiness", "another", Subscription::read(listener, 1), LONG);
    for fd in clients.into_iter().chain([first, second, third]) {
        discard(fd);
    }
    check_ok!(close(listener));
}

/// First come, first served, by every form of the call.
fn order() {
    let (listener, addr) = check_ok!(listener());
    let clients = [client_of(addr), client_of(addr), client_of(addr)];
    let locals = clients.map(|client| check_ok!(addr_local(client)));
    let (first, peer) = check_ok!(accept(listener, 0));
    tell_whether("order", "first", peer == locals[0]);
    let (second, peer) = check_ok!(accept_v2(listener, 0));
    tell_whether("order", "second", peer == locals[1]);
    let third = check_ok!(accept_preview1(listener, 0));
    tell_whether("order", "third", addr_peer(third) == Ok(locals[2]));
    tell_whether("order", "own_address", addr_local(third) == Ok(addr));
    for fd in clients.into_iter().chain([first, second, third, listener]) {
        discard(fd);
    }
}

/// A limit for receiving is one for accepting.
fn time_limit() {
    const LIMIT: u64 = 50_000_000;
    let (listener, addr) = check_ok!(listener());
    check_ok!(set_time(listener, option::RECV_TIMEOUT, Some(LIMIT)));
    let start = check_ok!(now(MONOTONIC));
    tell("time_limit", "accept", accept_v2(listener, 0).map(drop));
    tell_whether("time_limit", "has_passed", check_ok!(now(MONOTONIC)) - start >= LIMIT);
    let client = client_of(addr);
    let (accepted, _) = check_ok!(accept_v2(listener, 0));
    // It is the listener's limit for its connections too.
    let limits = [listener, accepted].map(|fd| time(fd, option::RECV_TIMEOUT));
    tell_whether("time_limit", "is_handed_on", limits[0] == limits[1] && limits[0] != Ok(None));
    [client, accepted, listener].into_iter().for_each(discard);
}

/// What the new socket has from the listener.
fn handed_on() {
    let (listener, addr) = check_ok!(listener());
    for (name, number) in [("keep_alive", option::KEEP_ALIVE), ("no_delay", option::NO_DELAY)] {
        check_ok!(set_flag(listener, number, true));
        let client = client_of(addr);
        let (accepted, _) = check_ok!(accept_v2(listener, 0));
        tell_whether("handed_on", name, flag(accepted, number) == Ok(true));
        [client, accepted].into_iter().for_each(discard);
    }
    check_ok!(set_size(listener, option::TTL, 77));
    check_ok!(set_time(listener, option::LINGER, Some(2_000_000_000)));
    check_ok!(set_size(listener, option::RECV_BUF_SIZE, 20_000));
    let client = client_of(addr);
    let (accepted, _) = check_ok!(accept_v2(listener, 0));
    let same_time = |number| time(accepted, number) == time(listener, number);
    let same_size = |number| size(accepted, number) == size(listener, number);
    tell_whether("handed_on", "ttl", same_size(option::TTL));
    tell_whether("handed_on", "receive_buffer", same_size(option::RECV_BUF_SIZE));
    tell_whether("handed_on", "linger", same_time(option::LINGER));
    tell_whether("handed_on", "listening", flag(accepted, option::LISTENING) == Ok(true));
    [client, accepted, listener].into_iter().for_each(discard);
}

/// The flag of the call decides for the new socket, not the one of the listener.
fn blocking_mode() {
    let (listener, addr) = check_ok!(listener());
    check_ok!(set_nonblocking(listener));
    for (name, flags) in [("of_nonblocking", 0), ("asked_for", NONBLOCK)] {
        let client = client_of(addr);
        let (accepted, _) = check_ok!(accept_v2(listener, flags));
        let is_nonblocking = u32::from(check_ok!(fdstat(accepted)).flags) & NONBLOCK != 0;
        tell_whether("blocking_mode", name, is_nonblocking);
        [client, accepted].into_iter().for_each(discard);
    }
    // A duplicate shares the mode.
    let twin = check_ok!(dup(listener));
    tell("blocking_mode", "duplicate", accept_v2(twin, 0).map(drop));
    check_ok!(set_flags(twin, 0));
    let is_nonblocking = u32::from(check_ok!(fdstat(listener)).flags) & NONBLOCK != 0;
    tell_whether("blocking_mode", "shared", is_nonblocking);
    check_ok!(close(twin));
    discard(listener);
}

/// The peer of a connection that was reset while it waited is still known.
fn reset_while_waiting() {
    let (listener, addr) = check_ok!(listener());
    let (left, live) = (client_of(addr), client_of(addr));
    let peer = check_ok!(addr_local(left));
    check_ok!(send_all(left, b"bye"));
    discard(left);
    look("reset", "poll", Subscription::read(listener, 1), LONG);
    let (accepted, addr) = check_ok!(accept_v2(listener, 0));
    tell_whether("reset", "peer", addr == peer);
    look("reset", "poll_accepted", Subscription::read(accepted, 1), LONG);
    tell("reset", "recv", recv(accepted, &mut [0; 8], 0).map(drop));
    tell("reset", "recv_again", recv(accepted, &mut [0; 8], 0).map(drop));
    let (next, addr) = check_ok!(accept_v2(listener, 0));
    tell_whether("reset", "next", Ok(addr) == addr_local(live));
    [live, accepted, next, listener].into_iter().for_each(discard);
}

/// With a full table no connection is lost, and it goes on as soon as a place is free.
fn without_descriptors() {
    let (listener, addr) = check_ok!(listener());
    let clients = [client_of(addr), client_of(addr)];
    let bound = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(bind(bound, loopback(0)));
    let mut copies: Vec<Fd> = std::iter::from_fn(|| dup(bound).ok()).collect();
    tell("full_table", "dup", dup(bound).map(drop));
    tell("full_table", "blocking_accept", accept_v2(listener, 0).map(drop));
    check_ok!(set_nonblocking(listener));
    for _ in 0..3 {
        tell("full_table", "accept", accept_v2(listener, 0).map(drop));
        look("full_table", "poll", Subscription::read(listener, 1), 0);
    }
    tell("full_table", "accept_bound", accept_v2(bound, 0).map(drop));
    tell("full_table", "accept_closed", accept_v2(900, 0).map(drop));
    tell("full_table", "listen", listen(bound, 4));
    for client in clients {
        check_ok!(close(copies.pop().unwrap()));
        let (accepted, peer) = check_ok!(accept_v2(listener, 0));
        tell_whether("full_table", "next", Ok(peer) == addr_local(client));
        // Full again, without a connection that waits or with one.
        tell_whether("full_table", "full_again", dup(bound) == Err(EMFILE));
        copies.push(accepted);
    }
    tell("full_table", "accept_nobody", accept_v2(listener, 0).map(drop));
    copies.into_iter().chain(clients).chain([bound, listener]).for_each(discard);
}
