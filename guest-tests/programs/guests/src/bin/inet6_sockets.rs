//! `inet6_sockets [INDEX]`: sockets of both families and of one, ports side by side, and
//! scopes. INDEX is that of an interface with a way to groups, where there is one.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use wasix::descriptor::close;
use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, check_eq, check_ok, wait};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
const LO: Ipv4Addr = Ipv4Addr::LOCALHOST;
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn main() {
    let index = std::env::args().nth(1).map(|index| index.parse().expect("an index"));
    both_take_datagrams();
    one_takes_datagrams();
    both_take_connections();
    one_takes_connections();
    scopes(index);
}

fn fresh(family: u32, kind: u32) -> Fd {
    check_ok!(open(family, kind, 0))
}

fn at(fd: Fd, addr: SocketAddr) -> u16 {
    check_ok!(bind(fd, addr));
    check_ok!(addr_local(fd)).port()
}

fn mapped(port: u16) -> SocketAddr {
    (LO.to_ipv6_mapped(), port).into()
}

fn both_take_datagrams() {
    let both = fresh(INET6, DGRAM);
    check_eq!(flag(both, option::ONLY_V6), Ok(false), "RFC 3493: by default this option is turned off");
    let port = at(both, ANY);
    let (four, six) = (fresh(INET4, DGRAM), fresh(INET6, DGRAM));
    let four_port = at(four, (LO, 0).into());
    let six_port = at(six, (Ipv6Addr::LOCALHOST, 0).into());
    let mut buf = [0; 16];
    check_eq!(send_to(four, b"four", 0, loopback(port)), Ok(4));
    check_eq!(recv_whole(both, &mut buf, 0), Ok((4, false, mapped(four_port))));
    check_eq!(send_to(six, b"six", 0, (Ipv6Addr::LOCALHOST, port).into()), Ok(3));
    check_eq!(recv_whole(both, &mut buf, 0), Ok((3, false, (Ipv6Addr::LOCALHOST, six_port).into())));
    // Back to where it came from, and as a peer.
    check_eq!(send_to(both, b"back", 0, mapped(four_port)), Ok(4));
    check_eq!(recv_whole(four, &mut buf, 0), Ok((4, false, loopback(port))));
    check_ok!(connect(both, mapped(four_port)));
    check_eq!(addr_peer(both), Ok(mapped(four_port)));
    check_eq!(addr_local(both), Ok(mapped(port)));
    check_eq!(send(both, b"peer", 0), Ok(4));
    check_eq!(recv(four, &mut buf, 0), Ok(4));
    // Its port is taken in both families.
    check_eq!(bind(fresh(INET4, DGRAM), loopback(port)), Err(EADDRINUSE));
    // One that has an IPv4 address speaks no IPv6. "EAFNOSUPPORT: Addresses in the specified
    // address family cannot be used with this socket." - sendto(3p)
    let only_four = fresh(INET6, DGRAM);
    at(only_four, mapped(0));
    check_eq!(send_to(only_four, b"x", 0, (Ipv6Addr::LOCALHOST, port).into()), Err(EAFNOSUPPORT));
}

fn one_takes_datagrams() {
    let six = fresh(INET6, DGRAM);
    check_ok!(set_flag(six, option::ONLY_V6, true));
    let port = at(six, ANY);
    check_eq!(set_flag(six, option::ONLY_V6, false), Err(EINVAL), "it is too late");
    check_eq!(flag(six, option::ONLY_V6), Ok(true));
    // It is not taken there.
    let sender = fresh(INET4, DGRAM);
    check_ok!(connect(sender, loopback(port)));
    check_eq!(send(sender, b"x", 0), Ok(1));
    check_eq!(recv(sender, &mut [0; 4], 0), Err(ECONNREFUSED));
    check_eq!(send_to(six, b"x", 0, mapped(port)), Err(ENETUNREACH));
    check_eq!(connect(six, mapped(port)), Err(ENETUNREACH));
    // The port of the other family is free, and each takes its own.
    let four = fresh(INET4, DGRAM);
    check_ok!(bind(four, (Ipv4Addr::UNSPECIFIED, port).into()));
    let mut buf = [0; 16];
    check_eq!(send(sender, b"four", 0), Ok(4));
    check_eq!(recv(four, &mut buf, 0), Ok(4));
    let sender = fresh(INET6, DGRAM);
    check_eq!(send_to(sender, b"six", 0, (Ipv6Addr::LOCALHOST, port).into()), Ok(3));
    check_eq!(recv(six, &mut buf, 0), Ok(3));
    check_eq!(recv(four, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));
    check_eq!(bind(fresh(INET6, DGRAM), mapped(0)), Ok(()));
    let only = fresh(INET6, DGRAM);
    check_ok!(set_flag(only, option::ONLY_V6, true));
    check_eq!(bind(only, mapped(0)), Err(EINVAL));
    check_eq!(set_flag(four, option::ONLY_V6, true), Err(ENOPROTOOPT));
}

