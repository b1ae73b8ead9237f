//! `unix_datagram [NATIVE]`: messages each on its own, from name to name. Needs `/run`
//! and grants for all in it. NATIVE is the name of a socket that sends back what it gets.

use wasix::descriptor::{NONBLOCK, close, set_flags};
use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, check, check_eq, check_ok, unix, wait};

const SECOND: u64 = 1_000_000_000;

fn main() {
    if let Some(native) = std::env::args().nth(1) {
        return native_peer(&native);
    }
    names_and_boundaries();
    connected();
    full();
    refused();
    no_stream();
}

fn named(path: &str) -> Fd {
    let fd = check_ok!(unix::open(DGRAM));
    check_eq!(status(fd), Ok(0));
    check_ok!(unix::bind(fd, path));
    check_eq!(status(fd), Ok(1));
    fd
}

/// It answers to the name that the guest's socket has for others.
fn native_peer(native: &str) {
    let fd = named("/run/guest");
    check_eq!(unix::send_to(fd, b"hello", 0, native), Ok(5));
    let mut buf = [0; 16];
    check_eq!(unix::recv_from(fd, &mut buf, 0), Ok((5, false, native.to_owned())));
    check_ok!(unix::connect(fd, native));
    check_eq!(send(fd, b"again", 0), Ok(5));
    check_eq!(recv(fd, &mut buf, 0), Ok(5));
    println!("answered");
}

fn names_and_boundaries() {
    let (near, far) = (named("/run/near"), named("/run/far"));
    check_eq!(unix::local(near), Ok("/run/near".into()));
    check_eq!(unix::bind(near, "/run/other"), Err(EINVAL));
    let mut buf = [0; 4];
    check_eq!(unix::recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));
    for message in ["one", "", "fourth", "eleven"] {
        check_eq!(unix::send_to(near, message.as_bytes(), 0, "/run/far"), Ok(message.len()));
    }
    let from = || "/run/near".to_owned();
    check_eq!(unix::recv_from(far, &mut buf, RECV_PEEK), Ok((3, false, from())));
    check_eq!(unix::recv_from(far, &mut buf, 0), Ok((3, false, from())));
    check_eq!(unix::recv_from(far, &mut buf, 0), Ok((0, false, from())));
    check_eq!(unix::recv_from(far, &mut buf, 0), Ok((4, true, from())));
    check_eq!(unix::recv_from(far, &mut buf, RECV_DATA_TRUNCATED), Ok((6, true, from())));
    // Back by the name that came with it, and from one without a name.
    check_eq!(unix::send_to(far, b"back", 0, &from()), Ok(4));
    check_eq!(unix::recv_from(near, &mut buf, 0), Ok((4, false, "/run/far".to_owned())));
    let nameless = check_ok!(unix::open(DGRAM));
    check_eq!(unix::send_to(nameless, b"who", 0, "/run/far"), Ok(3));
    check_eq!(unix::recv_from(far, &mut buf, 0), Ok((3, false, String::new())));
    check_ok!(set_time(far, option::RECV_TIMEOUT, Some(SECOND / 20)));
    check_eq!(recv(far, &mut buf, 0), Err(EAGAIN));
    check_eq!(size(far, option::TYPE), Ok(DGRAM.into()));
    check_eq!(set_flag(far, option::BROADCAST, true), Err(ENOPROTOOPT));
}

fn connected() {
    let (near, far) = (named("/run/connected"), named("/run/peer"));
    check_eq!(send(near, b"x", 0), Err(EDESTADDRREQ));
    check_eq!(unix::peer(near), Err(ENOTCONN));
    check_eq!(shutdown(near, SHUT_WR), Err(ENOTCONN));
    check_ok!(unix::connect(near, "/run/peer"));
    check_eq!(unix::peer(near), Ok("/run/peer".into()));
    check_eq!(send(near, b"x", 0), Ok(1));
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, far, wait::IN));
    check_eq!(wait::next(watch), Ok(vec![(far, wait::IN)]));
    check_eq!(recv(far, &mut [0; 4], 0), Ok(1));
    check_eq!(wait::now(watch), Ok(vec![]));
    // Another peer takes the place of the first.
    let other = named("/run/another");
    check_ok!(unix::connect(near, "/run/another"));
    check_eq!(send(near, b"xy", 0), Ok(2));
    check_eq!(recv(other, &mut [0; 4], 0), Ok(2));
    check_ok!(shutdown(near, SHUT_WR));
    check_eq!(send(near, b"x", 0), Err(EPIPE));
}

/// The receiver's queue is full: a nonblocking sender gets an error, another one waits.
fn full() {
    let (near, _far) = (named("/run/sender"), named("/run/slow"));
    for is_connected in [false, true] {
        if is_connected {
            check_ok!(unix::connect(near, "/run/slow"));
        }
        let send = |flags| match is_connected {
            true => send(near, b"x", flags),
            false => unix::send_to(near, b"x", flags, "/run/slow"),
        };
        let mut count = 0;
        while send(SEND_DONT_WAIT) != Err(EAGAIN) {
            count += 1;
            check!(count < 100_000, "it is never full");
        }
        check_ok!(set_time(near, option::SEND_TIMEOUT, Some(SECOND / 20)));
        check_eq!(send(0), Err(EAGAIN));
    }
    check_ok!(set_flags(near, NONBLOCK));
    check_eq!(send(near, b"x", 0), Err(EAGAIN));
    let too_large = send(near, &vec![0; 16 << 20], 0);
    check!(too_large == Err(EMSGSIZE), "{too_large:?}");
}

fn refused() {
    let (near, gone) = (named("/run/lonely"), named("/run/gone"));
    check_ok!(unix::connect(near, "/run/gone"));
    check_ok!(close(gone));
    check_eq!(send(near, b"x", 0), Err(ECONNREFUSED));
    check_eq!(unix::send_to(near, b"x", 0, "/run/gone"), Err(ECONNREFUSED));
    check_eq!(unix::send_to(near, b"x", 0, "/run/never"), Err(ENOENT));
    let stream = check_ok!(unix::listener(STREAM, "/run/of_streams", 1));
    check_eq!(unix::send_to(near, b"x", 0, "/run/of_streams"), Err(EPROTOTYPE));
    check_eq!(unix::connect(near, "/run/of_streams"), Err(EPROTOTYPE));
    check_ok!(close(stream));
    check_eq!(send_to(near, b"x", 0, loopback(1)), Err(EAFNOSUPPORT));
}

fn no_stream() {
    let fd = named("/run/no_stream");
    check_eq!(listen(fd, 4), Err(ENOTSUP));
    check_eq!(unix::accept(fd, 0).err(), Some(ENOTSUP));
}
