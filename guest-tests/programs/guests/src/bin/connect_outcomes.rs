//! `connect_outcomes KIND`: how an attempt to connect ends, waiting or not, and what poll
//! and epoll tell of it. KIND is one that connects; names lie in `/run`.

use wasix::descriptor::{close, set_flags, set_nonblocking};
use wasix::ends::{Kind, Place};
use wasix::errno::*;
use wasix::poll::{FD_WRITE, HANGUP, MONOTONIC, Subscription, now, poll};
use wasix::socket::*;
use wasix::wait::{ERR, ET, IN, LONG, OUT, RDHUP};
use wasix::{Fd, Result, check, check_eq, check_ok, wait};

const LIMIT: u64 = 50_000_000;

fn main() {
    let kind = Kind::of_args();
    waiting(kind);
    refused(kind);
    at_once(kind);
    full_queue(kind);
    timed_out(kind);
    if !kind.is_unix() {
        on_its_way(kind);
        fails_later(kind);
        unreachable(kind);
    }
    println!("done");
}

/// A socket that has an address, and whether it listens.
fn at(kind: Kind, backlog: Option<u32>) -> (Fd, Place) {
    let (fd, place) = check_ok!(kind.somewhere());
    if let Some(backlog) = backlog {
        check_ok!(listen(fd, backlog));
    }
    (fd, place)
}

fn take(listener: Fd) -> Fd {
    check_ok!(accept_preview1(listener, 0))
}

fn nonblocking(kind: Kind) -> Fd {
    let fd = check_ok!(kind.open());
    check_ok!(set_nonblocking(fd));
    fd
}

/// An epoll by level and one by edge, both for all that an attempt can tell.
struct Watches(Fd, Fd);

impl Watches {
    fn of(fd: Fd) -> Self {
        let (level, edge) = (check_ok!(wait::epoll()), check_ok!(wait::epoll()));
        check_ok!(wait::add(level, fd, IN | OUT | RDHUP));
        check_ok!(wait::add(edge, fd, IN | OUT | RDHUP | ET));
        Self(level, edge)
    }

    /// Waits for the end of the attempt: the level goes on telling, the edge does not. (It
    /// may tell twice: "multiple events can be generated" - epoll(7).)
    fn tell(&self) -> u32 {
        let told = check_ok!(wait::next(self.0));
        check_eq!(told.len(), 1);
        check_eq!(wait::next(self.0), Ok(told.clone()), "level");
        check_eq!(wait::next(self.1), Ok(told.clone()), "edge");
        let again = check_ok!(wait::now(self.1));
        check!(again.is_empty() || again == told, "{again:?}");
        check_eq!(wait::now(self.1), Ok(vec![]), "edge");
        told[0].1
    }

    fn are_silent(&self) {
        for epoll in [self.0, self.1] {
            check_eq!(wait::now(epoll), Ok(vec![]));
        }
    }
}

/// Whether poll says that it is ready, and over.
fn poll_writable(fd: Fd, limit: u64) -> Option<bool> {
    let events = check_ok!(poll(&[Subscription::write(fd, 1), Subscription::clock(MONOTONIC, limit, 2)]));
    let found = events.iter().find(|event| event.userdata == 1)?;
    check_eq!((found.kind, found.error), (FD_WRITE, 0));
    Some(found.flags & HANGUP != 0)
}

fn carries(from: Fd, to: Fd) {
    check_eq!(send(from, b"hello", 0), Ok(5));
    check_eq!(recv(to, &mut [0; 8], 0), Ok(5));
}

fn waiting(kind: Kind) {
    let (listener, place) = at(kind, Some(4));
    let fd = check_ok!(kind.open());
    check_eq!(place.connect(fd), Ok(()));
    check_eq!(status(fd), Ok(1));
    check!(place.is_peer_of(fd), "its peer");
    check_eq!(place.connect(fd), Err(EISCONN));
    let far = take(listener);
    carries(fd, far);
    carries(far, fd);
}

fn refused(kind: Kind) {
    let (listener, live) = at(kind, Some(4));
    let (_bound, dead) = at(kind, None);
    let fd = check_ok!(kind.open());
    check_eq!(dead.connect(fd), Err(ECONNREFUSED));
    check_eq!(size(fd, option::LAST_ERROR), Ok(0), "it was reported");
    check_eq!(live.connect(fd), Ok(()), "as good as new");
    carries(fd, take(listener));
}

/// Without waiting, where there is room.
fn at_once(kind: Kind) {
    let (listener, place) = at(kind, Some(4));
    let fd = nonblocking(kind);
    let watches = Watches::of(fd);
    let begun = place.connect(fd);
    check_eq!(begun, if kind.is_unix() { Ok(()) } else { Err(EINPROGRESS) });
    check_eq!(watches.tell(), OUT);
    check_eq!(poll_writable(fd, LONG), Some(false));
    check_eq!(size(fd, option::LAST_ERROR), Ok(0));
    check_eq!(place.connect(fd), Err(EISCONN));
    carries(fd, take(listener));
    if kind.is_unix() {
        let (_bound, dead) = at(kind, None);
        let fd = nonblocking(kind);
        check_eq!(dead.connect(fd), Err(ECONNREFUSED));
        check_eq!(size(fd, option::LAST_ERROR), Ok(0), "it was reported");
    }
}

