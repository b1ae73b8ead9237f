//! `p3_denied ADDR`: has each call refused that the policy is asked for, at an address that nothing grants, and ends
//! once it has accepted a client.

use std::pin::pin;

use component_programs_p3::*;
use wasip3::sockets::ip_name_lookup::{ErrorCode, resolve_addresses};
use wasip3::sockets::types::{IpAddressFamily, UdpSocket};

program!(run);

async fn run() -> Result<(), ()> {
    let foreign = address(1);
    assert!(is_code(bound_to(foreign), "EACCES"));
    assert!(is_code(connect(foreign).await, "EACCES"));
    assert!(is_code(udp().bind(to_wasi(foreign)), "EACCES"));
    let socket = udp();
    socket.bind(to_wasi(loopback(0))).expect("it is granted");
    assert!(is_code(socket.connect(to_wasi(foreign)), "EACCES"));
    assert!(is_code(socket.send(vec![1], Some(to_wasi(foreign))).await, "EACCES"));
    let look_up = resolve_addresses("nothing.grants.it.invalid".to_owned()).await;
    assert!(matches!(look_up, Err(ErrorCode::PermanentResolverFailure)), "{look_up:?}");
    let mut listener = Listener::at(loopback(0)).expect("it is granted");
    println!("receives at {}", from_wasi(socket.get_local_address().expect("an address")));
    listener.accept().await;
    // One of another sender's has not come in, and was looked at before.
    let mut receive = pin!(socket.receive());
    assert!(poll_once(receive.as_mut()).is_none());
    Ok(())
}

fn udp() -> UdpSocket {
    UdpSocket::create(IpAddressFamily::Ipv4).expect("a socket")
}
