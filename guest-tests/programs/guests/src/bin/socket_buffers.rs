//! `socket_buffers MOST`: no buffer of a socket is larger than that, whatever is asked for.

use wasix::errno::*;
use wasix::socket::*;
use wasix::wait::pair;
use wasix::{Fd, check, check_eq, check_ok, unix};

const BUFFERS: [u32; 2] = [option::RECV_BUF_SIZE, option::SEND_BUF_SIZE];

fn main() {
    let most: u64 = std::env::args().nth(1).and_then(|most| most.parse().ok()).expect("a number");
    let (listener, _) = check_ok!(listener());
    // They would grow as they are used: so they have their size from the start.
    for buffer in BUFFERS {
        check_eq!(size(listener, buffer), Ok(most));
    }
    stays_within(listener, most);
    let (near, far) = check_ok!(connected(listener));
    for fd in [near, far] {
        check_ok!(send_all(fd, b"hello"));
        stays_within(fd, most);
    }
    // What a listener has less is handed on.
    check_ok!(set_size(listener, option::RECV_BUF_SIZE, 10_000));
    let (_, far) = check_ok!(connected(listener));
    check_eq!(size(far, option::RECV_BUF_SIZE), Ok(20_000));
    check_eq!(size(far, option::SEND_BUF_SIZE), Ok(most));

    stays_within(check_ok!(open(INET4, DGRAM, UDP)), most);
    stays_within(check_ok!(unix::open(DGRAM)), most);
    let listener = check_ok!(unix::listener(STREAM, "/run/socket", 4));
    let client = check_ok!(unix::client(STREAM, "/run/socket"));
    let (accepted, _) = check_ok!(unix::accept(listener, 0));
    let (one, other) = check_ok!(pair(UNIX, STREAM, 0));
    for fd in [listener, client, accepted, one, other] {
        stays_within(fd, most);
    }
}

fn stays_within(fd: Fd, most: u64) {
    for buffer in BUFFERS {
        let fresh = size(fd, buffer);
        check!(matches!(fresh, Ok(fresh) if fresh <= most), "{fresh:?}");
        check_ok!(set_size(fd, buffer, 10_000));
        check_eq!(size(fd, buffer), Ok(20_000), "the kernel doubles it");
        // Silently, as the kernel does with its own limit.
        for asked in [most / 2, most / 2 + 1, 1 << 30] {
            check_ok!(set_size(fd, buffer, asked));
            check_eq!(size(fd, buffer), Ok(most), "{asked}");
        }
        check_eq!(set_size(fd, buffer, 1 << 40), Err(EINVAL));
    }
}
