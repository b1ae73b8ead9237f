//! Numbers of descriptors: the lowest free one, duplicates, moves, limits.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::socket::{self, INET4, STREAM, TCP};
use wasix::{check, check_eq, check_ok};

fn main() {
    let first = check_ok!(socket::open(INET4, STREAM, TCP));
    let second = check_ok!(socket::open(INET4, STREAM, TCP));
    let third = check_ok!(socket::open(INET4, STREAM, TCP));
    check_eq!((second, third), (first + 1, first + 2));

    // The lowest free number.
    check_ok!(close(first));
    check_ok!(close(second));
    check_eq!(socket::open(INET4, STREAM, TCP), Ok(first));
    check_eq!(dup(third), Ok(second));
    check_ok!(close(second));
    check_eq!(close(second), Err(EBADF));
    check_eq!(close(900), Err(EBADF));
    check_eq!(close(u32::MAX), Err(EBADF));

    duplicates_share_the_connection();
    numbers_from_a_minimum(third);
    copying();
    close_on_exec(third);
    until_the_limit();
}

fn duplicates_share_the_connection() {
    let (listener, _) = check_ok!(socket::listener());
    let (near, far) = check_ok!(socket::connected(listener));
    let copy = check_ok!(dup(near));
    check_ok!(socket::send_all(copy, b"one"));
    check_ok!(socket::send_all(near, b"two"));
    // Closing one leaves the other connected.
    check_ok!(close(near));
    check_ok!(socket::send_all(copy, b"three"));
    let mut buf = [0; 11];
    check_eq!(socket::recv(far, &mut buf, socket::RECV_WAITALL), Ok(11));
    check_eq!(buf, *b"onetwothree");
    check_ok!(close(copy));
    check_eq!(socket::recv(far, &mut buf, 0), Ok(0));
    check_eq!(dup(900), Err(EBADF));
    for fd in [far, listener] {
        check_ok!(close(fd));
    }
}

fn numbers_from_a_minimum(fd: u32) {
    check_eq!(dup2(fd, 40, false), Ok(40));
    check_eq!(dup2(fd, 40, false), Ok(41));
    let low = check_ok!(dup2(fd, 0, false));
    check!(low < 40, "the lowest free number was {low}");
    check_eq!(dup2(900, 0, false), Err(EBADF));
    for minimum in [1 << 20, 0x7fff_ffff, u32::MAX] {
        let answer = dup2(fd, minimum, false);
        check!(matches!(answer, Err(EINVAL | EMFILE)), "minimum {minimum}: {answer:?}");
    }
    for fd in [40, 41, low] {
        check_ok!(close(fd));
    }
}

/// `fd_renumber` duplicates in a WASIX program, whichever module it comes from: the
/// C library takes it from preview 1 for its `dup2`.
fn copying() {
    let (listener, addr) = check_ok!(socket::listener());
    let target = check_ok!(socket::open(INET4, STREAM, TCP));
    check_ok!(renumber_preview1(listener, target));
    check_eq!(socket::addr_local(listener), Ok(addr));
    check_eq!(socket::addr_local(target), Ok(addr));
    check_ok!(close(listener));

    let copy = check_ok!(socket::open(INET4, STREAM, TCP));
    check_ok!(renumber_wasix(target, copy));
    check_eq!(socket::addr_local(copy), Ok(addr));
    check_eq!(socket::addr_local(target), Ok(addr));

    // Onto itself: nothing changes.
    check_ok!(renumber_wasix(copy, copy));
    check_eq!(socket::addr_local(copy), Ok(addr));
    check_ok!(renumber_preview1(copy, copy));
    check_eq!(socket::addr_local(copy), Ok(addr));

    check_eq!(renumber_preview1(900, copy), Err(EBADF));
    check_eq!(renumber_wasix(900, copy), Err(EBADF));
    // No number beyond the limit can be made.
    check_eq!(renumber_preview1(copy, 1 << 20), Err(EBADF));
    check_eq!(socket::addr_local(copy), Ok(addr));
    for fd in [copy, target] {
        check_ok!(close(fd));
    }
}

fn close_on_exec(fd: u32) {
    check_eq!(fdflags(fd), Ok(0));
    check_ok!(set_fdflags(fd, CLOEXEC));
    check_eq!(fdflags(fd), Ok(1));
    let copy = check_ok!(dup(fd));
    check_eq!(fdflags(copy), Ok(0));
    check_ok!(close(copy));
    let copy = check_ok!(dup2(fd, 0, true));
    check_eq!(fdflags(copy), Ok(1));
    check_ok!(close(copy));
    check_ok!(set_fdflags(fd, 0));
    check_eq!(fdflags(fd), Ok(0));
    check_eq!(fdflags(900), Err(EBADF));
}

fn until_the_limit() {
    let mut opened = Vec::new();
    let full = loop {
        match socket::open(INET4, STREAM, TCP) {
            Ok(fd) => opened.push(fd),
            Err(errno) => break errno,
        }
        check!(opened.len() < 100_000, "a table without a limit");
    };
    check_eq!(full, EMFILE);
    check_eq!(dup(0), Err(EMFILE));
    check_eq!(dup2(0, 0, false), Err(EMFILE));
    let one = opened.swap_remove(opened.len() / 2);
    check_ok!(close(one));
    check_eq!(dup(0), Ok(one));
    println!("highest {}", opened.iter().max().unwrap());
}
