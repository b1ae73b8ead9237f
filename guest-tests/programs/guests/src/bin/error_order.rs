//! `error_order UNBOUND`: where several errors apply, the first of descriptor, kind,
//! rights, arguments, state, policy, operating system is reported.
//!
//! UNBOUND is what the profile says to a listen on a socket without an address.
//! Granted are 127.0.0.1 on every port, and a folder; the table has 24 places.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use wasix::descriptor::{NONBLOCK, close, drop_rights, dup, right, set_nonblocking};
use wasix::errno::*;
use wasix::socket::*;
use wasix::{Errno, Fd, check_eq, check_ok};

/// A bit that no flag has.
const BAD_FLAGS: u32 = 1 << 9;

/// Nothing is granted there, and no machine has it.
const FORBIDDEN: &str = "192.0.2.1:1";

fn main() {
    let unbound = std::env::args().nth(1).expect("the name of an error");
    descriptor_first();
    kind_before_rights_and_arguments();
    rights_before_arguments_and_state();
    arguments_before_state();
    state_before_policy(&unbound);
    policy_before_the_system();
    state_before_a_full_table();
}

fn fresh() -> Fd {
    check_ok!(open(INET4, STREAM, TCP))
}

fn bound() -> Fd {
    let fd = fresh();
    check_ok!(bind(fd, loopback(0)));
    fd
}

fn forbidden() -> SocketAddr {
    FORBIDDEN.parse().unwrap()
}

fn of_another_family() -> AddrPort {
    AddrPort::of_family(2)
}

fn each_accept(fd: Fd, flags: u32, expected: Errno) {
    check_eq!(accept(fd, flags).map(drop), Err(expected), "fd {fd}");
    check_eq!(accept_v2(fd, flags).map(drop), Err(expected), "fd {fd}");
    check_eq!(accept_preview1(fd, flags).map(drop), Err(expected), "fd {fd}");
}

/// Whatever was refused did no harm.
fn listens_and_serves(fd: Fd) {
    check_ok!(listen(fd, 4));
    let (near, far) = check_ok!(connected(fd));
    check_ok!(send_all(near, b"hello"));
    check_eq!(recv(far, &mut [0; 8], 0), Ok(5));
    for fd in [near, far, fd] {
        check_ok!(close(fd));
    }
}

fn descriptor_first() {
    let closed = bound();
    check_ok!(close(closed));
    for fd in [closed, 900, 1 << 31, u32::MAX] {
        check_eq!(listen(fd, u32::MAX), Err(EBADF));
        each_accept(fd, BAD_FLAGS, EBADF);
        check_eq!(bind_raw(fd, &AddrPort::of_family(255)), Err(EBADF));
        check_eq!(connect_raw(fd, &AddrPort::of_family(255)), Err(EBADF));
        check_eq!(shutdown(fd, 77), Err(EBADF));
    }
}

fn kind_before_rights_and_arguments() {
    let file = File::create("error_order.tmp").unwrap();
    let file = file.as_raw_fd() as u32;
    check_ok!(drop_rights(file, u64::MAX));
    for fd in [0, 1, 2, 3, file] {
        check_eq!(listen(fd, u32::MAX), Err(ENOTSOCK), "fd {fd}");
        each_accept(fd, BAD_FLAGS, ENOTSOCK);
        check_eq!(bind_raw(fd, &AddrPort::of_family(255)), Err(ENOTSOCK));
        check_eq!(connect_raw(fd, &AddrPort::of_family(255)), Err(ENOTSOCK));
        check_eq!(shutdown(fd, 77), Err(ENOTSOCK));
    }
}

fn rights_before_arguments_and_state() {
    let dgram = check_ok!(open(INET4, DGRAM, UDP));
    let (near, far) = {
        let (listener, _) = check_ok!(listener());
        let both = check_ok!(connected(listener));
        check_ok!(close(listener));
        both
    };
    for fd in [fresh(), bound(), dgram, near] {
        let limited = check_ok!(dup(fd));
        let rights = right::SOCK_LISTEN | right::SOCK_ACCEPT | right::SOCK_BIND | right::SOCK_CONNECT;
        check_ok!(drop_rights(limited, rights | right::SOCK_SHUTDOWN));
        check_eq!(listen(limited, 4), Err(ENOTCAPABLE));
        each_accept(limited, 0, ENOTCAPABLE);
        each_accept(limited, BAD_FLAGS, ENOTCAPABLE);
        check_eq!(bind_raw(limited, &AddrPort::of_family(255)), Err(ENOTCAPABLE));
        check_eq!(connect_raw(limited, &AddrPort::of_family(255)), Err(ENOTCAPABLE));
        check_eq!(shutdown(limited, 77), Err(ENOTCAPABLE));
        check_ok!(close(limited));
        check_ok!(close(fd));
    }
    check_ok!(close(far));
}

