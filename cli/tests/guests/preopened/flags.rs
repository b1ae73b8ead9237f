//! The sockets that the command opens for a guest.

use super::super::{has_ipv6, run};
use super::{HERE, exchange, expect_variables};
use anyhow::{Context as _, Result, ensure};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends something to the guest on its preopened connection, and receives it back.
fn is_answered(mut stream: impl Read + Write, shutdown: impl FnOnce() -> io::Result<()>) -> Result<()> {
    stream.write_all(b"hello")?;
    shutdown()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer == "hello", "answered {answer:?}");
    Ok(())
}

/// The next connection, unless none comes.
fn accept_with_timeout<S, A>(accept: impl Fn() -> io::Result<(S, A)>) -> Result<S> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    loop {
        match accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(2));
            }
            accepted => return Ok(accepted?.0),
        }
    }
}

#[test]
fn a_connection_is_made_for_the_guest() -> Result<()> {
    let peer = TcpListener::bind(HERE)?;
    peer.set_nonblocking(true)?;
    let place = format!("db={}", peer.local_addr()?);
    let guest = run().args(["--preopen-connect", &place, guest_tests::PREOPENED_STREAM]).start()?;
    let stream = accept_with_timeout(|| peer.accept())?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    is_answered(&stream, || stream.shutdown(Shutdown::Write))?;
    guest.finish()?.expect_code(0)?;

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s");
    let peer = UnixListener::bind(&path)?;
    peer.set_nonblocking(true)?;
    let place = format!("unix:{}", path.display());
    let guest = run().args(["--preopen-connect", &place, guest_tests::PREOPENED_STREAM]).start()?;
    let stream = accept_with_timeout(|| peer.accept())?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    is_answered(&stream, || stream.shutdown(Shutdown::Write))?;
    guest.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_connection_that_fails_is_reported() -> Result<()> {
    let closed = TcpListener::bind(HERE)?.local_addr()?;
    let guest =
        |place: &str| run().args(["--preopen-connect", place, guest_tests::PREOPENED_STREAM]).finish();
    let finished = guest(&closed.to_string())?.expect_code(1)?.expect_one_line()?;
    finished.expect_stderr(&format!("wasock: cannot connect to {closed} (--preopen-connect): "))?;
    guest("unix:/no/such")?.expect_code(1)?.expect_one_line()?.expect_stderr("unix:/no/such")?;
    for shorthand in [":80", "80", "localhost:80"] {
        guest(shorthand)?.expect_code(2)?.expect_one_line()?.expect_stderr("a peer is at one address")?;
    }
    Ok(())
}

#[test]
fn a_udp_socket_is_bound_for_the_guest() -> Result<()> {
    // What chose the port does not keep it; no other process is quick enough to get it.
    let addr = UdpSocket::bind(HERE)?.local_addr()?;
    let mut guest = run()
        .args(["--preopen-udp", &format!("dns={addr}"), "--udp-send", "127.0.0.1:*"])
        .args([guest_tests::PREOPENED_KINDS, "udp", "-"])
        .start()?;
    guest.wait_for_stdout("ready")?;
    let client = UdpSocket::bind(HERE)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.connect(addr)?;
    client.send(b"hello")?;
    let mut buf = [0; 16];
    let count = client.recv(&mut buf)?;
    ensure!(buf.get(..count) == Some(b"hello".as_slice()), "{buf:?}");
    guest.finish()?.expect_code(0).map(drop)
}

#[test]
fn sockets_come_in_the_order_of_their_flags() -> Result<()> {
    let peer = TcpListener::bind(HERE)?;
    let mut guest = run()
        .args(["--preopen-udp", "c=127.0.0.1:0", "--preopen-connect", &format!("b={}", peer.local_addr()?)])
        .args(["--preopen-listen", "a=127.0.0.1:0", "--preopen-nonblocking", guest_tests::PREOPENED_STD, "0"])
        .start()?;
    guest.wait_for_stdout("nonblocking: true")?;
    expect_variables(guest.finish()?, "3", "a:b:c")
}

/// The two addresses of `localhost` are two listeners, at one port.
#[test]
fn a_preopened_listener_at_localhost_is_one_for_each_family() -> Result<()> {
    let guest =
        run().args(["--preopen-listen", "web=localhost:0", guest_tests::PREOPENED_STD, "0"]).succeed()?;
    let lines = guest.stderr_lines_with("wasock: listening on ");
    let ports: Vec<&str> =
        lines.iter().filter_map(|line| line.split(" (").next()?.rsplit(':').next()).collect();
    if !has_ipv6() {
        ensure!(ports.len() == 1, "{guest}");
        return expect_variables(guest, "1", "web");
    }
    ensure!(ports.len() == 2 && ports.first() == ports.last(), "{guest}");
    ensure!(guest.stderr.contains("on 127.0.0.1:") && guest.stderr.contains("on [::1]:"), "{guest}");
    expect_variables(guest, "2", "web:web")
}

/// Any address of both families is one listener.
#[test]
fn a_preopened_listener_at_any_address_serves_both_families() -> Result<()> {
    let count = if has_ipv6() { 2 } else { 1 };
    for place in [":0", "0"] {
        let mut guest = run()
            .args(["--preopen-listen", place, guest_tests::PREOPENED_STD, &count.to_string()])
            .start()?;
        let port = guest.listening()?.port();
        let mut clients = vec![SocketAddr::from(([127, 0, 0, 1], port))];
        if has_ipv6() {
            clients.push(format!("[::1]:{port}").parse()?);
        }
        let clients = clients.into_iter().map(|addr| thread::spawn(move || exchange(addr, "hello")));
        for client in clients.collect::<Vec<_>>() {
            let answer = client.join().ok().context("the client panicked")??;
            ensure!(answer == "hello", "{place}: answered {answer:?}");
        }
        expect_variables(guest.finish()?, "1", "unknown")?;
    }
    Ok(())
}
