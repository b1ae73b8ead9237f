//! Two sockets at one port: the second bind is refused, unless both asked for reuse.

use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, check_eq, check_ok, descriptor};

fn main() {
    neither_listens();
    both_reuse();
    after_old_connections();
}

fn fresh() -> Fd {
    check_ok!(open(INET4, STREAM, TCP))
}

fn reusing() -> Fd {
    let fd = fresh();
    check_ok!(set_flag(fd, option::REUSE_ADDR, true));
    fd
}

/// "EADDRINUSE: The specified address is already in use." - bind(3p)
fn neither_listens() {
    let first = fresh();
    check_ok!(bind(first, loopback(0)));
    let addr = check_ok!(addr_local(first));
    let second = fresh();
    check_eq!(bind(second, addr), Err(EADDRINUSE));
    check_eq!(bind(second, addr), Err(EADDRINUSE), "once more");
    check_eq!(flag(second, option::REUSE_ADDR), Ok(false));
    // The first did not ask.
    check_eq!(bind(reusing(), addr), Err(EADDRINUSE));
    check_ok!(descriptor::close(first));
    check_ok!(bind(second, addr));
    check_ok!(listen(second, 4));
    check_eq!(bind(fresh(), addr), Err(EADDRINUSE));
    check_eq!(bind(reusing(), addr), Err(EADDRINUSE));
    check_ok!(connected(second));
}

/// "a socket may bind, except when there is an active listening socket bound to the
/// address" - socket(7), SO_REUSEADDR
fn both_reuse() {
    let (first, second) = (reusing(), reusing());
    check_ok!(bind(first, loopback(0)));
    let addr = check_ok!(addr_local(first));
    check_ok!(bind(second, addr));
    check_ok!(listen(first, 4));
    check_eq!(listen(second, 4), Err(EADDRINUSE));
    check_ok!(connected(first));
}

/// A server that starts anew is not in the way of itself; and keeps others out all the same.
fn after_old_connections() {
    let (old, addr) = check_ok!(listener());
    for _ in 0..3 {
        let (near, far) = check_ok!(connected(old));
        // This side closes first: it waits out the old packets.
        check_ok!(descriptor::close(far));
        check_ok!(descriptor::close(near));
    }
    let (_near, _far) = check_ok!(connected(old));
    check_ok!(descriptor::close(old));
    for _ in 0..2 {
        let new = fresh();
        check_ok!(bind(new, addr));
        check_eq!(bind(fresh(), addr), Err(EADDRINUSE), "while it is bound");
        check_ok!(listen(new, 4));
        check_eq!(bind(fresh(), addr), Err(EADDRINUSE), "while it listens");
        let (near, far) = check_ok!(connected(new));
        check_ok!(descriptor::close(far));
        check_ok!(descriptor::close(near));
        check_ok!(descriptor::close(new));
    }
}
