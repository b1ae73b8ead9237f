//! `egress STEP...`: reaches out step by step, and prints what becomes of each:
//! `look-up NAME`, `connect ADDR`, `connect-nonblocking ADDR`, `send ADDR` (a datagram).

use std::net::SocketAddr;
use wasix::Result;
use wasix::check_ok;
use wasix::descriptor::{NONBLOCK, set_flags};
use wasix::errno::ENOSYS;
use wasix::resolve::resolve;
use wasix::socket::*;

fn main() {
    let steps: Vec<String> = std::env::args().skip(1).collect();
    for step in steps.chunks(2) {
        let [verb, target] = step else { panic!("a step without its target") };
        let outcome = take(verb, target).unwrap_or_else(|errno| errno.name().to_owned());
        println!("{verb} {target}: {outcome}");
    }
}

fn take(verb: &str, target: &str) -> Result<String> {
    if verb == "look-up" {
        let found = resolve(target, 16)?;
        return Ok(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    }
    let there: SocketAddr = target.parse().expect("an address");
    let family = if there.is_ipv4() { INET4 } else { INET6 };
    match verb {
        "connect" => connect(check_ok!(open(family, STREAM, TCP)), there)?,
        "connect-nonblocking" => {
            let fd = check_ok!(open(family, STREAM, TCP));
            check_ok!(set_flags(fd, NONBLOCK));
            connect(fd, there)?;
        }
        "send" => drop(send_to(check_ok!(open(family, DGRAM, UDP)), b"hello", 0, there)?),
        _ => return Err(ENOSYS),
    }
    Ok("done".to_owned())
}
