//! `component_denied ADDR`: has each call refused that the policy is asked for, at an address that nothing grants, and ends
//! once it has accepted a client.

use component_programs::*;
use std::net::SocketAddr;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn main() {
    let foreign: SocketAddr = std::env::args().nth(1).expect("an address").parse().expect("an address");
    let network = instance_network();
    assert_eq!(bound_to(foreign).map(drop), Err(ErrorCode::AccessDenied));
    assert_eq!(connect(foreign).map(drop), Err(ErrorCode::AccessDenied));
    assert_eq!(udp().start_bind(&network, to_wasi(foreign)), Err(ErrorCode::AccessDenied));
    let socket = udp();
    socket.start_bind(&network, to_wasi(loopback(0))).expect("it is granted");
    socket.finish_bind().expect("it is bound");
    assert_eq!(socket.stream(Some(to_wasi(foreign))).map(drop), Err(ErrorCode::AccessDenied));
    let (incoming, outgoing) = socket.stream(None).expect("streams");
    assert!(outgoing.check_send().expect("it is open") > 0);
    let datagram = OutgoingDatagram { data: vec![1], remote_address: Some(to_wasi(foreign)) };
    assert_eq!(outgoing.send(&[datagram]), Err(ErrorCode::AccessDenied));
    let look_up = resolve_addresses(&network, "nothing.grants.it.invalid");
    assert_eq!(look_up.map(drop), Err(ErrorCode::PermanentResolverFailure));
    let listener = listen(loopback(0)).expect("it is granted");
    println!("receives at {}", from_wasi(socket.local_address().expect("an address")));
    accept(&listener).expect("a client that may come in");
    // One of another sender's has not come in, and was looked at before.
    assert_eq!(incoming.receive(1).expect("it is open").len(), 0);
}

fn udp() -> UdpSocket {
    create_udp_socket(wasip2::sockets::network::IpAddressFamily::Ipv4).expect("a socket")
}
