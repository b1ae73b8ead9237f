//! `server_survives_resets [ROUNDS]`: clients that are gone before they are
//! accepted, and clients that reset in the middle, leave the listener as it was.

use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, check, check_eq, check_ok, descriptor};

fn main() {
    let rounds = std::env::args().nth(1).map_or(50, |rounds| rounds.parse().expect("a number"));
    let (listener, _) = check_ok!(listener());
    for _ in 0..rounds {
        // Gone before it is accepted: no client, or a dead one.
        let client = client_of(listener);
        reset(client);
        match accept_v2(listener, descriptor::NONBLOCK) {
            Ok((fd, _)) => {
                let answer = recv(fd, &mut [0; 4], 0);
                check!(matches!(answer, Ok(0) | Err(ECONNRESET)), "a dead client: {answer:?}");
                check_ok!(descriptor::close(fd));
            }
            Err(errno) => check!(matches!(errno, ECONNABORTED | EAGAIN), "accept: {errno:?}"),
        }

        // Gone in the middle of a request.
        let client = client_of(listener);
        let (fd, _) = check_ok!(accept_v2(listener, 0));
        check_ok!(send_all(client, b"half a requ"));
        reset(client);
        let mut buf = [0; 64];
        while matches!(recv(fd, &mut buf, 0), Ok(1..)) {}
        let answer = send(fd, b"an answer", 0);
        check!(matches!(answer, Ok(_) | Err(EPIPE | ECONNRESET)), "sending: {answer:?}");
        check_ok!(descriptor::close(fd));
    }
    // A live one is served.
    let (near, far) = check_ok!(connected(listener));
    check_ok!(send_all(near, b"alive"));
    let mut buf = [0; 16];
    check_eq!(recv(far, &mut buf, 0), Ok(5));
}

fn client_of(listener: Fd) -> Fd {
    let fd = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(connect(fd, check_ok!(addr_local(listener))));
    fd
}

/// Closes with a reset: a linger time of zero.
fn reset(fd: Fd) {
    check_ok!(set_time(fd, option::LINGER, Some(0)));
    check_ok!(descriptor::close(fd));
}
