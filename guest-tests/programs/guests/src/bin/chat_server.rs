//! `chat_server PLACE`: what one says, all others hear. One thread, one epoll by level,
//! no client waits for another: one that does not read for too long is dropped.

use std::collections::BTreeSet;
use wasix::descriptor::{NONBLOCK, close, set_nonblocking};
use wasix::errno::EAGAIN;
use wasix::wait::{self, HUP, IN, RDHUP};
use wasix::{Fd, check_ok, ends, socket};

fn main() {
    let place = std::env::args().nth(1).expect("a place");
    let (kind, listener) = check_ok!(ends::serve_at(&place));
    check_ok!(set_nonblocking(listener));
    let epoll = check_ok!(wait::epoll());
    check_ok!(wait::add(epoll, listener, IN));
    let mut room = BTreeSet::new();
    let mut buf = vec![0; 65_536];
    loop {
        for event in check_ok!(wait::wait(epoll, 64, u64::MAX)) {
            if event.fd == listener {
                // By level: a connection that is left is reported again.
                if let Ok(guest) = kind.accept(listener, NONBLOCK) {
                    check_ok!(wait::add(epoll, guest, IN | RDHUP));
                    room.insert(guest);
                    println!("{} in the room", room.len());
                }
            } else if room.contains(&event.fd) {
                match socket::recv(event.fd, &mut buf, 0) {
                    Ok(0) => leave(&mut room, event.fd),
                    Ok(count) => tell(&mut room, event.fd, &buf[..count]),
                    Err(EAGAIN) if event.events & HUP == 0 => {}
                    Err(_) => leave(&mut room, event.fd),
                }
            }
        }
    }
}

fn tell(room: &mut BTreeSet<Fd>, from: Fd, said: &[u8]) {
    let others: Vec<Fd> = room.iter().copied().filter(|fd| *fd != from).collect();
    for other in others {
        if socket::send(other, said, socket::SEND_DONT_WAIT) != Ok(said.len()) {
            leave(room, other);
        }
    }
}

fn leave(room: &mut BTreeSet<Fd>, fd: Fd) {
    room.remove(&fd);
    check_ok!(close(fd));
    println!("{} in the room", room.len());
}
