//! `preopened_kinds KIND LOCAL`: what a guest may do with a socket of this kind that it
//! was handed as descriptor 3. One message comes, and goes back. LOCAL is the name that the
//! socket has for the guest, empty for none; `-` over a network.
//!
//! KIND: `listener`, `listener_of_messages`, `connection`, `connection_of_messages`,
//! `datagrams` (from and to a name), `datagrams_of_a_pair`, `udp`.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::socket::{self, loopback};
use wasix::{Fd, check_eq, check_ok, unix};

const INHERITED: Fd = 3;

const STATS: u64 = right::FD_FILESTAT_GET | right::FD_FDSTAT_SET_FLAGS;

fn main() {
    let mut args = std::env::args().skip(1);
    let kind = args.next().expect("a kind");
    let local = args.next().expect("a name");
    let filetype = match kind.as_str() {
        "listener" | "connection" => SOCKET_STREAM,
        "listener_of_messages" | "connection_of_messages" => SOCKET_SEQPACKET,
        _ => SOCKET_DGRAM,
    };
    check_eq!(check_ok!(fdstat(INHERITED)).filetype, filetype);
    check_eq!(prestat(INHERITED), Ok((1, 0)));
    check_eq!(socket::bind(INHERITED, loopback(0)), Err(ENOTCAPABLE));
    let again = if kind.starts_with("listener") { Ok(()) } else { Err(ENOTCAPABLE) };
    check_eq!(socket::listen(INHERITED, 1), again);
    check_eq!(socket::set_size(INHERITED, socket::option::RECV_BUF_SIZE, 9000), Err(ENOTCAPABLE));
    check_eq!(socket::connect(INHERITED, loopback(1)), Err(ENOTCAPABLE));
    if kind.starts_with("listener") {
        check_eq!(unix::local(INHERITED), Ok(local.clone()));
        let (connection, peer) = accept();
        check_eq!(unix::local(connection), Ok(local));
        check_eq!(unix::peer(connection), Ok(peer));
        // What comes in may be used as usual.
        return echo(connection);
    }
    carries_data();
    match kind.as_str() {
        "udp" => echo_over_udp(),
        "datagrams" => {
            check_eq!(unix::local(INHERITED), Ok(local));
            check_eq!(unix::peer(INHERITED), Err(ENOTCONN));
            echo_to_a_name();
        }
        _ => {
            check_eq!(unix::local(INHERITED), Ok(local));
            println!("peer {:?}", check_ok!(unix::peer(INHERITED)));
            echo(INHERITED);
            check_ok!(socket::shutdown(INHERITED, socket::SHUT_RDWR));
        }
    }
    check_ok!(close(INHERITED));
    check_eq!(fdstat(INHERITED).map(drop), Err(EBADF));
}

fn accept() -> (Fd, String) {
    let listens = right::SOCK_ACCEPT | right::SOCK_LISTEN | 0b11 << 35;
    check_eq!(check_ok!(fdstat(INHERITED)).rights_base, listens | right::POLL | STATS);
    check_eq!(unix::peer(INHERITED), Err(ENOTCONN));
    check_eq!(socket::shutdown(INHERITED, socket::SHUT_RDWR), Err(ENOTCAPABLE));
    check_eq!(unix::recv(INHERITED, &mut [0; 4], 0), Err(ENOTCAPABLE));
    check_ok!(set_flags(INHERITED, NONBLOCK));
    check_eq!(unix::accept(INHERITED, 0).err(), Some(EAGAIN));
    check_ok!(set_flags(INHERITED, 0));
    println!("ready");
    let (connection, peer) = check_ok!(unix::accept(INHERITED, 0));
    println!("from {peer:?}");
    (connection, peer)
}

fn carries_data() {
    let stat = check_ok!(fdstat(INHERITED));
    let data = right::FD_READ | right::FD_WRITE | right::SOCK_RECV | right::SOCK_SEND | right::SOCK_SHUTDOWN;
    let addresses = 0b1111 << 35;
    check_eq!(stat.rights_base, data | addresses | right::POLL | STATS);
    check_eq!(socket::accept_preview1(INHERITED, 0).err(), Some(ENOTCAPABLE));
    check_eq!(socket::recv(INHERITED, &mut [0; 4], socket::RECV_DONT_WAIT), Err(EAGAIN));
    println!("ready");
}

fn echo(fd: Fd) {
    let mut buf = [0; 64];
    let count = check_ok!(socket::recv(fd, &mut buf, 0));
    check_eq!(socket::send(fd, &buf[..count], 0), Ok(count));
}

fn echo_to_a_name() {
    let mut buf = [0; 64];
    let (count, _, from) = check_ok!(unix::recv_from(INHERITED, &mut buf, 0));
    println!("from {from:?}");
    // A peer without a name that the guest knows gets no answer.
    if !from.is_empty() {
        check_eq!(unix::send_to(INHERITED, &buf[..count], 0, &from), Ok(count));
    }
}

fn echo_over_udp() {
    let mut buf = [0; 64];
    let (count, _, from) = check_ok!(socket::recv_whole(INHERITED, &mut buf, 0));
    check_eq!(socket::send_to(INHERITED, &buf[..count], 0, from), Ok(count));
}
