//! `data_urgent ADDR`: a peer sends "ab", then "c" urgently, then "d", on each of two
//! connections. The ABI has no flag to ask for urgent data: it is passed over, or is left in
//! the stream where `oob_inline` says so; epoll tells of it.

use std::net::SocketAddr;
use wasix::errno::*;
use wasix::socket::*;
use wasix::wait::{self, IN};
use wasix::{check, check_eq, check_ok};

/// `EPOLLPRI`, urgent data.
const PRI: u32 = 8;

fn main() {
    let addr: SocketAddr = std::env::args().nth(1).expect("an address").parse().unwrap();
    for (is_inline, expected) in [(false, "abd"), (true, "abcd")] {
        let fd = check_ok!(open_for(addr));
        check_eq!(flag(fd, option::OOB_INLINE), Ok(false));
        check_ok!(set_flag(fd, option::OOB_INLINE, is_inline));
        check_eq!(flag(fd, option::OOB_INLINE), Ok(is_inline));
        check_ok!(connect(fd, addr));
        let watch = check_ok!(wait::epoll());
        check_ok!(wait::add(watch, fd, PRI));
        check_eq!(wait::next(watch), Ok(vec![(fd, PRI)]));
        let mut text = String::new();
        let mut buf = [0; 16];
        loop {
            match check_ok!(recv(fd, &mut buf, 0)) {
                0 => break,
                count => text += std::str::from_utf8(&buf[..count]).unwrap(),
            }
            check!(text.len() < 16, "{text:?}");
        }
        check_eq!(text, expected);
        check_ok!(wait::modify(watch, fd, IN));
        for unknown in [16, 32] {
            check_eq!(recv(fd, &mut buf, unknown), Err(EINVAL));
        }
    }
    println!("done");
}
