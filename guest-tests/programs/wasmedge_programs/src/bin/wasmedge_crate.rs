//! `wasmedge_crate tcp ADDR`: an echo server that polls, until a client says `end`.
//! `wasmedge_crate udp ADDR`: each datagram goes back to its sender, until one says `end`.
//! `wasmedge_crate connect ADDR`: says hello, and prints the answer.
//! `wasmedge_crate resolve NODE SERVICE`: prints the addresses.
//! `wasmedge_crate options ADDR`: sets options and reads them.
//!
//! On `wasmedge_wasi_socket`, as its users write programs.

use std::io::{ErrorKind, Read, Result, Write};
use std::time::{Duration, SystemTime};
use wasmedge_wasi_socket::poll::{EventType, Subscription, poll};
use wasmedge_wasi_socket::socket::SocketOptLevel::SolSocket;
use wasmedge_wasi_socket::socket::SocketOptName::{SoKeepalive, SoLinger, SoReuseaddr};
use wasmedge_wasi_socket::socket::{AddressFamily, Socket, SocketType};
use wasmedge_wasi_socket::{TcpListener, TcpStream, UdpSocket, nslookup};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["tcp", addr] => tcp(addr),
        ["udp", addr] => udp(addr),
        ["connect", addr] => connect(addr),
        ["resolve", node, service] => resolve(node, service),
        ["options", addr] => options(addr),
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}

/// The listener's own events have this number; those of a connection its place in the list.
const LISTENER: u64 = u64::MAX;

fn tcp(addr: &str) -> Result<()> {
    let listener = TcpListener::bind(addr, true)?;
    println!("serves {}", listener.local_addr()?);
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    loop {
        let mut wanted = vec![Subscription::io(LISTENER, &listener, true, false, None)];
        for (place, connection) in connections.iter().enumerate() {
            if let Some(connection) = connection {
                let limit = SystemTime::now() + Duration::from_secs(60);
                wanted.push(Subscription::io(place as u64, connection, true, false, Some(limit)));
            }
        }
        for event in poll(&wanted)? {
            match event.event_type {
                EventType::Error(error) => return Err(error),
                EventType::Timeout => return Err(ErrorKind::TimedOut.into()),
                _ if event.userdata == LISTENER => {
                    let (connection, peer) = listener.accept(true)?;
                    assert_eq!(connection.peer_addr()?, peer);
                    connections.push(Some(connection));
                }
                _ => {
                    let Some(slot) = connections.get_mut(event.userdata as usize) else { continue };
                    if echo(slot)? {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Sends back what there is; is it the end of all?
fn echo(slot: &mut Option<TcpStream>) -> Result<bool> {
    let Some(connection) = slot else { return Ok(false) };
    let mut buf = [0; 4096];
    match connection.read(&mut buf) {
        Ok(0) => *slot = None,
        Ok(count) => {
            connection.write_all(&buf[..count])?;
            return Ok(buf.starts_with(b"end"));
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(false)
}

fn udp(addr: &str) -> Result<()> {
    let socket = UdpSocket::bind(addr)?;
    let mut buf = [0; 2048];
    loop {
        let (count, from) = socket.recv_from(&mut buf)?;
        println!("{count} bytes from {from}");
        socket.send_to(&buf[..count], from)?;
        if buf.starts_with(b"end") {
            return Ok(());
        }
    }
}

fn connect(addr: &str) -> Result<()> {
    let mut connection = TcpStream::connect(addr)?;
    // What the library says of the address itself may be zeros: see the test.
    assert!(addr.ends_with(&format!(":{}", connection.peer_addr()?.port())));
    connection.write_all(b"hello")?;
    connection.shutdown(wasmedge_wasi_socket::Shutdown::Write)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    println!("answer: {answer}");
    Ok(())
}

fn resolve(node: &str, service: &str) -> Result<()> {
    match nslookup(node, service) {
        Ok(found) => found.iter().for_each(|addr| println!("found {addr}")),
        Err(error) => println!("error {:?}", error.raw_os_error()),
    }
    Ok(())
}

fn options(addr: &str) -> Result<()> {
    let socket = Socket::new(AddressFamily::Inet4, SocketType::Stream)?;
    assert!(matches!(socket.r#type()?, SocketType::Stream));
    assert!(!socket.is_listener()?);
    for time in [Some(Duration::from_millis(1500)), None] {
        socket.set_recv_timeout(time)?;
        assert_eq!(socket.get_recv_timeout()?, time);
        socket.set_send_timeout(time)?;
        assert_eq!(socket.get_send_timeout()?, time);
    }
    socket.setsockopt(SolSocket, SoKeepalive, 1i32)?;
    assert!(socket.keepalive()?);
    socket.setsockopt(SolSocket, SoReuseaddr, 1i32)?;
    assert!(socket.reuse_address()?);
    socket.setsockopt(SolSocket, SoLinger, [1i32, 3])?;
    assert!(socket.recv_buffer_size()? > 0 && socket.send_buffer_size()? > 0);
    assert_eq!(socket.device()?, None);
    println!("device: {:?}", socket.bind_device(Some(b"lo")).map_err(|error| error.raw_os_error()));
    let addr = addr.parse().expect("an address");
    socket.bind(&addr)?;
    socket.listen(16)?;
    assert!(socket.is_listener()?);
    socket.take_error()?;
    assert!(!socket.nonblocking()?);
    socket.set_nonblocking(true)?;
    assert!(socket.nonblocking()?);
    let refused = socket.accept(false).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::WouldBlock));
    println!("done");
    Ok(())
}
