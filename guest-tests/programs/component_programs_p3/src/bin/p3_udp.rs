//! `p3_udp ADDR`: sends each datagram back to where it came from, until one says `quit`.

use std::net::SocketAddr;
use std::pin::pin;

use component_programs_p3::*;
use wasip3::sockets::types::UdpSocket;

program!(run);

async fn run() -> Result<(), ()> {
    let address = address(1);
    let socket = UdpSocket::create(family(address)).expect("a socket");
    assert!(is_code(socket.receive().await, "EINVAL"), "it has no address");
    socket.bind(to_wasi(address)).map_err(|code| println!("{}", errno(code)))?;
    println!("bound {}", from_wasi(socket.get_local_address().expect("an address")));
    assert!(is_code(socket.get_remote_address(), "EINVAL"), "it has no peer");
    assert!(is_code(socket.send(vec![1], None).await, "invalid-argument"), "it has no peer");
    let foreign: SocketAddr = "192.0.2.1:9".parse().expect("an address");
    let refused = socket.send(vec![1], Some(to_wasi(foreign))).await;
    assert!(is_code(refused, "EACCES"), "nothing is granted there");
    loop {
        // A receive that is given up takes nothing.
        let at_once = {
            let mut receive = pin!(socket.receive());
            poll_once(receive.as_mut())
        };
        let received = match at_once {
            Some(received) => received,
            None => socket.receive().await,
        };
        let (data, from) = received.expect("a datagram");
        if data == b"quit" {
            return Ok(());
        }
        socket.send(data, Some(from)).await.expect("its sender may be answered");
    }
}
