//! The three accepts in every state of a socket and on everything else.

use wasix::descriptor::{NONBLOCK, right};
use wasix::errno::*;
use wasix::socket::*;
use wasix::{Errno, Fd, check_eq, check_ok, descriptor};

fn main() {
    let fresh = check_ok!(open(INET4, STREAM, TCP));
    each_answers(fresh, NONBLOCK, EINVAL);
    // Not even a wait: the state is wrong already.
    each_answers(fresh, 0, EINVAL);

    check_ok!(bind(fresh, loopback(0)));
    each_answers(fresh, 0, EINVAL);

    check_ok!(listen(fresh, 4));
    // The flag of the call.
    each_answers(fresh, NONBLOCK, EAGAIN);
    // The flag of the descriptor.
    check_ok!(descriptor::set_nonblocking(fresh));
    each_answers(fresh, 0, EAGAIN);
    check_ok!(descriptor::set_flags(fresh, 0));

    let (near, far) = check_ok!(connected(fresh));
    each_answers(near, 0, EINVAL);
    each_answers(far, 0, EINVAL);

    // The accepted socket takes the flag of the call, not the listener's.
    check_eq!(check_ok!(descriptor::fdstat(far)).flags & NONBLOCK as u16, 0);
    check_ok!(descriptor::set_nonblocking(fresh));
    let client = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(connect(client, check_ok!(addr_local(fresh))));
    let (plain, _) = check_ok!(accept_v2(fresh, 0));
    check_eq!(check_ok!(descriptor::fdstat(plain)).flags & NONBLOCK as u16, 0);
    check_ok!(descriptor::set_flags(fresh, 0));
    let client = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(connect(client, check_ok!(addr_local(fresh))));
    let (flagged, _) = check_ok!(accept_v2(fresh, NONBLOCK));
    check_eq!(check_ok!(descriptor::fdstat(flagged)).flags & NONBLOCK as u16, NONBLOCK as u16);
    check_eq!(recv(flagged, &mut [0; 4], 0), Err(EAGAIN));

    if let Ok(dgram) = open(INET4, DGRAM, UDP) {
        each_answers(dgram, 0, ENOTSUP);
    }
    for stdio in 0..3 {
        each_answers(stdio, 0, ENOTSOCK);
    }
    each_answers(3, 0, ENOTSOCK);
    each_answers(900, 0, EBADF);
    each_answers(u32::MAX, 0, EBADF);

    check_ok!(descriptor::drop_rights(fresh, right::SOCK_ACCEPT));
    each_answers(fresh, NONBLOCK, ENOTCAPABLE);
}

fn each_answers(fd: Fd, flags: u32, expected: Errno) {
    check_eq!(accept(fd, flags), Err(expected), "fd {fd}");
    check_eq!(accept_v2(fd, flags), Err(expected), "fd {fd}");
    check_eq!(accept_preview1(fd, flags), Err(expected), "fd {fd}");
}