fn both_take_connections() {
    let both = fresh(INET6, STREAM);
    let port = at(both, ANY);
    check_ok!(listen(both, 4));
    let four = fresh(INET4, STREAM);
    check_ok!(connect(four, loopback(port)));
    let (accepted, peer) = check_ok!(accept_v2(both, 0));
    check_eq!(peer, mapped(check_ok!(addr_local(four)).port()));
    check_eq!((addr_local(accepted), addr_peer(accepted)), (Ok(mapped(port)), Ok(peer)));
    // From a socket of IPv6 to IPv4.
    let six = fresh(INET6, STREAM);
    check_ok!(connect(six, mapped(port)));
    check_eq!(addr_peer(six), Ok(mapped(port)));
    let (_, peer) = check_ok!(accept_v2(both, 0));
    check_eq!(Ok(peer), addr_local(six));
    let six = fresh(INET6, STREAM);
    check_ok!(connect(six, (Ipv6Addr::LOCALHOST, port).into()));
    let (_, peer) = check_ok!(accept_v2(both, 0));
    check_eq!(peer.ip(), Ipv6Addr::LOCALHOST);
    // A peer that came to the port may be here still, so another address is used.
    let other = fresh(INET4, STREAM);
    let taken = bind(other, (Ipv4Addr::UNSPECIFIED, port).into()).and_then(|()| listen(other, 1));
    check_eq!(taken, Err(EADDRINUSE));
}

fn one_takes_connections() {
    let six = fresh(INET6, STREAM);
    check_ok!(set_flag(six, option::ONLY_V6, true));
    let port = at(six, ANY);
    check_ok!(listen(six, 4));
    check_eq!(set_flag(six, option::ONLY_V6, false), Err(EINVAL));
    check_eq!(connect(fresh(INET4, STREAM), loopback(port)), Err(ECONNREFUSED));
    let four = fresh(INET4, STREAM);
    check_ok!(bind(four, (Ipv4Addr::UNSPECIFIED, port).into()));
    check_ok!(listen(four, 4));
    let client = fresh(INET4, STREAM);
    check_ok!(connect(client, loopback(port)));
    let (_, peer) = check_ok!(accept_v2(four, 0));
    check_eq!(Ok(peer), addr_local(client));
    let client = fresh(INET6, STREAM);
    check_ok!(connect(client, (Ipv6Addr::LOCALHOST, port).into()));
    let (_, peer) = check_ok!(accept_v2(six, 0));
    check_eq!(Ok(peer), addr_local(client));
    check_ok!(close(four));
    check_eq!(connect(fresh(INET4, STREAM), loopback(port)), Err(ECONNREFUSED));
}

/// An address of a link says nothing without the link.
fn scopes(index: Option<u32>) {
    check_ok!(wait::pair(UNIX, DGRAM, 0));
    let on = |ip, scope| AddrPort::from(SocketAddrV6::new(ip, 9, 0, scope));
    for kind in [DGRAM, STREAM] {
        // "EINVAL: The address_len argument is not a valid length ... or invalid address
        // family in the sockaddr structure" is all that connect(3p) has for it; "EINVAL" is
        // what RFC 4007's zone, left out, is to the kernel.
        check_eq!(bind_raw(fresh(INET6, kind), &on(LINK_LOCAL, 0)), Err(EINVAL));
        check_eq!(connect_raw(fresh(INET6, kind), &on(LINK_LOCAL, 0)), Err(EINVAL));
        check_eq!(bind_raw(fresh(INET6, kind), &on(LINK_LOCAL, 99_999)), Err(ENODEV));
    }
    // Where none is needed, none is kept.
    let fd = fresh(INET6, DGRAM);
    check_ok!(bind_raw(fd, &AddrPort::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0))));
    let local = check_ok!(addr_local_wide(fd));
    check_eq!((*local.ip(), local.flowinfo(), local.scope_id()), (Ipv6Addr::LOCALHOST, 0, 0));
    check_ok!(connect_raw(fd, &on(Ipv6Addr::LOCALHOST, 0)));
    check_eq!(addr_peer_wide(fd), Ok(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 9, 0, 0)));
    let Some(index) = index else { return };
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x18, 9);
    let fd = fresh(INET6, DGRAM);
    check_ok!(connect_raw(fd, &on(group, index)));
    check_eq!(addr_peer_wide(fd), Ok(SocketAddrV6::new(group, 9, 0, index)));
    check_eq!(connect_raw(fresh(INET6, DGRAM), &on(group, 99_999)).is_err(), true);
    println!("scoped");
}
