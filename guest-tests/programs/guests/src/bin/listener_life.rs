//! How a listener begins, goes on and ends: addresses, rivals, duplicates, and what
//! its clients see.
//!
//! A line says `CASE STEP OUTCOME`. Compiled natively, the program tells the same
//! of the kernel.

use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, close, dup};
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::{Fd, Result, check, check_ok};

fn main() {
    chosen_ports();
    for reuses in [true, false] {
        restarts(reuses);
        rivals_of_a_listener(reuses);
        rivals_of_a_bound_socket(reuses);
    }
    shared_port();
    duplicates();
    clients_of_a_closed_listener();
    client_that_left();
    datagram();
}

fn tell(case: &str, step: &str, outcome: Result<()>) {
    match outcome {
        Ok(()) => println!("{case} {step} ok"),
        Err(errno) => println!("{case} {step} {}", errno.name()),
    }
}

fn fresh() -> Fd {
    check_ok!(open(INET4, STREAM, TCP))
}

/// A socket that asks for the reuse of its address, or does not.
fn fresh_with_reuse(reuses: bool) -> Fd {
    let fd = fresh();
    if reuses {
        check_ok!(set_flag(fd, option::REUSE_ADDR, true));
    }
    fd
}

fn named(case: &str, reuses: bool) -> String {
    format!("{case}_{}", if reuses { "with_reuse" } else { "without_reuse" })
}

/// Closes without a trace in the kernel.
fn discard(fd: Fd) {
    check_ok!(set_time(fd, option::LINGER, Some(0)));
    check_ok!(close(fd));
}

fn wait_until_readable(fd: Fd) {
    let limit = Subscription::clock(MONOTONIC, 10_000_000_000, 2);
    let events = check_ok!(poll(&[Subscription::read(fd, 1), limit]));
    check!(events[0].userdata == 1, "no news of fd {fd}");
}

/// Is a client let in there?
fn enters(addr: SocketAddr) -> Result<()> {
    let client = fresh();
    let outcome = connect(client, addr);
    discard(client);
    outcome
}

fn chosen_ports() {
    let (first, second) = (fresh(), fresh());
    check_ok!(bind(first, loopback(0)));
    let bound = check_ok!(addr_local(first));
    check_ok!(listen(first, 4));
    check_ok!(bind(second, loopback(0)));
    let other = check_ok!(addr_local(second)).port();
    println!("port_0 bind {}", if bound.port() == 0 { "none" } else { "chosen" });
    println!("port_0 listen {}", if addr_local(first) == Ok(bound) { "same" } else { "changed" });
    println!("port_0 second_bind {}", if other == bound.port() { "same" } else { "another" });
    tell("port_0", "enter", enters(bound));
    tell("port_0", "bind_again", bind(first, loopback(0)));
    check_ok!(close(first));
    check_ok!(close(second));
}

/// The address is taken again while a connection of its last user lingers.
fn restarts(reuses: bool) {
    let case = named("restart", reuses);
    let listener = fresh_with_reuse(reuses);
    check_ok!(bind(listener, loopback(0)));
    check_ok!(listen(listener, 4));
    let addr = check_ok!(addr_local(listener));
    let (near, far) = check_ok!(connected(listener));
    // The side that closes first keeps the address.
    check_ok!(close(far));
    wait_until_readable(near);
    check_ok!(close(near));
    check_ok!(close(listener));
    let next = fresh_with_reuse(reuses);
    tell(&case, "bind", bind(next, addr));
    if reuses {
        tell(&case, "listen", listen(next, 4));
        tell(&case, "enter", enters(addr));
    }
    check_ok!(close(next));
}

fn rivals_of_a_listener(reuses: bool) {
    let case = named("rival_of_listener", reuses);
    let (first, second) = (fresh_with_reuse(reuses), fresh_with_reuse(reuses));
    check_ok!(bind(first, loopback(0)));
    check_ok!(listen(first, 4));
    let addr = check_ok!(addr_local(first));
    tell(&case, "bind", bind(second, addr));
    tell(&case, "enter", enters(addr));
    check_ok!(close(first));
    check_ok!(close(second));
}