/// A listener whose queue is full, and the connections in it.
fn full(kind: Kind) -> (Fd, Place, Fd) {
    let (listener, place) = at(kind, Some(0));
    let inside = check_ok!(kind.open());
    check_eq!(place.connect(inside), Ok(()));
    (listener, place, inside)
}

fn full_queue(kind: Kind) {
    let (listener, place, inside) = full(kind);
    let fd = nonblocking(kind);
    if kind.is_unix() {
        // "EAGAIN: ... the connection cannot be completed immediately." - connect(2)
        for _ in 0..2 {
            check_eq!(place.connect(fd), Err(EAGAIN));
            check_eq!(size(fd, option::LAST_ERROR), Ok(0));
        }
        check_ok!(close(take(listener)));
        check_eq!(place.connect(fd), Ok(()), "there is room");
        return carries(fd, take(listener));
    }
    let watches = Watches::of(fd);
    check_eq!(place.connect(fd), Err(EINPROGRESS));
    check_eq!(place.connect(fd), Err(EALREADY));
    watches.are_silent();
    check_eq!(poll_writable(fd, LIMIT), None);
    check_eq!(status(fd), Ok(0));
    check_eq!(addr_peer(fd), Err(ENOTCONN));
    check_eq!(send(fd, b"x", 0), Err(EAGAIN));
    check_eq!(recv(fd, &mut [0; 8], 0), Err(EAGAIN));
    // The kernel tries again within a second.
    check_ok!(close(take(listener)));
    check_eq!(watches.tell(), OUT);
    check_eq!(place.connect(fd), Err(EISCONN));
    carries(fd, take(listener));
    check_ok!(close(inside));
}

/// A limit ends a connect that waits, and not before it is over.
fn timed_out(kind: Kind) {
    let (listener, place, _inside) = full(kind);
    let fd = check_ok!(kind.open());
    check_ok!(set_time(fd, option::CONNECT_TIMEOUT, Some(LIMIT)));
    let start = check_ok!(now(MONOTONIC));
    check_eq!(place.connect(fd), Err(ETIMEDOUT));
    check!(check_ok!(now(MONOTONIC)) - start >= LIMIT, "it waited too little");
    check_ok!(close(take(listener)));
    check_ok!(set_time(fd, option::CONNECT_TIMEOUT, None));
    if kind.is_unix() {
        check_eq!(place.connect(fd), Ok(()));
    } else {
        // The attempt goes on.
        check_eq!(place.connect(fd), Err(EALREADY));
        check_eq!(poll_writable(fd, LONG), Some(false));
        check_eq!(place.connect(fd), Err(EISCONN));
    }
    carries(fd, take(listener));
}

/// One that began without waiting is waited for by whatever call waits.
fn on_its_way(kind: Kind) {
    let (listener, place, _inside) = full(kind);
    let fd = nonblocking(kind);
    check_eq!(place.connect(fd), Err(EINPROGRESS));
    check_ok!(close(take(listener)));
    check_ok!(set_flags(fd, 0));
    check_eq!(send(fd, b"hello", 0), Ok(5));
    check_eq!(recv(take(listener), &mut [0; 8], 0), Ok(5));
}

/// Refused, and told where it is asked for: once.
fn fails_later(kind: Kind) {
    let (_bound, dead) = at(kind, None);
    let (listener, live) = at(kind, Some(4));
    let failing = || {
        let fd = nonblocking(kind);
        let watches = Watches::of(fd);
        check_eq!(dead.connect(fd), Err(EINPROGRESS));
        let told = watches.tell();
        check!(told & (OUT | ERR) == OUT | ERR, "{told:#x}");
        check_eq!(poll_writable(fd, LONG), Some(true));
        check_eq!(status(fd), Ok(3));
        fd
    };
    let fd = failing();
    check_eq!(size(fd, option::LAST_ERROR), Ok(u64::from(ECONNREFUSED.0)));
    check_eq!(size(fd, option::LAST_ERROR), Ok(0), "once");
    check_eq!(live.connect(fd), Err(EINPROGRESS), "it may try again");
    check_eq!(poll_writable(fd, LONG), Some(false));
    carries(fd, take(listener));
    type Teller = fn(Fd, &Place) -> Result<()>;
    let tellers: [Teller; 3] = [
        |fd, live| live.connect(fd),
        |fd, _| send(fd, b"x", 0).map(drop),
        |fd, _| recv(fd, &mut [0; 8], 0).map(drop),
    ];
    for tell in tellers {
        let fd = failing();
        check_eq!(tell(fd, &live), Err(ECONNREFUSED));
        check_eq!(size(fd, option::LAST_ERROR), Ok(0), "once");
    }
}

/// The kernel itself has no way there, and sends nothing: TCP knows no multicast.
fn unreachable(kind: Kind) {
    let nowhere = if kind.family == INET4 { "224.0.0.1:9" } else { "[ff02::1]:9" };
    let (listener, live) = at(kind, Some(4));
    for fd in [check_ok!(kind.open()), nonblocking(kind)] {
        check_eq!(connect(fd, nowhere.parse().unwrap()), Err(ENETUNREACH));
        check_eq!(size(fd, option::LAST_ERROR), Ok(0), "it was reported");
        check!(matches!(live.connect(fd), Ok(()) | Err(EINPROGRESS)), "as good as new");
        take(listener);
    }
}
