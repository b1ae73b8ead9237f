//! `multicast rules`: what a join answers. `multicast v4`, `multicast v6 INDEX`: two
//! sockets of a group, and one that is in none; the interface of that index, or the
//! kernel's choice for 0. `multicast denied`: where nothing is granted but to bind to
//! 127.0.0.1. Groups of interface-local scope, and a time to live of 0, stay on the machine.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use wasix::descriptor::{NONBLOCK, close, set_flags};
use wasix::errno::*;
use wasix::multicast::*;
use wasix::socket::*;
use wasix::{Fd, check_eq, check_ok, wait};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 18, 7);
const OTHER: Ipv4Addr = Ipv4Addr::new(239, 255, 18, 8);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0x18, 7);
const LO: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let index = args.get(1).map_or(0, |index| index.parse().expect("an index"));
    match args[0].as_str() {
        "rules" => rules(),
        "rules6" => rules6(index),
        "v4" => v4(),
        "v6" => v6(index),
        "looped" => looped(),
        "denied" => denied(),
        other => panic!("{other}?"),
    }
}

fn dgram(family: u32) -> Fd {
    check_ok!(open(family, DGRAM, UDP))
}

/// A socket that shares its port with others.
fn shared(addr: SocketAddr) -> (Fd, u16) {
    let fd = dgram(if addr.is_ipv4() { INET4 } else { INET6 });
    check_ok!(set_flag(fd, option::REUSE_ADDR, true));
    check_ok!(bind(fd, addr));
    check_ok!(set_flags(fd, NONBLOCK));
    (fd, check_ok!(addr_local(fd)).port())
}

fn any4(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

fn any6(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

/// Waits until `fd` has a message, and takes it.
fn arrives(fd: Fd, message: &[u8]) {
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, fd, wait::IN));
    check_eq!(wait::next(watch), Ok(vec![(fd, wait::IN)]));
    let mut buf = [0; 16];
    check_eq!(recv(fd, &mut buf, 0), Ok(message.len()));
    check_eq!(&buf[..message.len()], message);
    check_ok!(close(watch));
}

fn is_empty(fd: Fd) {
    check_eq!(recv(fd, &mut [0; 16], 0), Err(EAGAIN));
}

fn rules() {
    let fd = dgram(INET4);
    check_eq!(leave_v4(fd, GROUP, LO), Err(EADDRNOTAVAIL));
    check_ok!(join_v4(fd, GROUP, LO));
    check_eq!(join_v4(fd, GROUP, LO), Err(EADDRINUSE));
    check_eq!(leave_v4(fd, OTHER, LO), Err(EADDRNOTAVAIL));
    check_ok!(leave_v4(fd, GROUP, LO));
    check_eq!(leave_v4(fd, GROUP, LO), Err(EADDRNOTAVAIL));
    check_ok!(join_v4(fd, GROUP, LO));
    // An address of no interface, and addresses of no group.
    check_eq!(join_v4(fd, OTHER, Ipv4Addr::new(192, 0, 2, 99)), Err(ENODEV));
    for none in [Ipv4Addr::new(10, 1, 1, 1), LO, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
        check_eq!(join_v4(fd, none, LO), Err(EINVAL), "{none}");
        check_eq!(leave_v4(fd, none, LO), Err(EINVAL), "{none}");
    }
    check_eq!(join_v6(fd, GROUP6, 0), Err(ENOPROTOOPT));
    // Any number, up to the host's.
    let many = (1..=255).find_map(|host| join_v4(fd, Ipv4Addr::new(239, 255, 19, host), LO).err());
    check_eq!(many, Some(ENOBUFS));
    for (family, kind) in [(INET4, STREAM), (UNIX, STREAM), (UNIX, DGRAM)] {
        let wrong = check_ok!(open(family, kind, 0));
        check_eq!(join_v4(wrong, GROUP, LO), Err(ENOPROTOOPT));
        check_eq!(leave_v4(wrong, GROUP, LO), Err(ENOPROTOOPT));
        check_eq!(join_v6(wrong, GROUP6, 0), Err(ENOPROTOOPT));
    }
    check_eq!(join_v4(1, GROUP, LO), Err(ENOTSOCK));
    check_eq!(join_v4(99, GROUP, LO), Err(EBADF));
    check_eq!(leave_v6(99, GROUP6, 0), Err(EBADF));
}

fn rules6(lo: u32) {
    let fd = dgram(INET6);
    check_eq!(leave_v6(fd, GROUP6, lo), Err(EADDRNOTAVAIL));
    check_ok!(join_v6(fd, GROUP6, lo));
    check_eq!(join_v6(fd, GROUP6, lo), Err(EADDRINUSE));
    check_ok!(leave_v6(fd, GROUP6, lo));
    check_eq!(leave_v6(fd, GROUP6, lo), Err(EADDRNOTAVAIL));
    check_eq!(join_v6(fd, GROUP6, 9999), Err(ENODEV));
    check_eq!(join_v6(fd, GROUP6, u32::MAX), Err(ENODEV));
    for none in [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, GROUP.to_ipv6_mapped()] {
        check_eq!(join_v6(fd, none, lo), Err(EINVAL), "{none}");
        check_eq!(leave_v6(fd, none, lo), Err(EINVAL), "{none}");
    }
    // It may speak IPv4 as well, and is in a group of it.
    check_ok!(join_v4(fd, GROUP, LO));
    check_ok!(bind(fd, any6(0)));
    let sender = dgram(INET4);
    check_ok!(bind(sender, (LO, 0).into()));
    check_eq!(send_to(sender, b"mapped", 0, (GROUP, check_ok!(addr_local(fd)).port()).into()), Ok(6));
    arrives(fd, b"mapped");
    check_ok!(leave_v4(fd, GROUP, LO));
    // The two bytes of each pair the other way round, as Rust's library writes them.
    let swapped = GROUP6.segments().map(u16::swap_bytes).into();
    check_ok!(join_v6(fd, swapped, lo));
    check_eq!(leave_v6(fd, GROUP6, lo), Ok(()));
    let stream = check_ok!(open(INET6, STREAM, TCP));
    check_eq!(join_v6(stream, GROUP6, lo), Err(ENOPROTOOPT));
}

