//! Components as services.

use crate::{run, run_on_loopback};
use anyhow::{Result, ensure};
use guest_tests::components::{COMPONENT_ECHO, COMPONENT_UDP};
use guest_tests::{Client, Running};
use rustix::process::Signal;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// The echo, with these flags, and where it listens.
pub(super) fn serve(flags: &[&str]) -> Result<(Running, SocketAddr)> {
    let mut running =
        run_on_loopback().args(flags).args([COMPONENT_ECHO, "127.0.0.1:0", "hello "]).start()?;
    let addr = running.listening()?;
    Ok((running, addr))
}

/// A client that has been greeted and gets its words back.
pub(super) fn is_served(addr: SocketAddr) -> Result<Client> {
    is_greeted(addr, "hello ")
}

fn is_greeted(addr: SocketAddr, words: &str) -> Result<Client> {
    let mut client = Client::connect(addr)?;
    client.hears(words)?;
    is_echoed(&mut client)?;
    Ok(client)
}

fn is_echoed(client: &mut Client) -> Result<()> {
    client.say("words")?;
    client.hears("words")
}

#[test]
pub(crate) fn component_echo() -> Result<()> {
    let (mut running, addr) = serve(&[])?;
    running.wait_for_stdout(&format!("at {addr}"))?;
    for _ in 0..2 {
        let mut client = is_served(addr)?;
        client.say(&"0123456789".repeat(1000))?;
        client.hears(&"0123456789".repeat(1000))?;
    }
    running.stop().map(drop)
}

/// R1
#[test]
fn a_component_that_starts_anew_has_its_listener() -> Result<()> {
    let (mut running, addr) = serve(&["--restart", "on-failure"])?;
    for _ in 0..2 {
        let mut client = is_served(addr)?;
        client.say("trap")?;
        client.is_gone()?;
    }
    running.wait_for_stderr("starts anew")?;
    let _client = is_served(addr)?;
    running.stop().map(drop)
}

/// R3, R4: each of the two serves one client at a time, so they are two.
#[test]
fn a_component_is_reloaded_without_losing_a_client() -> Result<()> {
    let (mut running, addr) = serve(&["--reload-signal", "USR2"])?;
    let mut old = is_served(addr)?;
    running.signal(Signal::USR2)?;
    running.wait_for_stderr("generation 2 serves")?;
    let _new = is_served(addr)?;
    is_echoed(&mut old)?;
    running.stop().map(drop)
}

#[test]
fn a_component_takes_the_place_of_a_module_and_the_other_way_round() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("server.wasm");
    let place = |program: &str| -> Result<()> {
        let new = folder.path().join("new.wasm");
        std::fs::copy(program, &new)?;
        Ok(std::fs::rename(new, &path)?)
    };
    place(COMPONENT_ECHO)?;
    let mut running = run_on_loopback()
        .args(["--reload-signal", "HUP"])
        .arg(&path)
        .args(["127.0.0.1:0", "poll"])
        .start()?;
    let addr = running.listening()?;
    let mut old = is_greeted(addr, "poll")?;
    place(guest_tests::HTTP_SERVER)?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 2 serves")?;
    ensure!(guest_tests::HttpClient::connect(addr)?.get("/")?.status == 200, "no page");
    is_echoed(&mut old)?;
    place(COMPONENT_ECHO)?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 3 serves")?;
    let _new = is_greeted(addr, "poll")?;
    running.stop().map(drop)
}

/// R8
#[test]
fn a_component_drains() -> Result<()> {
    let (running, addr) = serve(&["--drain-timeout", "20s"])?;
    let mut client = is_served(addr)?;
    running.signal(Signal::TERM)?;
    while TcpStream::connect(addr).is_ok() {}
    is_echoed(&mut client)?;
    drop(client);
    running.finish()?.expect_code(0).map(drop)
}

/// R6
#[test]
fn what_a_component_has_at_the_deadline_is_reset() -> Result<()> {
    let (running, addr) = serve(&["--drain-timeout", "300ms"])?;
    let mut client = is_served(addr)?;
    running.signal(Signal::TERM)?;
    client.is_reset()?;
    running.finish()?.expect_code(0).map(drop)
}

/// W1: each serves one client at a time.
#[test]
fn workers_of_a_component_serve_at_one_address() -> Result<()> {
    let (running, addr) = serve(&["--workers", "2"])?;
    let mut clients = [is_served(addr)?, is_served(addr)?];
    clients.iter_mut().try_for_each(is_echoed)?;
    running.stop().map(drop)
}

/// A7: by either flag. Clients that came before the component are served.
#[test]
fn a_component_gets_the_listener_of_the_service_manager() -> Result<()> {
    for flag in ["--adopt", "--listen-fds"] {
        let kept = TcpListener::bind("127.0.0.1:0")?;
        let addr = kept.local_addr()?;
        let mut early = Client::connect(addr)?;
        let passed = std::os::fd::OwnedFd::from(kept.try_clone()?);
        let args = [flag, COMPONENT_ECHO, &addr.to_string(), "hello "];
        let running = run().args(args).passing("web", passed).start()?;
        early.hears("hello ")?;
        drop(early);
        let _client = is_served(addr)?;
        running.stop()?;
    }
    Ok(())
}

#[test]
fn a_component_gets_a_preopened_listener() -> Result<()> {
    // A port that is free, at an address that no other test has.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let addr = SocketAddr::from(([127, 33, 7, 1], port));
    let at = addr.to_string();
    let mut running = run().args(["--preopen-listen", &at, COMPONENT_ECHO, &at, "hello "]).start()?;
    ensure!(running.listening()? == addr, "elsewhere");
    let _client = is_served(addr)?;
    running.stop().map(drop)
}

/// The sockets that a component opens are for IPv6 alone. One for both families, as the service manager has them,
/// is the guest's all the same.
#[test]
fn a_component_gets_a_preopened_listener_for_both_families() -> Result<()> {
    let port = TcpListener::bind("[::]:0")?.local_addr()?.port();
    let at = format!("[::]:{port}");
    let mut running = run().args(["--preopen-listen", &at, COMPONENT_ECHO, &at, "hello "]).start()?;
    ensure!(running.listening()?.port() == port, "elsewhere");
    for client in ["127.0.0.1", "::1"] {
        let _client = is_served((client.parse::<std::net::IpAddr>()?, port).into())?;
    }
    running.stop().map(drop)
}

/// The same of UDP: what it receives of IPv4 it may answer.
#[test]
fn a_component_gets_a_preopened_socket_for_both_families() -> Result<()> {
    let port = UdpSocket::bind("[::]:0")?.local_addr()?.port();
    let at = format!("[::]:{port}");
    let mut running = run().args(["--preopen-udp", &at, COMPONENT_UDP, &at]).start()?;
    running.wait_for_stdout(&format!("bound {at}"))?;
    for (client, server) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let client = UdpSocket::bind(client)?;
        client.set_read_timeout(Some(Duration::from_secs(20)))?;
        client.connect((server, port))?;
        client.send(b"words")?;
        let mut answer = [0; 16];
        let count = client.recv(&mut answer)?;
        ensure!(answer.get(..count) == Some(b"words"), "{count} bytes");
        client.send(if server == "::1" { b"quit" } else { b"more" })?;
    }
    running.finish()?.expect_code(0).map(drop)
}
