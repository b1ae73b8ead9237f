//! `component_udp ADDR`: sends each datagram back to where it came from, until one says `quit`.

use std::net::SocketAddr;

use component_programs::*;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn main() {
    let address: SocketAddr = std::env::args().nth(1).expect("an address").parse().expect("an address");
    let socket = create_udp_socket(family(address)).expect("a socket");
    assert_eq!(socket.stream(None).map(drop), Err(ErrorCode::InvalidState), "it has no address");
    if let Err(code) = socket.start_bind(&instance_network(), to_wasi(address)) {
        println!("{}", errno(code));
        return;
    }
    socket.finish_bind().expect("it is bound");
    println!("bound {}", from_wasi(socket.local_address().expect("an address")));
    let (incoming, outgoing) = socket.stream(None).expect("streams");
    assert_eq!(socket.remote_address().map(drop), Err(ErrorCode::InvalidState));
    let foreign = if address.is_ipv4() { "192.0.2.1:9" } else { "[2001:db8::1]:9" };
    let foreign = Some(to_wasi(foreign.parse().expect("an address")));
    assert!(outgoing.check_send().expect("it is open") > 0);
    let refused = outgoing.send(&[OutgoingDatagram { data: vec![1], remote_address: foreign }]);
    assert_eq!(refused, Err(ErrorCode::AccessDenied), "nothing is granted there");
    loop {
        let datagrams = incoming.receive(4).expect("it is open");
        if datagrams.is_empty() {
            incoming.subscribe().block();
            continue;
        }
        for datagram in datagrams {
            if datagram.data == b"quit" {
                return;
            }
            outgoing.check_send().expect("it is open");
            let back =
                OutgoingDatagram { data: datagram.data, remote_address: Some(datagram.remote_address) };
            assert_eq!(outgoing.send(&[back]), Ok(1));
        }
    }
}