fn v4() {
    let (one, port) = shared(any4(0));
    let ((two, _), (three, _)) = (shared(any4(port)), shared(any4(port)));
    check_ok!(join_v4(one, GROUP, LO));
    check_ok!(join_v4(two, GROUP, LO));
    // In another group, and so in this one not.
    check_ok!(join_v4(three, OTHER, LO));
    // What it sends leaves through the interface that has its address.
    let sender = dgram(INET4);
    check_ok!(bind(sender, (LO, 0).into()));
    let to = SocketAddr::from((GROUP, port));
    check_eq!(send_to(sender, b"all", 0, to), Ok(3));
    arrives(one, b"all");
    arrives(two, b"all");
    is_empty(three);
    check_ok!(leave_v4(one, GROUP, LO));
    check_eq!(send_to(sender, b"less", 0, to), Ok(4));
    arrives(two, b"less");
    is_empty(one);
    check_eq!(send_to(sender, b"other", 0, (OTHER, port).into()), Ok(5));
    arrives(three, b"other");
    // It goes with its socket.
    check_ok!(close(two));
    check_eq!(send_to(sender, b"none", 0, to), Ok(4));
    is_empty(one);
    is_empty(three);
}

fn v6(index: u32) {
    let (one, port) = shared(any6(0));
    let ((two, _), (three, _)) = (shared(any6(port)), shared(any6(port)));
    check_ok!(join_v6(one, GROUP6, index));
    check_ok!(join_v6(two, GROUP6, index));
    let sender = dgram(INET6);
    let to = SocketAddr::from((GROUP6, port));
    check_eq!(send_to(sender, b"all", 0, to), Ok(3));
    arrives(one, b"all");
    arrives(two, b"all");
    is_empty(three);
    check_ok!(leave_v6(one, GROUP6, index));
    check_eq!(send_to(sender, b"less", 0, to), Ok(4));
    arrives(two, b"less");
    is_empty(one);
    check_eq!(flag(sender, option::MULTICAST_LOOP_V6), Ok(true));
    check_ok!(set_flag(sender, option::MULTICAST_LOOP_V6, false));
    check_eq!(flag(sender, option::MULTICAST_LOOP_V6), Ok(false));
    check_eq!(send_to(sender, b"none", 0, to), Ok(4));
    check_ok!(set_flag(sender, option::MULTICAST_LOOP_V6, true));
    check_eq!(send_to(sender, b"again", 0, to), Ok(5));
    arrives(two, b"again");
}

/// A sender hears itself where it is in the group, or not, as it likes.
fn looped() {
    let (one, port) = shared(any4(0));
    check_ok!(join_v4(one, GROUP, Ipv4Addr::UNSPECIFIED));
    let to = SocketAddr::from((GROUP, port));
    check_eq!(size(one, option::MULTICAST_TTL_V4), Ok(1));
    check_ok!(set_size(one, option::MULTICAST_TTL_V4, 3));
    check_eq!(size(one, option::MULTICAST_TTL_V4), Ok(3));
    // "restricted to the same host"
    check_ok!(set_size(one, option::MULTICAST_TTL_V4, 0));
    check_eq!(flag(one, option::MULTICAST_LOOP_V4), Ok(true));
    check_eq!(send_to(one, b"heard", 0, to), Ok(5));
    arrives(one, b"heard");
    check_ok!(set_flag(one, option::MULTICAST_LOOP_V4, false));
    check_eq!(flag(one, option::MULTICAST_LOOP_V4), Ok(false));
    check_eq!(send_to(one, b"unheard", 0, to), Ok(7));
    check_ok!(set_flag(one, option::MULTICAST_LOOP_V4, true));
    check_eq!(send_to(one, b"again", 0, to), Ok(5));
    arrives(one, b"again");
}

fn denied() {
    let fd = dgram(INET4);
    check_ok!(bind(fd, (LO, 0).into()));
    check_eq!(join_v4(fd, GROUP, LO), Err(EACCES));
    check_eq!(leave_v4(fd, GROUP, LO), Err(EADDRNOTAVAIL));
    check_eq!(send_to(fd, b"x", 0, (GROUP, 9).into()), Err(EACCES));
    // The port comes later, and is asked for then.
    let early = dgram(INET4);
    check_ok!(join_v4(early, OTHER, LO));
    check_eq!(bind(early, (LO, 7).into()), Err(EACCES));
    check_ok!(leave_v4(early, OTHER, LO));
    check_ok!(bind(early, (LO, 0).into()));
    println!("denied");
}
