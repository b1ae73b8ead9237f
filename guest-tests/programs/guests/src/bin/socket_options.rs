//! Every socket option, in every state: set, and read back.

use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, check, check_eq, check_ok};

fn main() {
    let fresh = check_ok!(open(INET4, STREAM, TCP));
    every_option(fresh, "fresh");
    check_eq!(flag(fresh, option::LISTENING), Ok(false));

    check_ok!(bind(fresh, loopback(0)));
    every_option(fresh, "bound");

    check_ok!(listen(fresh, 4));
    every_option(fresh, "listening");
    check_eq!(flag(fresh, option::LISTENING), Ok(true));

    let (near, far) = check_ok!(connected(fresh));
    every_option(near, "connected");
    every_option(far, "accepted");
    check_eq!(flag(far, option::LISTENING), Ok(false));

    kept_by_connect(fresh);
    of_ipv6();
    not_sockets();
}

fn every_option(fd: Fd, state: &str) {
    use option::*;
    for name in [REUSE_PORT, REUSE_ADDR, NO_DELAY, KEEP_ALIVE] {
        for value in [true, false, true] {
            check_eq!(set_flag(fd, name, value), Ok(()), "{state}, option {name}");
            check_eq!(flag(fd, name), Ok(value), "{state}, option {name}");
        }
    }
    check_ok!(set_flag(fd, REUSE_PORT, false));

    for name in [RECV_BUF_SIZE, SEND_BUF_SIZE] {
        check_eq!(set_size(fd, name, 65_536), Ok(()), "{state}, option {name}");
        // The kernel may round up, and on Linux doubles.
        let got = size(fd, name);
        check!(matches!(got, Ok(65_536..)), "{state}, option {name} answered {got:?}");
        // More than any kernel gives: as much as there is, or a refusal.
        let answer = set_size(fd, name, u64::MAX);
        check!(matches!(answer, Ok(()) | Err(EINVAL | ENOBUFS)), "{state}: {answer:?}");
    }

    for name in [RECV_TIMEOUT, SEND_TIMEOUT, CONNECT_TIMEOUT, ACCEPT_TIMEOUT] {
        check_eq!(time(fd, name), Ok(None), "{state}, option {name}");
        for value in [Some(1_500_000_000), Some(1), Some(u64::MAX), None] {
            check_eq!(set_time(fd, name, value), Ok(()), "{state}, option {name}");
            check_eq!(time(fd, name), Ok(value), "{state}, option {name}");
        }
        for tag in [2, 255] {
            let wrong = OptionTimestamp { tag, value: 1 };
            check_eq!(set_time_raw(fd, name, &wrong), Err(EINVAL), "{state}, tag {tag}");
        }
    }
    for value in [Some(3_000_000_000), None] {
        check_eq!(set_time(fd, LINGER, value), Ok(()), "{state}, linger");
        check_eq!(time(fd, LINGER), Ok(value), "{state}, linger");
    }

    check_ok!(set_size(fd, TTL, 33));
    check_eq!(size(fd, TTL), Ok(33), "{state}, ttl");
    check_eq!(size(fd, LAST_ERROR), Ok(0), "{state}, last error");
    check_eq!(size(fd, TYPE), Ok(u64::from(STREAM)), "{state}, type");
    check_eq!(size(fd, PROTO), Ok(u64::from(TCP)), "{state}, protocol");

    // Unknown, or of another kind.
    for name in [27, 200, 255, 256, u32::MAX] {
        check_eq!(set_flag(fd, name, true), Err(ENOPROTOOPT), "{state}, option {name}");
        check_eq!(flag(fd, name), Err(ENOPROTOOPT), "{state}, option {name}");
        check_eq!(set_size(fd, name, 1), Err(ENOPROTOOPT), "{state}, option {name}");
        check_eq!(size(fd, name), Err(ENOPROTOOPT), "{state}, option {name}");
        check_eq!(set_time(fd, name, None), Err(ENOPROTOOPT), "{state}, option {name}");
        check_eq!(time(fd, name), Err(ENOPROTOOPT), "{state}, option {name}");
    }
    check_eq!(set_flag(fd, RECV_BUF_SIZE, true), Err(ENOPROTOOPT), "{state}");
    check_eq!(set_size(fd, NO_DELAY, 1), Err(ENOPROTOOPT), "{state}");
    check_eq!(set_time(fd, NO_DELAY, None), Err(ENOPROTOOPT), "{state}");
    check!(set_flag(fd, LISTENING, true).is_err(), "{state}: listening is for reading");
    check!(set_size(fd, TYPE, 1).is_err(), "{state}: the type is for reading");
}

/// What is set before connecting holds afterwards.
fn kept_by_connect(listener: Fd) {
    let fd = check_ok!(open(INET4, STREAM, TCP));
    check_ok!(set_flag(fd, option::NO_DELAY, true));
    check_ok!(set_flag(fd, option::KEEP_ALIVE, true));
    check_ok!(set_time(fd, option::RECV_TIMEOUT, Some(5_000_000)));
    check_ok!(connect(fd, check_ok!(addr_local(listener))));
    check_eq!(flag(fd, option::NO_DELAY), Ok(true));
    check_eq!(flag(fd, option::KEEP_ALIVE), Ok(true));
    check_eq!(time(fd, option::RECV_TIMEOUT), Ok(Some(5_000_000)));
    check_ok!(accept_v2(listener, 0));
}

fn of_ipv6() {
    let fd = check_ok!(open(INET6, STREAM, TCP));
    for value in [true, false, true] {
        check_ok!(set_flag(fd, option::ONLY_V6, value));
        check_eq!(flag(fd, option::ONLY_V6), Ok(value));
    }
    // An IPv4 socket has no such option.
    let v4 = check_ok!(open(INET4, STREAM, TCP));
    check!(set_flag(v4, option::ONLY_V6, true).is_err(), "v6-only on IPv4");
}

fn not_sockets() {
    for (fd, expected) in [(900, EBADF), (u32::MAX, EBADF), (1, ENOTSOCK), (3, ENOTSOCK)] {
        check_eq!(set_flag(fd, option::NO_DELAY, true), Err(expected), "fd {fd}");
        check_eq!(flag(fd, option::NO_DELAY), Err(expected), "fd {fd}");
        check_eq!(set_size(fd, option::TTL, 1), Err(expected), "fd {fd}");
        check_eq!(size(fd, option::TTL), Err(expected), "fd {fd}");
        check_eq!(set_time(fd, option::LINGER, None), Err(expected), "fd {fd}");
        check_eq!(time(fd, option::LINGER), Err(expected), "fd {fd}");
        check_eq!(addr_local(fd), Err(expected), "fd {fd}");
        check_eq!(addr_peer(fd), Err(expected), "fd {fd}");
        check_eq!(status(fd), Err(expected), "fd {fd}");
    }
}
