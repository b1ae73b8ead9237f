//! Sockets that are on their way over themselves: only who receives the message could close it, and has
//! to have it for that.

use wasix::descriptor::close;
use wasix::message;
use wasix::socket::{DGRAM, STREAM, UNIX};
use wasix::wait::pair;
use wasix::{check_eq, check_ok};

fn main() {
    for kind in [STREAM, DGRAM, STREAM, DGRAM, STREAM, DGRAM] {
        let (near, far) = check_ok!(pair(UNIX, kind, 0));
        let (other, another) = check_ok!(pair(UNIX, kind, 0));
        check_eq!(message::pass(near, b"x", &[far, other]), Ok(1));
        check_eq!(message::pass(another, b"x", &[near]), Ok(1));
        for fd in [near, far, other, another] {
            check_ok!(close(fd));
        }
    }
    println!("passed");
}
