//! What each of the three accepts names as the peer. `accept_peer_addresses
//! [ADDR]`: ADDR says the family; its port is 0.

use std::net::SocketAddr;
use wasix::socket::*;
use wasix::{Fd, check_eq, check_ok, descriptor};

fn main() {
    let addr: SocketAddr = std::env::args().nth(1).map_or(loopback(0), |addr| addr.parse().unwrap());
    let listener = check_ok!(open_for(addr));
    check_ok!(bind(listener, addr));
    check_ok!(listen(listener, 16));
    let bound = check_ok!(addr_local(listener));
    check_eq!(bound.ip(), addr.ip());

    let (client, local) = client_of(bound);
    let (fd, peer) = check_ok!(accept(listener, 0));
    check_eq!(peer, local);
    is_known(fd, local, bound);

    // Several wait: they come in order.
    let waiting: Vec<_> = (0..5).map(|_| client_of(bound)).collect();
    for (_, local) in &waiting {
        let (fd, peer) = check_ok!(accept_v2(listener, 0));
        check_eq!(peer, *local);
        is_known(fd, *local, bound);
    }

    let (_, local) = client_of(bound);
    let fd = check_ok!(accept_preview1(listener, 0));
    is_known(fd, local, bound);

    // A peer that is gone already is still known by its address.
    let (gone, local) = client_of(bound);
    check_ok!(set_time(gone, option::LINGER, Some(0)));
    check_ok!(descriptor::close(gone));
    match accept_v2(listener, descriptor::NONBLOCK) {
        Ok((fd, peer)) => {
            check_eq!(peer, local);
            is_known(fd, local, bound);
        }
        // The host may drop it from the queue instead.
        Err(errno) => check_eq!(errno, wasix::errno::ECONNABORTED),
    }
    check_ok!(descriptor::close(client));
}

fn client_of(addr: SocketAddr) -> (Fd, SocketAddr) {
    let fd = check_ok!(open_for(addr));
    check_ok!(connect(fd, addr));
    (fd, check_ok!(addr_local(fd)))
}

fn is_known(fd: Fd, peer: SocketAddr, local: SocketAddr) {
    check_eq!(addr_peer(fd), Ok(peer));
    check_eq!(addr_local(fd), Ok(local));
}
