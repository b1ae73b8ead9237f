//! What a guest may do with a listener that it was handed, and what it finds where it
//! looks for directories.

use wasix::Fd;
use wasix::descriptor::*;
use wasix::errno::*;
use wasix::socket::{self, loopback};
use wasix::{check_eq, check_ok};

const LISTENER: Fd = 3;
const FOLDER: Fd = 4;

fn main() {
    let stat = check_ok!(fdstat(LISTENER));
    check_eq!(stat.filetype, SOCKET_STREAM);
    check_eq!(stat.flags, 0);
    let stats = right::FD_FILESTAT_GET | right::FD_FDSTAT_SET_FLAGS;
    // Its address, and that of a peer that it does not have.
    let addresses = 0b11 << 35;
    check_eq!(stat.rights_base, right::SOCK_ACCEPT | right::SOCK_LISTEN | addresses | right::POLL | stats);
    check_eq!(socket::bind(LISTENER, loopback(0)), Err(ENOTCAPABLE));
    println!("at {}", check_ok!(socket::addr_local(LISTENER)));
    check_eq!(socket::addr_peer(LISTENER), Err(ENOTCONN));
    check_ok!(socket::listen(LISTENER, 1));
    check_eq!(socket::connect(LISTENER, loopback(1)), Err(ENOTCAPABLE));
    check_eq!(socket::shutdown(LISTENER, socket::SHUT_RDWR), Err(ENOTCAPABLE));
    check_eq!(socket::recv(LISTENER, &mut [0; 4], 0), Err(ENOTCAPABLE));
    check_eq!(read(LISTENER, &mut [0; 4]), Err(ENOTCAPABLE));

    // A look for directories neither stops nor fails at it, open or not.
    check_eq!(prestat(LISTENER), Ok((1, 0)));
    check_eq!(prestat(FOLDER), Ok((0, 5)));
    check_eq!(prestat(FOLDER + 1), Err(EBADF));

    check_ok!(set_flags(LISTENER, NONBLOCK));
    check_eq!(socket::accept_v2(LISTENER, 0).map(drop), Err(EAGAIN));
    check_ok!(set_flags(LISTENER, 0));
    println!("ready");
    let (stream, _) = check_ok!(socket::accept_v2(LISTENER, 0));
    // What comes in may be used as usual.
    check_eq!(read(stream, &mut [0; 4]), Ok(2));
    check_eq!(socket::send(stream, b"yes", 0), Ok(3));
    check_ok!(socket::shutdown(stream, socket::SHUT_RDWR));

    check_ok!(close(LISTENER));
    check_eq!(prestat(LISTENER), Ok((1, 0)));
    check_eq!(fdstat(LISTENER).map(drop), Err(EBADF));
    println!("closed");
    // Until its input ends.
    check_eq!(read(0, &mut [0; 4]), Ok(0));
}
