//! `udp_chat ADDR...`: a peer that sends is in the room, and its message goes to all others
//! there. `/who` is answered with how many there are, `/leave` leaves, and `/close` ends
//! the program.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, set_flags};
use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, check_ok, wait};

fn main() {
    let watch = check_ok!(wait::epoll());
    for addr in std::env::args().skip(1) {
        let addr: SocketAddr = addr.parse().expect("an address");
        let fd = check_ok!(open(if addr.is_ipv4() { INET4 } else { INET6 }, DGRAM, UDP));
        if addr.is_ipv6() {
            check_ok!(set_flag(fd, option::ONLY_V6, true));
        }
        check_ok!(bind(fd, addr));
        check_ok!(set_flags(fd, NONBLOCK));
        check_ok!(wait::add(watch, fd, wait::IN | wait::ET));
    }
    // Each by the socket at which he came.
    let mut room = BTreeSet::new();
    loop {
        for (fd, _) in check_ok!(wait::next(watch)) {
            if !hear_all(fd, &mut room) {
                return;
            }
        }
    }
}

/// All that is there, as an edge is reported once. Is the room open still?
fn hear_all(fd: Fd, room: &mut BTreeSet<(SocketAddr, Fd)>) -> bool {
    let mut buf = [0; 2048];
    loop {
        let (count, _, from) = match recv_whole(fd, &mut buf, 0) {
            Ok(message) => message,
            Err(EAGAIN) => return true,
            Err(error) => {
                eprintln!("{error:?}");
                return true;
            }
        };
        match &buf[..count] {
            b"/close" => return false,
            b"/leave" => _ = room.remove(&(from, fd)),
            b"/who" => tell(fd, from, format!("{} here", room.len()).as_bytes()),
            message => {
                room.insert((from, fd));
                let line = [from.to_string().as_bytes(), b": ", message].concat();
                for (peer, at) in room.iter().filter(|(peer, _)| *peer != from) {
                    tell(*at, *peer, &line);
                }
            }
        }
    }
}

/// A peer that can't be reached misses the message.
fn tell(fd: Fd, to: SocketAddr, line: &[u8]) {
    if let Err(error) = send_to(fd, line, 0, to) {
        eprintln!("{to}: {error:?}");
    }
}
