//! Unmodified servers, compiled for wasm32-wasip2, and one that is made of two components.

use crate::{run_on_loopback, wasock};
use anyhow::{Result, ensure};
use guest_tests::{Client, HttpClient, Running, components};
use std::net::SocketAddr;

/// The component, where the toolchain of the guests has its target.
fn of_wasip2(component: Option<&'static str>) -> Option<&'static str> {
    if component.is_none() {
        eprintln!("passed over: the toolchain has no wasm32-wasip2");
    }
    component
}

/// The component at a port of the host's choice, and that address.
fn serve(component: &str) -> Result<(Running, SocketAddr)> {
    let mut running = run_on_loopback().args([component, "127.0.0.1:0"]).start()?;
    let addr = running.listening()?;
    Ok((running, addr))
}

fn is_echoed(client: &mut Client) -> Result<()> {
    let text = "words ".repeat(5000);
    client.say(&text)?;
    client.hears(&text)
}

#[test]
pub(crate) fn std_echo() -> Result<()> {
    let Some(component) = of_wasip2(components::STD_ECHO) else { return Ok(()) };
    let (running, addr) = serve(component)?;
    for _ in 0..2 {
        is_echoed(&mut Client::connect(addr)?)?;
    }
    running.stop().map(drop)
}

#[test]
pub(crate) fn tokio_echo() -> Result<()> {
    let Some(component) = of_wasip2(components::TOKIO_ECHO) else { return Ok(()) };
    let (running, addr) = serve(component)?;
    let mut clients = (0..20).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
    clients.iter_mut().rev().try_for_each(is_echoed)?;
    clients.truncate(10);
    clients.iter_mut().try_for_each(is_echoed)?;
    running.stop().map(drop)
}

#[test]
pub(crate) fn hyper_hello() -> Result<()> {
    let Some(component) = of_wasip2(components::HYPER_HELLO) else { return Ok(()) };
    let (running, addr) = serve(component)?;
    let mut clients = [HttpClient::connect(addr)?, HttpClient::connect(addr)?];
    for path in ["/one", "/two"] {
        for client in &mut clients {
            let response = client.get(path)?;
            ensure!(response.status == 200, "{response:?}");
            ensure!(response.body == format!("hello {path}").as_bytes(), "{response:?}");
        }
    }
    running.stop().map(drop)
}

/// One part listens, and the other has the answers: they are one guest, which has the grants and ends as a whole.
#[test]
pub(crate) fn composed_server() -> Result<()> {
    let (running, addr) = serve(components::COMPOSED_SERVER)?;
    for _ in 0..2 {
        let mut client = Client::connect(addr)?;
        client.say("hello\nmany words\n")?;
        client.hears("HELLO\nMANY WORDS\n")?;
    }
    let mut client = Client::connect(addr)?;
    client.say("trap\n")?;
    client.is_gone()?;
    // The backtrace has the functions of both.
    running
        .finish()?
        .expect_code(134)?
        .expect_stderr("back")?
        .expect_stderr("front")?
        .expect_no_stderr("panicked")
        .map(drop)
}

/// What one part imports and the other exports is nothing that a host would have to have.
#[test]
fn a_composed_server_is_described_as_one() -> Result<()> {
    wasock()
        .args(["inspect", components::COMPOSED_SERVER])
        .succeed()?
        .expect_stdout("component: a command of WASI 0.2 (wasi:cli/command)\n")?
        .expect_stdout("  wasi:sockets/tcp@0.2.12\n")?
        .expect_stdout("missing (the component does not start): 0\n")?
        .expect_stdout("exports: 1\n  wasi:cli/run@0.2")
        .map(drop)
}