fn rivals_of_a_bound_socket(reuses: bool) {
    let case = named("rival_of_bound", reuses);
    let (first, second) = (fresh_with_reuse(reuses), fresh_with_reuse(reuses));
    check_ok!(bind(first, loopback(0)));
    let addr = check_ok!(addr_local(first));
    tell(&case, "bind", bind(second, addr));
    if reuses {
        tell(&case, "listen", listen(first, 4));
        tell(&case, "rival_listen", listen(second, 4));
        tell(&case, "listen_again", listen(first, 4));
        tell(&case, "enter", enters(addr));
        check_ok!(close(first));
        tell(&case, "rival_listen_later", listen(second, 4));
        tell(&case, "enter_later", enters(addr));
        check_ok!(close(second));
    } else {
        check_ok!(close(first));
        check_ok!(close(second));
    }
}

fn shared_port() {
    let (first, second, third) = (fresh(), fresh(), fresh());
    check_ok!(set_flag(first, option::REUSE_PORT, true));
    check_ok!(set_flag(second, option::REUSE_PORT, true));
    check_ok!(bind(first, loopback(0)));
    let addr = check_ok!(addr_local(first));
    tell("shared_port", "listen", listen(first, 4));
    tell("shared_port", "second_bind", bind(second, addr));
    tell("shared_port", "second_listen", listen(second, 4));
    tell("shared_port", "bind_without", bind(third, addr));
    for fd in [first, second, third] {
        check_ok!(close(fd));
    }
}

fn duplicates() {
    let (listener, addr) = check_ok!(listener());
    let twin = check_ok!(dup(listener));
    check_ok!(close(listener));
    tell("duplicate", "enter", enters(addr));
    wait_until_readable(twin);
    tell("duplicate", "accept", accept_v2(twin, NONBLOCK).map(|(fd, _)| discard(fd)));
    tell("duplicate", "listen", listen(twin, 4));
    let third = check_ok!(dup(twin));
    check_ok!(close(twin));
    tell("duplicate", "listen_through_third", listen(third, 2));
    tell("duplicate", "enter_through_third", enters(addr));
    tell("duplicate", "accept_closed", accept_v2(twin, NONBLOCK).map(drop));
    check_ok!(close(third));
    tell("duplicate", "enter_after_the_last", enters(addr));
}

/// What the clients see that waited when it closed.
fn clients_of_a_closed_listener() {
    let (listener, addr) = check_ok!(listener());
    let clients = [fresh(), fresh(), fresh()];
    for client in clients {
        check_ok!(connect(client, addr));
    }
    check_ok!(send_all(clients[1], b"hello"));
    check_ok!(close(listener));
    for (client, what) in clients.into_iter().zip(["recv", "recv_after_sending", "send"]) {
        wait_until_readable(client);
        let outcome = match what {
            "send" => send(client, b"hello", 0),
            _ => recv(client, &mut [0; 8], 0),
        };
        tell("closed_with_clients", what, outcome.map(drop));
        discard(client);
    }
    tell("closed_with_clients", "enter", enters(addr));
}

/// A client that reset its connection while it waited.
fn client_that_left() {
    let (listener, addr) = check_ok!(listener());
    let client = fresh();
    check_ok!(connect(client, addr));
    let local = check_ok!(addr_local(client));
    discard(client);
    wait_until_readable(listener);
    let outcome = accept_v2(listener, NONBLOCK);
    tell("client_left", "accept", outcome.map(drop));
    if let Ok((accepted, peer)) = outcome {
        println!("client_left peer {}", if peer == local { "known" } else { "strange" });
        wait_until_readable(accepted);
        tell("client_left", "recv", recv(accepted, &mut [0; 8], 0).map(drop));
        check_ok!(close(accepted));
    }
    tell("client_left", "enter", enters(addr));
    check_ok!(close(listener));
}

fn datagram() {
    let fd = check_ok!(open(INET4, DGRAM, UDP));
    tell("datagram", "listen", listen(fd, 4));
    tell("datagram", "accept", accept(fd, 0).map(drop));
    tell("datagram", "accept_v2", accept_v2(fd, 0).map(drop));
    tell("datagram", "accept_preview1", accept_preview1(fd, 0).map(drop));
    tell("datagram", "listen_again", listen(fd, 0));
    check_ok!(close(fd));
}
