//! `datagram_peers ADDR`: peers that are chosen, replaced and dissolved, what the network
//! says of a peer that is gone, and `datagram_peers unix`: the same of names in `/run`.
//! `datagram_peers broadcast`: to all on the loopback network.

use std::net::{Ipv4Addr, SocketAddr};
use wasix::descriptor::{NONBLOCK, close, set_flags};
use wasix::errno::*;
use wasix::poll::{self, FD_READ, FD_WRITE, HANGUP, MONOTONIC, Subscription};
use wasix::socket::*;
use wasix::{Fd, check, check_eq, check_ok, unix, wait};

fn main() {
    let arg = std::env::args().nth(1).expect("an address");
    match arg.as_str() {
        "unix" => named_peers(),
        "broadcast" => broadcast(),
        _ => {
            let any: SocketAddr = arg.parse().expect("an address");
            peers(any);
            unbound(any);
            gone(any);
        }
    }
}

fn fresh(any: SocketAddr) -> Fd {
    check_ok!(open(if any.is_ipv4() { INET4 } else { INET6 }, DGRAM, UDP))
}

fn bound(any: SocketAddr) -> (Fd, SocketAddr) {
    let fd = fresh(any);
    check_ok!(bind(fd, any));
    (fd, check_ok!(addr_local(fd)))
}

/// A connect to an address of no family.
fn dissolve(fd: Fd) -> wasix::Result<()> {
    connect_raw(fd, &AddrPort::of_family(0))
}

fn peers(any: SocketAddr) {
    let ((fd, here), (one, first), (two, second)) = (bound(any), bound(any), bound(any));
    let mut buf = [0; 16];
    check_ok!(connect(fd, first));
    check_eq!(send_to(two, b"nobody", 0, here), Ok(6));
    check_eq!(send_to(one, b"peer", 0, here), Ok(4));
    check_eq!(recv_whole(fd, &mut buf, 0), Ok((4, false, first)));
    // The second takes the place of the first.
    check_ok!(connect(fd, second));
    check_eq!(addr_peer(fd), Ok(second));
    check_eq!(send(fd, b"to two", 0), Ok(6));
    check_eq!(recv_whole(two, &mut buf, 0), Ok((6, false, here)));
    check_eq!(send_to(one, b"nobody", 0, here), Ok(6));
    check_eq!(send_to(two, b"two", 0, here), Ok(3));
    check_eq!(recv_whole(fd, &mut buf, 0), Ok((3, false, second)));
    // An address that is refused leaves the peer as it was.
    let other: SocketAddr = if any.is_ipv4() { "[::1]:9" } else { "127.0.0.1:9" }.parse().unwrap();
    check_eq!(connect(fd, other), Err(EAFNOSUPPORT));
    check_eq!(addr_peer(fd), Ok(second));
    check_ok!(dissolve(fd));
    check_eq!((addr_peer(fd), send(fd, b"x", 0)), (Err(ENOTCONN), Err(EDESTADDRREQ)));
    check_eq!(shutdown(fd, SHUT_WR), Err(ENOTCONN));
    // It has its address still, and receives from all.
    check_eq!(addr_local(fd), Ok(here));
    for (sender, from) in [(one, first), (two, second)] {
        check_eq!(send_to(sender, b"any", 0, here), Ok(3));
        check_eq!(recv_whole(fd, &mut buf, 0), Ok((3, false, from)));
    }
    check_ok!(dissolve(fd));
    let stream = check_ok!(open_for(any));
    check_eq!(dissolve(stream), Err(EAFNOSUPPORT));
    check_eq!(connect_raw(fd, &AddrPort::of_family(9)), Err(EAFNOSUPPORT));
    check_eq!(bind_raw(fresh(any), &AddrPort::of_family(0)), Err(EAFNOSUPPORT));
}

/// One without an address has one for as long as it has a peer.
fn unbound(any: SocketAddr) {
    let (fd, (_peer, there)) = (fresh(any), bound(any));
    check_ok!(connect(fd, there));
    check!(check_ok!(addr_local(fd)).port() != 0, "the host gave it a port");
    check_eq!(bind(fd, any), Err(EINVAL));
    check_ok!(dissolve(fd));
    check_eq!((check_ok!(addr_local(fd)).port(), status(fd)), (0, Ok(0)));
    check_ok!(bind(fd, any));
}

