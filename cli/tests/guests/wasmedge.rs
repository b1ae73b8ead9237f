//! Programs for WasmEdge: on the guest library that its users have.
//!
//! The library reads the addresses that it is given from memory of which the compiler knows that
//! nothing is written to it, so what its programs print of addresses may be zeros: only ports are looked at here.

use super::{run, run_on_loopback};
use anyhow::{Context, Result, ensure};
use guest_tests::WASMEDGE_CRATE;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

fn client(addr: std::net::SocketAddr) -> Result<TcpStream> {
    let client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    Ok(client)
}

fn echoes(client: &mut TcpStream, text: &str) -> Result<()> {
    client.write_all(text.as_bytes())?;
    let mut back = vec![0; text.len()];
    client.read_exact(&mut back)?;
    ensure!(back == text.as_bytes(), "{back:?}");
    Ok(())
}

/// A listener and connections by V1, watched by `poll_oneoff` with a time of the clock; the trace has the
/// names of the dialect.
#[test]
pub(crate) fn wasmedge_crate() -> Result<()> {
    let mut guest = run_on_loopback().args(["--trace", WASMEDGE_CRATE, "tcp", "127.0.0.1:0"]).start()?;
    let addr = guest.listening()?;
    let (mut first, mut second) = (client(addr)?, client(addr)?);
    echoes(&mut second, "second")?;
    echoes(&mut first, "first")?;
    drop(first);
    echoes(&mut second, "end")?;
    let finished = guest.finish()?.expect_code(0)?;
    let traced = finished
        .expect_stdout(&format!(":{}\n", addr.port()))?
        .expect_stderr("sock_open(af=1, socktype=2) = 0 fd=3")?
        .expect_stderr("sock_bind(fd=3, addr=127.0.0.1, port=0) = 0")?
        .expect_stderr(&format!("addr=127.0.0.1 type=4 port={}", addr.port()))?;
    traced.expect_stderr("sock_accept(fd=3) = 0 fd=4")?;
    Ok(())
}

#[test]
fn a_client_of_the_crate_is_answered() -> Result<()> {
    let native = TcpListener::bind("127.0.0.1:0")?;
    let addr = native.local_addr()?.to_string();
    let guest = run().args(["--connect", &addr, WASMEDGE_CRATE, "connect", &addr]).start()?;
    let (mut connection, _) = native.accept()?;
    connection.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    connection.write_all(text.as_bytes())?;
    drop(connection);
    guest.finish()?.expect_code(0)?.expect_stdout("answer: hello\n")?;
    Ok(())
}

/// The crate reads the port of a sender in the order of the guest.
#[test]
fn datagrams_of_the_crate_go_back_to_their_senders() -> Result<()> {
    let host = run().args(["--udp-bind", "127.0.0.1:0"]);
    let mut guest = host.args([WASMEDGE_CRATE, "udp", "127.0.0.1:0"]).start()?;
    let addr = guest.bound()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    for text in ["hello", "end"] {
        client.send_to(text.as_bytes(), addr)?;
        let line = guest.wait_for_stdout("bytes from")?;
        let port = line.rsplit(':').next().context("no port")?;
        ensure!(port == client.local_addr()?.port().to_string(), "{line}");
        let mut buf = [0; 16];
        let (count, _) = client.recv_from(&mut buf)?;
        ensure!(buf.get(..count) == Some(text.as_bytes()), "{buf:?}");
    }
    guest.finish()?.expect_code(0)?;
    Ok(())
}

#[test]
fn names_are_looked_up_as_they_are_granted() -> Result<()> {
    let look_up = |host: guest_tests::Wasock, node: &str, service: &str| {
        host.args([WASMEDGE_CRATE, "resolve", node, service]).succeed()
    };
    // An address needs no resolver, and so no grant.
    look_up(run(), "192.0.2.7", "https")?.expect_stdout("found 192.0.2.7:443\n")?;
    let localhost = look_up(run().args(["--resolve", "localhost"]), "localhost", "8080")?;
    localhost.expect_stdout("found 127.0.0.1:8080\n")?;
    // EACCES, and which flag would help.
    let denied = look_up(run(), "localhost", "8080")?.expect_stdout("error Some(2)\n")?;
    denied.expect_stderr("denied sock_getaddrinfo of localhost")?.expect_stderr("--resolve localhost")?;
    // EAI_SERVICE, and its name in the trace.
    let unknown = look_up(run().arg("--trace"), "192.0.2.7", "no-such")?.expect_stdout("error Some(85)\n")?;
    unknown.expect_stderr("service=\"no-such\\u{0}\"")?.expect_stderr("= EAI_SERVICE")?;
    Ok(())
}

#[test]
fn options_of_the_crate_are_set_and_read() -> Result<()> {
    let finished = run_on_loopback().args([WASMEDGE_CRATE, "options", "127.0.0.1:0"]).succeed()?;
    // EPERM: a socket is not bound to a device.
    let finished = finished.expect_stdout("device: Err(Some(63))\ndone\n")?;
    finished.expect_stderr("denied sock_setsockopt of the device lo: no socket is bound to a device")?;
    Ok(())
}

/// By its name and by its type: WAMR has the same name with another type.
#[test]
fn inspect_names_the_import_that_told() -> Result<()> {
    let inspect = |args: &[&str]| super::wasock().arg("inspect").args(args).succeed();
    inspect(&[WASMEDGE_CRATE])?
        .expect_stdout("dialect: WasmEdge: it imports wasi_snapshot_preview1.sock_")?;
    let json = inspect(&["--format", "json", WASMEDGE_CRATE])?;
    json.expect_stdout("\"dialect\": \"wasmedge\"")?.expect_stdout("\"generation\": null")?;
    Ok(())
}

#[test]
fn a_module_of_two_dialects_does_not_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("mixed.wat");
    std::fs::write(
        &path,
        r#"(module
            (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32)))
            (import "wasix_32v1" "sock_listen" (func (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")))"#,
    )?;
    let said = "mixes dialects: it imports wasix_32v1.sock_listen as WASIX has it, and \
                wasi_snapshot_preview1.sock_open as WasmEdge has it";
    for command in [run(), super::wasock().arg("inspect")] {
        let finished = command.arg(path.display().to_string()).start()?.finish()?;
        finished.expect_stderr(said)?;
    }
    Ok(())
}
