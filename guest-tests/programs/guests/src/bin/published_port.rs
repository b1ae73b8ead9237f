//! `published_port KIND ADDR`: has a socket at ADDR, and sees no other address of its own.
//! With `tcp` it sends back what one client says, with `udp` what one datagram holds; with
//! `errno` it tells what the bind answers.

use std::net::SocketAddr;
use wasix::errno::*;
use wasix::socket::*;
use wasix::{check_eq, check_ok};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let here: SocketAddr = args[1].parse().expect("an address");
    let family = if here.is_ipv4() { INET4 } else { INET6 };
    if args[0] == "errno" {
        let fd = check_ok!(open(family, STREAM, TCP));
        println!("bind: {:?}", bind(fd, here));
        return;
    }
    let is_tcp = args[0] == "tcp";
    let fd = check_ok!(if is_tcp { open(family, STREAM, TCP) } else { open(family, DGRAM, UDP) });
    check_ok!(bind(fd, here));
    check_eq!(addr_local(fd), Ok(here));
    let mut buf = [0; 64];
    if !is_tcp {
        let (count, _, from) = check_ok!(recv_whole(fd, &mut buf, 0));
        check_eq!(send_to(fd, &buf[..count], 0, from), Ok(count));
        check_eq!(addr_local(fd), Ok(here));
        return;
    }
    check_ok!(listen(fd, 4));
    check_eq!(addr_local(fd), Ok(here));
    // The host's port is not the guest's, and so is the next one.
    let other = check_ok!(open(family, STREAM, TCP));
    check_eq!(bind(other, SocketAddr::new(here.ip(), here.port() + 1)), Err(EACCES));

    let (connection, _) = check_ok!(accept_v2(fd, 0));
    println!("connection at {}", check_ok!(addr_local(connection)));
    let count = check_ok!(recv(connection, &mut buf, 0));
    check_ok!(send_all(connection, &buf[..count]));
}