/// The network says that the port is closed, and every waiter ends with that.
fn gone(any: SocketAddr) {
    let (fd, _) = bound(any);
    let lonely = || {
        let (peer, there) = bound(any);
        check_ok!(close(peer));
        check_ok!(connect(fd, there));
        check_eq!(send(fd, b"x", 0), Ok(1));
    };
    check_ok!(set_flags(fd, NONBLOCK));
    lonely();
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, fd, wait::IN));
    check_eq!(wait::next(watch), Ok(vec![(fd, wait::ERR)]), "it is not to be asked for");
    let limit = Subscription::clock(MONOTONIC, wait::LONG, 3);
    let events = check_ok!(poll::poll(&[Subscription::read(fd, 1), limit]));
    check_eq!(events.len(), 1);
    check_eq!((events[0].kind, events[0].error, events[0].flags), (FD_READ, 0, HANGUP));
    let events = check_ok!(poll::poll(&[Subscription::write(fd, 2), limit]));
    check_eq!((events[0].kind, events[0].flags), (FD_WRITE, HANGUP));
    // The option returns it once, and then no call does.
    check_eq!(size(fd, option::LAST_ERROR), Ok(u64::from(ECONNREFUSED.0)));
    check_eq!(size(fd, option::LAST_ERROR), Ok(0));
    check_eq!(wait::now(watch), Ok(vec![]));
    check_eq!(recv(fd, &mut [0; 4], 0), Err(EAGAIN));
    // A send tells it too, instead of sending.
    lonely();
    check_eq!(wait::next(watch), Ok(vec![(fd, wait::ERR)]));
    check_eq!(send(fd, b"x", 0), Err(ECONNREFUSED));
    check_eq!(wait::now(watch), Ok(vec![]));
    // It is no end: a peer that is there is heard.
    let (peer, there) = bound(any);
    check_ok!(connect(fd, there));
    check_eq!(send_to(peer, b"here", 0, check_ok!(addr_local(fd))), Ok(4));
    check_eq!(wait::next(watch), Ok(vec![(fd, wait::IN)]));
    check_eq!(recv(fd, &mut [0; 4], 0), Ok(4));
}

fn named_peers() {
    let named = |path: &str| {
        let fd = check_ok!(unix::open(DGRAM));
        check_ok!(unix::bind(fd, path));
        fd
    };
    let (fd, one, two) = (named("/run/fd"), named("/run/one"), named("/run/two"));
    let mut buf = [0; 16];
    check_ok!(unix::connect(fd, "/run/one"));
    check_eq!(unix::send_to(two, b"nobody", 0, "/run/fd"), Err(EPERM));
    check_ok!(unix::connect(fd, "/run/two"));
    check_eq!(unix::peer(fd), Ok("/run/two".into()));
    check_eq!(send(fd, b"to two", 0), Ok(6));
    check_eq!(unix::recv_from(two, &mut buf, 0), Ok((6, false, "/run/fd".into())));
    check_ok!(dissolve(fd));
    check_eq!((unix::peer(fd), send(fd, b"x", 0)), (Err(ENOTCONN), Err(EDESTADDRREQ)));
    check_eq!(unix::local(fd), Ok("/run/fd".into()));
    for (sender, from) in [(one, "/run/one"), (two, "/run/two")] {
        check_eq!(unix::send_to(sender, b"any", 0, "/run/fd"), Ok(3));
        check_eq!(unix::recv_from(fd, &mut buf, 0), Ok((3, false, from.into())));
    }
    // One of a pair, too: it can't be reached then.
    let (near, far) = check_ok!(wait::pair(UNIX, DGRAM, 0));
    check_eq!(send(near, b"x", 0), Ok(1));
    check_ok!(dissolve(near));
    check_eq!(send(near, b"x", 0), Err(EDESTADDRREQ));
    check_eq!(recv(far, &mut buf, 0), Ok(1));
    let stream = check_ok!(unix::open(STREAM));
    check_eq!(dissolve(stream), Err(EAFNOSUPPORT));
}

fn broadcast() {
    let broadcast = |port| SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), port));
    let (fd, there) = bound(broadcast(0));
    let (sender, from) = bound((Ipv4Addr::LOCALHOST, 0).into());
    // "EACCES: ... An attempt was made to send to a network/broadcast address as though it was
    // a unicast address." - send(2)
    check_eq!(send_to(sender, b"x", 0, there), Err(EACCES));
    check_eq!(connect(sender, there), Err(EACCES));
    check_eq!(flag(sender, option::BROADCAST), Ok(false));
    check_ok!(set_flag(sender, option::BROADCAST, true));
    check_eq!(send_to(sender, b"all", 0, there), Ok(3));
    let mut buf = [0; 16];
    check_eq!(recv_whole(fd, &mut buf, 0), Ok((3, false, from)));
    check_ok!(connect(sender, there));
    check_eq!(send(sender, b"again", 0), Ok(5));
    check_eq!(recv_whole(fd, &mut buf, 0), Ok((5, false, from)));
    check_ok!(set_flag(sender, option::BROADCAST, false));
    check_eq!(send_to(sender, b"x", 0, there), Err(EACCES));
}
