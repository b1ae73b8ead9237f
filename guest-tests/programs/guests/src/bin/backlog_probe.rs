//! How many connections wait for a backlog, counted from inside: clients of this
//! program connect without an accept, until one does not get in.
//!
//! A line says `CASE STEP OUTCOME`. Compiled natively, the program tells the same
//! of the kernel.

use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, close, dup, set_nonblocking};
use wasix::errno::EINPROGRESS;
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::{Fd, check, check_ok};

/// More than this are not tried.
const MOST: usize = 300;

/// How long a client waits to be let in: less than the second after which the
/// kernel would try for it again.
const WAIT_TIMEOUT: u64 = 400_000_000;

fn main() {
    // The last two are negative to a C program.
    for backlog in [0, 1, 2, 5, 16, u32::MAX, 1 << 31] {
        let server = Server::listening(backlog);
        println!("backlog_{} holds {}", backlog as i32, server.fill());
    }
    again();
    on_a_duplicate();
    accepted_makes_room();
}

/// A listener, and the clients that wait at it.
struct Server {
    fd: Fd,
    addr: SocketAddr,
    clients: std::cell::RefCell<Vec<Fd>>,
}

impl Server {
    fn listening(backlog: u32) -> Self {
        let fd = check_ok!(open(INET4, STREAM, TCP));
        check_ok!(bind(fd, loopback(0)));
        check_ok!(listen(fd, backlog));
        Self { fd, addr: check_ok!(addr_local(fd)), clients: Default::default() }
    }

    /// Connects until one does not get in, and tells how many wait then.
    fn fill(&self) -> String {
        let mut clients = self.clients.borrow_mut();
        while clients.len() < MOST {
            let client = check_ok!(open(INET4, STREAM, TCP));
            let outcome = try_to_enter(client, self.addr);
            if outcome != "in" {
                check_ok!(close(client));
                return format!("{}, one more {outcome}", clients.len());
            }
            clients.push(client);
        }
        format!("{MOST} or more")
    }

    /// Accepts one, which is the one that came first.
    fn accept(&self) {
        let (accepted, peer) = check_ok!(accept_v2(self.fd, NONBLOCK));
        let first = self.clients.borrow_mut().remove(0);
        check!(check_ok!(addr_local(first)) == peer, "first come, first served");
        discard(accepted);
        discard(first);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.clients.borrow().iter().for_each(|client| discard(*client));
        check_ok!(close(self.fd));
    }
}

/// Closes without a trace in the kernel.
fn discard(fd: Fd) {
    check_ok!(set_time(fd, option::LINGER, Some(0)));
    check_ok!(close(fd));
}

fn try_to_enter(client: Fd, addr: SocketAddr) -> &'static str {
    check_ok!(set_nonblocking(client));
    let answer = connect(client, addr);
    check!(matches!(answer, Ok(()) | Err(EINPROGRESS)), "{answer:?}");
    let asked = [Subscription::write(client, 1), Subscription::clock(MONOTONIC, WAIT_TIMEOUT, 2)];
    let events = check_ok!(poll(&asked));
    if !events.iter().any(|event| event.userdata == 1) {
        return "waits outside";
    }
    match check_ok!(size(client, option::LAST_ERROR)) {
        0 => "in",
        _ => "is refused",
    }
}

/// Listening again changes the backlog, and resets no connection.
fn again() {
    let server = Server::listening(2);
    println!("again listen_2 {}", server.fill());
    check_ok!(listen(server.fd, 5));
    println!("again listen_5 {}", server.fill());
    check_ok!(listen(server.fd, 1));
    println!("again listen_1 {}", server.fill());
    for _ in 0..5 {
        server.accept();
    }
    println!("again accept_5 {}", server.fill());
}

/// A duplicate is the same listener.
fn on_a_duplicate() {
    let server = Server::listening(1);
    let twin = check_ok!(dup(server.fd));
    println!("duplicate listen_1 {}", server.fill());
    check_ok!(listen(twin, 3));
    println!("duplicate listen_3 {}", server.fill());
    check_ok!(close(twin));
    println!("duplicate close {}", server.fill());
}

/// A place becomes free with each that is accepted.
fn accepted_makes_room() {
    let server = Server::listening(1);
    println!("room listen_1 {}", server.fill());
    server.accept();
    println!("room accept_1 {}", server.fill());
}
