//! `listen_rules RULE UNBOUND CONNECTED SILENT`: the rules of listening that one
//! program can see by itself. Without arguments it names those it knows.
//!
//! UNBOUND and CONNECTED are what listening answers in these two states: they are
//! the profile's. SILENT is an address where an attempt to connect is not answered.
//! Granted are 127.0.0.1 on every port, a folder, and Unix sockets there.

use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd};
use wasix::descriptor::{NONBLOCK, close, drop_rights, dup, right};
use wasix::errno::*;
use wasix::poll::{MONOTONIC, Subscription, now, poll};
use wasix::socket::*;
use wasix::{Errno, Fd, IS_WASIX, check, check_eq, check_ok, descriptor, if_there, unix, wait};

const RULES: [(&str, fn()); 20] = [
    ("bad_descriptor", bad_descriptor),
    ("not_a_socket", not_a_socket),
    ("without_the_right", without_the_right),
    ("datagram", datagram),
    ("seqpacket", seqpacket),
    ("taken_after_bind", taken_after_bind),
    ("order_of_errors", order_of_errors),
    ("failure_changes_nothing", failure_changes_nothing),
    ("last_duplicate", last_duplicate),
    ("accept_timeout", accept_timeout),
    ("accept_states", accept_states),
    ("polling_consumes_nothing", polling_consumes_nothing),
    ("two_listeners", two_listeners),
    ("shared_port", shared_port),
    ("unbound", unbound),
    ("connected_or_connecting", connected_or_connecting),
    ("every_kind_and_backlog", every_kind_and_backlog),
    ("shutdown_of_a_listener", shutdown_of_a_listener),
    ("duplicates_share_the_queue", duplicates_share_the_queue),
    ("closing_while_another_waits", closing_while_another_waits),
];

/// Backlogs at the edges of what they mean.
const BACKLOGS: [u32; 7] = [0, 1, 127, 128, (1 << 31) - 1, 1 << 31, u32::MAX];