fn arguments_before_state() {
    // EINVAL for the flags; the state would say ENOTSUP, or nothing.
    let dgram = check_ok!(open(INET4, DGRAM, UDP));
    each_accept(dgram, BAD_FLAGS, EINVAL);
    each_accept(dgram, 0, ENOTSUP);
    check_eq!(listen(dgram, 4), Err(ENOTSUP));
    check_ok!(close(dgram));

    let (listener, _) = check_ok!(listener());
    check_ok!(set_nonblocking(listener));
    each_accept(listener, BAD_FLAGS, EINVAL);
    each_accept(listener, 0, EAGAIN);
    // The state would say EINVAL, EISCONN or ENOTSUP.
    check_eq!(bind_raw(listener, &of_another_family()), Err(EAFNOSUPPORT));
    check_eq!(connect_raw(listener, &of_another_family()), Err(EAFNOSUPPORT));
    let (near, far) = check_ok!(connected(listener));
    check_eq!(connect_raw(near, &of_another_family()), Err(EAFNOSUPPORT));
    check_eq!(shutdown(fresh(), 77), Err(EINVAL));
    check_ok!(close(near));
    check_ok!(close(far));
    listens_and_serves(listener);
}

fn state_before_policy(unbound: &str) {
    let fd = bound();
    check_eq!(bind(fd, forbidden()), Err(EINVAL));
    listens_and_serves(fd);

    let (listener, _) = check_ok!(listener());
    check_eq!(connect(listener, forbidden()), Err(ENOTSUP));
    let (near, far) = check_ok!(connected(listener));
    check_eq!(connect(near, forbidden()), Err(EISCONN));
    check_ok!(close(near));
    check_ok!(close(far));
    listens_and_serves(listener);

    // Nothing of IPv6 is granted: a profile that binds such a socket asks the policy.
    for family in [INET4, INET6] {
        let fd = check_ok!(open(family, STREAM, TCP));
        check_eq!(listen(fd, 4).map_err(|errno| errno.name()).unwrap_err(), unbound);
        check_eq!(addr_local(fd).map(|addr| addr.port()), Ok(0));
        if family == INET4 {
            check_ok!(bind(fd, loopback(0)));
            listens_and_serves(fd);
        } else {
            check_ok!(close(fd));
        }
    }
}

fn policy_before_the_system() {
    // The system would say EADDRNOTAVAIL.
    let fd = fresh();
    check_eq!(bind(fd, forbidden()), Err(EACCES));
    // It would say ENETUNREACH, or nothing for a long time.
    check_eq!(connect(fd, forbidden()), Err(EACCES));
    check_ok!(bind(fd, loopback(0)));
    listens_and_serves(fd);

    // The system comes last: another socket listens there by now.
    let (first, second) = (fresh(), fresh());
    for fd in [first, second] {
        check_ok!(set_flag(fd, option::REUSE_ADDR, true));
    }
    check_ok!(bind(first, loopback(0)));
    check_ok!(bind(second, check_ok!(addr_local(first))));
    check_ok!(listen(first, 4));
    check_eq!(listen(second, 4), Err(EADDRINUSE));
    check_ok!(close(first));
    listens_and_serves(second);
}

fn state_before_a_full_table() {
    let (listener, addr) = check_ok!(listener());
    let (client, bound) = (fresh(), bound());
    check_ok!(connect(client, addr));
    let copies: Vec<Fd> = std::iter::from_fn(|| dup(bound).ok()).collect();
    check_eq!(dup(bound), Err(EMFILE));
    each_accept(bound, 0, EINVAL);
    each_accept(listener, BAD_FLAGS, EINVAL);
    each_accept(listener, NONBLOCK, EMFILE);
    // Listening takes no place.
    check_ok!(listen(bound, 4));
    copies.into_iter().for_each(|fd| check_ok!(close(fd)));
    // No connection was lost.
    check_eq!(check_ok!(accept_v2(listener, NONBLOCK)).1, check_ok!(addr_local(client)));
}
