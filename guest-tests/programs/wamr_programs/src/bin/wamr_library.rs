//! `wamr_library tcp ADDR`: an echo server that polls, until a client says `end`.
//! `wamr_library udp ADDR`: each datagram goes back to its sender, until one says `end`.
//! `wamr_library connect ADDR`: says hello, and prints the answer.
//! `wamr_library resolve HOST SERVICE KIND FAMILY`: prints the addresses; without the last two, of any.
//! `wamr_library options ADDR`: sets options that WAMR alone has and reads them.

use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use wamr_programs::{DATAGRAM, Hints, STREAM, Socket, Subscription, look_up, outcome, poll, raw};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let number = |text: &str| text.parse::<i32>().expect("a number");
    match words.as_slice() {
        ["tcp", at] => tcp(addr(at)),
        ["udp", at] => udp(addr(at)),
        ["connect", to] => connect(addr(to)),
        ["resolve", host, service] => resolve(host, service, &Hints { kind: 7, family: 7, enabled: 0 }),
        ["resolve", host, service, kind, family] => {
            resolve(host, service, &Hints { kind: number(kind), family: number(family), enabled: 1 })
        }
        ["options", at] => options(addr(at)),
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}

/// The listener's own events have this number; those of a connection its place in the list.
const LISTENER: u64 = u64::MAX;

fn tcp(at: SocketAddr) -> Result<()> {
    let listener = Socket::new(at, STREAM)?;
    listener.bind(at)?;
    listener.listen(128)?;
    listener.set_nonblocking()?;
    println!("serves {}", listener.local()?);
    let mut connections: Vec<Option<Socket>> = Vec::new();
    loop {
        let mut wanted = vec![Subscription::read(listener.0, LISTENER)];
        for (place, connection) in connections.iter().enumerate() {
            wanted.extend(connection.as_ref().map(|it| Subscription::read(it.0, place as u64)));
        }
        for event in poll(&wanted)? {
            outcome(event.error.into())?;
            if event.userdata == LISTENER {
                let (connection, peer) = listener.accept()?;
                assert_eq!((connection.remote()?, connection.local()?), (peer, listener.local()?));
                connections.push(Some(connection));
            } else if let Some(slot) = connections.get_mut(event.userdata as usize) {
                let Some(connection) = slot else { continue };
                let mut buf = [0; 4096];
                let count = connection.recv(&mut buf)?;
                connection.send_all(&buf[..count])?;
                if buf.starts_with(b"end") {
                    return Ok(());
                }
                if count == 0 {
                    slot.take().map_or(Ok(()), Socket::close)?;
                }
            }
        }
    }
}

fn udp(at: SocketAddr) -> Result<()> {
    let socket = Socket::new(at, DATAGRAM)?;
    socket.bind(at)?;
    let mut buf = [0; 2048];
    loop {
        let (count, from) = socket.recv_from(&mut buf)?;
        println!("{count} bytes from {from}");
        assert_eq!(socket.send_to(&buf[..count], from)?, count);
        if buf.starts_with(b"end") {
            return Ok(());
        }
    }
}

fn connect(to: SocketAddr) -> Result<()> {
    let socket = Socket::new(to, STREAM)?;
    socket.connect(to)?;
    assert_eq!(socket.remote()?, to);
    socket.send_all(b"hello")?;
    socket.end_sending()?;
    let mut answer = String::new();
    let mut buf = [0; 64];
    loop {
        match socket.recv(&mut buf)? {
            0 => break,
            count => answer += &String::from_utf8_lossy(&buf[..count]),
        }
    }
    println!("answer: {answer}");
    let fd = socket.0;
    socket.close()?;
    println!("closed again: {:?}", Socket(fd).close().map_err(|error| error.raw_os_error()));
    println!("closed what is no socket: {:?}", Socket(1).close().map_err(|error| error.raw_os_error()));
    Ok(())
}

fn resolve(host: &str, service: &str, hints: &Hints) -> Result<()> {
    match look_up(host, service, hints) {
        Ok(found) if found.is_empty() => println!("no address"),
        Ok(found) => found.iter().for_each(|it| println!("found {} {}", SocketAddr::from(it.addr), it.kind)),
        Err(error) => println!("error {:?}", error.raw_os_error()),
    }
    Ok(())
}

fn options(at: SocketAddr) -> Result<()> {
    let socket = Socket::new(at, STREAM)?;
    let fd = socket.0;
    let (mut seconds, mut on, mut micros, mut linger) = (0, 0, 0, 0);
    for idle in [1, 32_767, 7] {
        outcome(unsafe { raw::sock_set_tcp_keep_idle(fd, idle) })?;
        outcome(unsafe { raw::sock_get_tcp_keep_idle(fd, &mut seconds) })?;
        assert_eq!(seconds, idle);
        outcome(unsafe { raw::sock_set_tcp_keep_intvl(fd, idle) })?;
        outcome(unsafe { raw::sock_get_tcp_keep_intvl(fd, &mut seconds) })?;
        assert_eq!(seconds, idle);
    }
    println!(
        "idle 0: {:?}",
        outcome(unsafe { raw::sock_set_tcp_keep_idle(fd, 0) }).map_err(|e| e.raw_os_error())
    );
    // Any number but 0 is on.
    for (given, read) in [(0, 0), (1, 1), (0, 0), (256, 1)] {
        outcome(unsafe { raw::sock_set_tcp_fastopen_connect(fd, given) })?;
        outcome(unsafe { raw::sock_get_tcp_fastopen_connect(fd, &mut on) })?;
        assert_eq!(on, read);
        outcome(unsafe { raw::sock_set_tcp_quick_ack(fd, given) })?;
        outcome(unsafe { raw::sock_get_tcp_quick_ack(fd, &mut on) })?;
        assert_eq!(on, read);
    }
    for limit in [1, 1_500_000, 0] {
        outcome(unsafe { raw::sock_set_recv_timeout(fd, limit) })?;
        outcome(unsafe { raw::sock_get_recv_timeout(fd, &mut micros) })?;
        assert_eq!(micros, limit);
    }
    for (is_on, of) in [(1, 3), (0, 0)] {
        outcome(unsafe { raw::sock_set_linger(fd, is_on, of) })?;
        outcome(unsafe { raw::sock_get_linger(fd, &mut on, &mut linger) })?;
        assert_eq!((u32::from(on), linger), (is_on, of));
    }
    println!(
        "below 0: {:?}",
        outcome(unsafe { raw::sock_set_linger(fd, 1, -1) }).map_err(|e| e.raw_os_error())
    );
    // What waits for the first data does so where the peer has allowed it before.
    let listener = Socket::new(at, STREAM)?;
    listener.bind(at)?;
    listener.listen(4)?;
    outcome(unsafe { raw::sock_set_tcp_fastopen_connect(fd, 1) })?;
    socket.connect(listener.local()?)?;
    socket.send_all(b"hello")?;
    let (accepted, _) = listener.accept()?;
    let mut buf = [0; 8];
    assert_eq!(accepted.recv(&mut buf)?, 5);
    println!("done");
    Ok(())
}