fn main() {
    let Some(name) = std::env::args().nth(1) else {
        RULES.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let rule = RULES.iter().find(|(it, _)| *it == name);
    let (_, rule) = rule.expect("a rule that is known");
    rule();
    println!("holds");
}

fn argument(number: usize) -> String {
    std::env::args().nth(number).expect("an argument")
}

fn unbound_answer() -> Errno {
    Errno::named(&argument(2))
}

fn connected_answer() -> Errno {
    Errno::named(&argument(3))
}

/// A socket that is on its way to a connection.
fn connecting() -> Fd {
    let fd = fresh();
    check_ok!(descriptor::set_nonblocking(fd));
    check_eq!(connect(fd, argument(4).parse().unwrap()), Err(EINPROGRESS));
    fd
}

fn fresh() -> Fd {
    check_ok!(open(INET4, STREAM, TCP))
}

fn bound() -> Fd {
    let fd = fresh();
    check_ok!(bind(fd, loopback(0)));
    fd
}

/// A bound socket listens and serves: whatever was tried before did no harm.
fn still_listens(fd: Fd) {
    check_ok!(listen(fd, 4));
    let (near, far) = check_ok!(connected(fd));
    check_ok!(send_all(near, b"hello"));
    let mut buf = [0; 16];
    check_eq!(recv(far, &mut buf, 0), Ok(5));
    check_ok!(close(near));
    check_ok!(close(far));
}

fn bad_descriptor() {
    let closed = bound();
    check_ok!(close(closed));
    for fd in [closed, 900, 1 << 31, u32::MAX] {
        check_eq!(listen(fd, 4), Err(EBADF), "fd {fd}");
    }
}

fn not_a_socket() {
    for stdio in 0..3 {
        check_eq!(listen(stdio, 4), Err(ENOTSOCK), "stdio {stdio}");
    }
    check_eq!(check_ok!(descriptor::fdstat(3)).filetype, descriptor::DIRECTORY);
    check_eq!(listen(3, 4), Err(ENOTSOCK), "folder");
    let file = File::create("listen_rules.tmp").unwrap();
    check_eq!(listen(file.as_raw_fd() as u32, 4), Err(ENOTSOCK), "file");
    let (reader, writer) = if_there(wait::pipe()).unzip();
    let (event, epoll) = (if_there(wait::event(1, 0)), if_there(wait::epoll()));
    for (fd, kind) in [(reader, "reader"), (writer, "writer"), (event, "event"), (epoll, "epoll")] {
        if let Some(fd) = fd {
            check_eq!(listen(fd, 4), Err(ENOTSOCK), "{kind}");
        }
    }
}

fn without_the_right() {
    let fd = bound();
    let limited = if_there(dup(fd)).unwrap_or_else(bound);
    check_ok!(drop_rights(limited, right::SOCK_LISTEN));
    check_eq!(listen(limited, 4), Err(ENOTCAPABLE));
    // The right is the descriptor's, not the socket's.
    still_listens(fd);
    check_eq!(listen(limited, 8), Err(ENOTCAPABLE));
}

fn datagram() {
    for family in [INET4, INET6] {
        let fd = check_ok!(open(family, DGRAM, UDP));
        check_eq!(listen(fd, 4), Err(ENOTSUP));
    }
    // A raw socket is refused where it is opened; other dialects have no word for one.
    if IS_WASIX {
        check_eq!(open(INET4, RAW, 0), Err(ENOTSUP));
    }
}

/// As one of a stream does, and message by message.
fn seqpacket() {
    for kind in [STREAM, SEQPACKET] {
        let path = format!("/rule_05_{kind}");
        let fd = check_ok!(unix::open(kind));
        let unbound = unbound_answer();
        // There is no name that a host could choose.
        check_eq!(listen(fd, 4), Err(if unbound == EACCES { EINVAL } else { unbound }), "kind {kind}");
        check_ok!(unix::bind(fd, &path));
        check_eq!(accept_v2(fd, 0).err(), Some(EINVAL));
        check_ok!(listen(fd, 4));
        check_ok!(listen(fd, 8));
        check_eq!(flag(fd, option::LISTENING), Ok(true));
        let near = check_ok!(unix::client(kind, &path));
        check_eq!(listen(near, 4), Err(connected_answer()), "kind {kind}");
        let (far, peer) = check_ok!(unix::accept(fd, 0));
        check_eq!((peer.as_str(), unix::local(far)), ("", Ok(path)));
        check_ok!(send_all(near, b"one"));
        check_ok!(send_all(near, b"two"));
        let mut buf = [0; 16];
        let first = if kind == STREAM { 6 } else { 3 };
        check_eq!(recv(far, &mut buf, 0), Ok(first), "kind {kind}");
        check_ok!(close(near));
        check_ok!(close(far));
        check_ok!(close(fd));
    }
}

/// Two sockets with one address, for both asked for that, and the address.
fn rivals() -> (Fd, Fd, std::net::SocketAddr) {
    let (first, second) = (fresh(), fresh());
    for fd in [first, second] {
        check_ok!(set_flag(fd, option::REUSE_ADDR, true));
    }
    check_ok!(bind(first, loopback(0)));
    let addr = check_ok!(addr_local(first));
    check_ok!(bind(second, addr));
    (first, second, addr)
}

fn taken_after_bind() {
    let (first, second, addr) = rivals();
    check_ok!(listen(first, 4));
    check_eq!(listen(second, 4), Err(EADDRINUSE));
    check_eq!(listen(second, 4), Err(EADDRINUSE), "once more");
    check_eq!(addr_local(second), Ok(addr));
}

fn order_of_errors() {
    // Kind before rights: a folder has no right to listen.
    check_eq!(listen(3, 4), Err(ENOTSOCK));
    // Rights before state.
    let limited = fresh();
    check_ok!(drop_rights(limited, right::SOCK_LISTEN));
    check_eq!(listen(limited, 4), Err(ENOTCAPABLE));
    // State before policy: nothing of IPv6 is granted. Where the state allows it, the
    // policy has its say.
    let six = check_ok!(open(INET6, STREAM, TCP));
    check_eq!(listen(six, 4), Err(unbound_answer()));
    // Policy before the operating system: the first has no grant, and the machine
    // does not have the address either.
    check_eq!(bind(fresh(), "192.0.2.1:1".parse().unwrap()), Err(EACCES));
    // State before policy for bind too.
    check_eq!(bind(bound(), "192.0.2.1:1".parse().unwrap()), Err(EINVAL));
}

fn failure_changes_nothing() {
    let unbound = fresh();
    check_eq!(listen(unbound, 4), Err(unbound_answer()));
    check_ok!(bind(unbound, loopback(0)));
    still_listens(unbound);

    let (first, second, addr) = rivals();
    check_ok!(listen(first, 4));
    check_eq!(listen(second, 4), Err(EADDRINUSE));
    check_ok!(close(first));
    check_eq!(addr_local(second), Ok(addr));
    still_listens(second);

    // One that may not listen still connects.
    let (first, second, _) = rivals();
    check_ok!(listen(first, 4));
    let (near, far) = check_ok!(connected(first));
    check_eq!(listen(near, 4), Err(connected_answer()));
    check_ok!(send_all(far, b"hello"));
    check_eq!(recv(near, &mut [0; 16], 0), Ok(5));
    check_eq!(listen(second, 4), Err(EADDRINUSE));
    if let Some(status) = if_there(status(second)) {
        check_eq!(status, 1);
    }
}

fn last_duplicate() {
    let (listener, addr) = check_ok!(listener());
    let twin = check_ok!(dup(listener));
    let third = check_ok!(dup(twin));
    for fd in [listener, twin] {
        check_ok!(close(fd));
        let (near, far) = check_ok!(connected(third));
        check_ok!(close(near));
        check_ok!(close(far));
    }
    check_ok!(close(third));
    check_eq!(connect(fresh(), addr), Err(ECONNREFUSED));
}

fn accept_timeout() {
    const LIMIT: u64 = 80_000_000;
    let (listener, _) = check_ok!(listener());
    check_ok!(set_time(listener, option::ACCEPT_TIMEOUT, Some(LIMIT)));
    let start = check_ok!(now(MONOTONIC));
    check_eq!(accept_v2(listener, 0).map(drop), Err(EAGAIN));
    let took = check_ok!(now(MONOTONIC)) - start;
    check!(took >= LIMIT, "{took} ns");
    // It limits the wait, not the connection.
    check_ok!(connected(listener));
}

fn accept_states() {
    each_accept(fresh(), 0, EINVAL);
    let fd = bound();
    each_accept(fd, 0, EINVAL);
    check_ok!(listen(fd, 4));
    each_accept(fd, NONBLOCK, EAGAIN);
    check_ok!(descriptor::set_nonblocking(fd));
    each_accept(fd, 0, EAGAIN);
    each_accept(fd, NONBLOCK, EAGAIN);
    each_accept(check_ok!(open(INET4, DGRAM, UDP)), 0, ENOTSUP);
    let file = File::create("listen_rules.tmp").unwrap();
    each_accept(file.into_raw_fd() as u32, 0, ENOTSOCK);
    each_accept(900, 0, EBADF);
}

fn each_accept(fd: Fd, flags: u32, expected: Errno) {
    check_eq!(accept(fd, flags).map(drop), Err(expected), "fd {fd}");
    check_eq!(accept_v2(fd, flags).map(drop), Err(expected), "fd {fd}");
    check_eq!(accept_preview1(fd, flags).map(drop), Err(expected), "fd {fd}");
}

fn polling_consumes_nothing() {
    const SECOND: u64 = 1_000_000_000;
    let (listener, addr) = check_ok!(listener());
    let asked = [Subscription::read(listener, 1), Subscription::clock(MONOTONIC, 0, 2)];
    let is_ready = || check_ok!(poll(&asked)).iter().any(|event| event.userdata == 1);
    check!(!is_ready(), "no connection waits");

    let clients: Vec<Fd> = (0..3).map(|_| fresh()).collect();
    for client in &clients {
        check_ok!(connect(*client, addr));
    }
    for client in &clients {
        for _ in 0..50 {
            check!(is_ready(), "a connection waits");
            let twice = [
                Subscription::read(listener, 1),
                Subscription::read(listener, 2),
                Subscription::clock(MONOTONIC, 5 * SECOND, 3),
            ];
            check_eq!(check_ok!(poll(&twice)).len(), 2);
        }
        let (_, peer) = check_ok!(accept_v2(listener, NONBLOCK));
        check_eq!(peer, check_ok!(addr_local(*client)));
    }
    check!(!is_ready(), "no connection waits any more");
    check_eq!(accept_v2(listener, NONBLOCK).map(drop), Err(EAGAIN));
}

fn two_listeners() {
    let (live, addr) = check_ok!(listener());
    let second = fresh();
    let answer = bind(second, addr).and_then(|()| listen(second, 4));
    check_eq!(answer, Err(EADDRINUSE));
    // Only one of the two asked for sharing, where there is such an option.
    let sharing = fresh();
    let asked = set_flag(sharing, option::REUSE_PORT, true);
    if IS_WASIX || asked != Err(ENOPROTOOPT) {
        check_ok!(asked);
        let answer = bind(sharing, addr).and_then(|()| listen(sharing, 4));
        check_eq!(answer, Err(EADDRINUSE));
    }
    check_ok!(connected(live));
}

fn shared_port() {
    let (first, second) = (fresh(), fresh());
    for fd in [first, second] {
        check_ok!(set_flag(fd, option::REUSE_PORT, true));
    }
    check_ok!(bind(first, loopback(0)));
    let addr = check_ok!(addr_local(first));
    check_ok!(bind(second, addr));
    for fd in [first, second] {
        check_ok!(listen(fd, 64));
        check_ok!(descriptor::set_nonblocking(fd));
    }
    // Every client is with one of the two, and with enough of them both have some.
    let clients = 40;
    for _ in 0..clients {
        check_ok!(connect(fresh(), addr));
    }
    let waiting = |fd| std::iter::from_fn(|| accept_v2(fd, 0).ok()).count();
    let (one, other) = (waiting(first), waiting(second));
    check_eq!(one + other, clients);
    check!(one > 0 && other > 0, "{one} and {other}");
}

fn unbound() {
    for family in [INET4, INET6] {
        check_eq!(listen(check_ok!(open(family, STREAM, TCP)), 4), Err(unbound_answer()));
    }
}

fn connected_or_connecting() {
    let (listener, _) = check_ok!(listener());
    let (near, far) = check_ok!(connected(listener));
    for fd in [near, far, connecting()] {
        check_eq!(listen(fd, 4), Err(connected_answer()));
        check_eq!(listen(fd, 4), Err(connected_answer()), "once more");
    }
    check_ok!(send_all(near, b"hello"));
    check_eq!(recv(far, &mut [0; 16], 0), Ok(5));
}

/// What the kind and the state answer has nothing to do with the backlog.
fn every_kind_and_backlog() {
    let (first, _) = check_ok!(listener());
    let (near, far) = check_ok!(connected(first));
    let file = File::create("listen_rules.tmp").unwrap();
    let datagram = check_ok!(open(INET4, DGRAM, UDP));
    let (taken, late, _) = rivals();
    check_ok!(listen(taken, 4));
    let kinds = [
        (0, ENOTSOCK, "standard input"),
        (1, ENOTSOCK, "standard output"),
        (2, ENOTSOCK, "standard error"),
        (3, ENOTSOCK, "folder"),
        (file.as_raw_fd() as u32, ENOTSOCK, "file"),
        (datagram, ENOTSUP, "datagram"),
        (fresh(), unbound_answer(), "fresh"),
        (late, EADDRINUSE, "taken"),
        (near, connected_answer(), "connected"),
        (far, connected_answer(), "accepted"),
        (connecting(), connected_answer(), "connecting"),
        (500, EBADF, "closed"),
        (900, EBADF, "never open"),
        (1 << 31, EBADF, "negative"),
        (u32::MAX, EBADF, "minus one"),
    ];
    // A number that no other descriptor gets meanwhile.
    if let Some(copy) = if_there(descriptor::dup2(first, 500, false)) {
        check_eq!(copy, 500);
        check_ok!(close(500));
    }
    for backlog in BACKLOGS {
        for (fd, expected, kind) in kinds {
            check_eq!(listen(fd, backlog), Err(expected), "{kind}, backlog {backlog}");
        }
        let fd = bound();
        check_ok!(listen(fd, backlog));
        check_ok!(listen(first, backlog));
        check_ok!(connected(fd));
        check_ok!(close(fd));
    }
    still_listens(first);
}

/// "ENOTCONN: The socket is not connected." - shutdown(3p)
fn shutdown_of_a_listener() {
    let (listener, addr) = check_ok!(listener());
    let early = fresh();
    check_ok!(connect(early, addr));
    for how in [SHUT_RD, SHUT_WR, SHUT_RDWR] {
        check_eq!(shutdown(listener, how), Err(ENOTCONN), "how {how}");
    }
    let (_, peer) = check_ok!(accept_v2(listener, NONBLOCK));
    check_eq!(peer, check_ok!(addr_local(early)));
    still_listens(listener);
}

fn duplicates_share_the_queue() {
    const SECOND: u64 = 1_000_000_000;
    let (first, addr) = check_ok!(listener());
    let second = check_ok!(dup(first));
    let ready = |limit| {
        let asked = [
            Subscription::read(first, 1),
            Subscription::read(second, 2),
            Subscription::clock(MONOTONIC, limit, 3),
        ];
        let events = check_ok!(poll(&asked));
        events.iter().filter(|event| event.userdata != 3).count()
    };
    check_eq!(ready(0), 0);
    let clients = [fresh(), fresh()];
    for client in clients {
        check_ok!(connect(client, addr));
    }
    check_eq!(ready(5 * SECOND), 2);
    // Each takes one of the two, in the order in which they came.
    for (fd, client) in [first, second].into_iter().zip(clients) {
        check_eq!(ready(5 * SECOND), 2);
        let (_, peer) = check_ok!(accept_v2(fd, NONBLOCK));
        check_eq!(peer, check_ok!(addr_local(client)));
    }
    check_eq!(ready(0), 0);
    // Closing one leaves those that wait to the other.
    let client = fresh();
    check_ok!(connect(client, addr));
    check_ok!(close(first));
    let (_, peer) = check_ok!(accept_v2(second, NONBLOCK));
    check_eq!(peer, check_ok!(addr_local(client)));
    still_listens(second);
}

/// Clients that waited at a closed listener are reset; the port is free at once.
fn closing_while_another_waits() {
    let (listener, addr) = check_ok!(listener());
    let clients = [fresh(), fresh(), fresh()];
    for client in clients {
        check_ok!(connect(client, addr));
    }
    check_ok!(close(listener));
    for client in clients {
        let answer = recv(client, &mut [0; 4], 0);
        check!(matches!(answer, Ok(0) | Err(ECONNRESET)), "{answer:?}");
    }
    let again = fresh();
    check_ok!(bind(again, addr));
    still_listens(again);
}
