//! Ports of the host's for ports of the guest's.

use super::{has_ipv6, run};
use anyhow::{Context as _, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A client says something, and has it back.
fn exchange(addr: SocketAddr) -> Result<()> {
    let mut client = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.write_all(b"hello")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer == "hello", "answered {answer:?}");
    Ok(())
}

/// The guest binds `bound`, the host has it at `host`, and a connection is at `seen`.
fn is_published(publish: &str, bound: &str, host: &str, seen: &str) -> Result<()> {
    let mut server = run()
        .args(["--trace", "-v", "--publish", publish, guest_tests::PUBLISHED_PORT, "tcp", bound])
        .start()?;
    let addr = server.listening()?;
    ensure!(addr.ip().to_string() == host && addr.port() != 80, "{publish}: listening on {addr}");
    exchange(SocketAddr::new(addr.ip().to_canonical(), addr.port()))?;
    let finished = server.finish()?.expect_code(0)?;
    finished
        .expect_stdout(&format!("connection at {seen}\n"))?
        .expect_stderr(&format!("addr={bound}"))
        .map(drop)
}

#[test]
pub(crate) fn published_port() -> Result<()> {
    is_published("127.0.0.1:0:80", "0.0.0.0:80", "127.0.0.1", "127.0.0.1:80")?;
    is_published("127.0.0.1:0:80", "192.0.2.1:80", "127.0.0.1", "192.0.2.1:80")?;
    is_published("0:80", "127.0.0.2:80", "127.0.0.2", "127.0.0.2:80")?;
    is_published("0:80/tcp", "127.0.0.1:80", "127.0.0.1", "127.0.0.1:80")?;
    if has_ipv6() {
        is_published("[::1]:0:80", "[::]:80", "::1", "[::1]:80")?;
        is_published("127.0.0.1:0:80", "[::]:80", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]:80")?;
    }
    Ok(())
}

#[test]
fn a_published_port_of_datagrams() -> Result<()> {
    let mut server = run()
        .args(["-p", "127.0.0.1:0:53/udp", "--udp-send", "127.0.0.1:*"])
        .args([guest_tests::PUBLISHED_PORT, "udp", "0.0.0.0:53"])
        .start()?;
    let addr = server.bound()?;
    ensure!(addr.ip().is_loopback() && addr.port() != 53, "bound on {addr}");
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.send_to(b"hello", addr)?;
    let mut buf = [0; 16];
    let (count, from) = client.recv_from(&mut buf)?;
    ensure!(from == addr && buf.get(..count) == Some(b"hello".as_slice()), "{buf:?} from {from}");
    server.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_published_port_grants_nothing_else() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let bind = |publish: &str, flags: &[&str], addr: &str| {
        run().args(["-p", publish]).args(flags).args([guest_tests::PUBLISHED_PORT, "errno", addr]).succeed()
    };
    // Not the host's port by its own number, nor a socket of IPv4 at an address of IPv6.
    let number = format!("127.0.0.1:{port}");
    for (publish, addr) in
        [(format!("127.0.0.1:{port}:80"), number), (format!("[::1]:{port}:80"), "0.0.0.0:80".to_owned())]
    {
        bind(&publish, &[], &addr)?
            .expect_stdout("EACCES")?
            .expect_stderr(&format!("denied sock_bind of {addr}: no --listen grant covers it"))?;
    }
    // A denial is one of the host's address.
    let denied = bind(&format!("127.0.0.1:{port}:80"), &["--deny-listen", "127.0.0.1:*"], "0.0.0.0:80")?;
    let line = format!("denied sock_bind of 127.0.0.1:{port}: --deny-listen 127.0.0.1:* forbids it\n");
    denied.expect_stdout("EACCES")?.expect_stderr(&line)?;
    // So is what the host's system says.
    let failed = bind(&format!("127.0.0.1:{port}:80"), &[], "0.0.0.0:80")?.expect_stdout("EADDRINUSE")?;
    failed.expect_stderr(&format!("sock_bind of 127.0.0.1:{port} failed: address in use (EADDRINUSE)"))?;
    run()
        .args(["-p", "80", guest_tests::TRAP])
        .finish()?
        .expect_code(2)?
        .expect_stderr("expected [IP:]HOST:GUEST")?;
    drop(taken);
    Ok(())
}

/// A server that knows nothing of it.
#[test]
fn a_server_is_published_at_another_port() -> Result<()> {
    let mut server = run().args(["-p", "127.0.0.1:0:80", guest_tests::ECHO_SERVER, "0.0.0.0:80"]).start()?;
    let mut client = TcpStream::connect(server.listening()?)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.write_all(b"hello")?;
    client.read_exact(&mut [0; 5]).context("no answer")?;
    server.stop().map(drop)
}
