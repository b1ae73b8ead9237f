//! A first process that serves nothing: it starts workers, and has new ones take over.

use super::*;
use crate::asyncify::rewritten;
use guest_tests::{Running, asyncified};
use rustix::process::Signal;

fn started(host: Wasock) -> Result<Option<(Running, SocketAddr)>> {
    let Some(program) = rewritten(asyncified::MASTER)? else { return Ok(None) };
    let mut host = host.args([program, "127.0.0.1:0", "3"]).start()?;
    let address = host.listening()?;
    Ok(Some((host, address)))
}

/// Waits until only workers of `generation` answer.
fn is_replaced(address: SocketAddr, generation: &str) -> Result<()> {
    let mut in_a_row = 0;
    wait_until("the old workers", || {
        let is_new = text(address, "/generation")? == generation;
        in_a_row = if is_new { in_a_row + 1 } else { 0 };
        Ok(in_a_row == 20)
    })
}

#[test]
pub(crate) fn master() -> Result<()> {
    let Some((host, address)) = started(run_on_loopback())? else { return Ok(()) };
    for _ in 0..10 {
        // Its worker ends without an answer.
        ensure!(get(address, "/end").is_err(), "it has answered");
        let number: u32 = text(address, "/number")?.parse()?;
        ensure!(number > 1, "the master has answered");
    }
    // Its workers end, and so does it.
    host.signal(Signal::TERM)?;
    host.finish()?.expect_code(0).map(drop)
}

#[test]
fn new_workers_take_over_and_no_request_fails() -> Result<()> {
    let Some((host, address)) = started(run_on_loopback())? else { return Ok(()) };
    let load = Load::begin(address, 6, "/");
    for generation in ["1", "2", "3"] {
        load.goes_on(50)?;
        host.signal(Signal::HUP)?;
        is_replaced(address, generation)?;
    }
    // As a worker asks for it.
    text(address, "/reload")?;
    is_replaced(address, "4")?;
    load.end()?;
    host.signal(Signal::TERM)?;
    host.finish()?.expect_code(0).map(drop)
}

/// A client that has begun to ask is answered by the worker that is to end.
#[test]
fn an_old_worker_ends_what_it_has_begun() -> Result<()> {
    let Some((host, address)) = started(run_on_loopback())? else { return Ok(()) };
    let mut client = HttpClient::connect(address)?;
    client.send(b"GET /generation HTTP/1.1\r\n\r\n")?;
    ensure!(client.response()?.text() == "0");
    client.send(b"GET /generation HTT")?;
    host.signal(Signal::HUP)?;
    is_replaced(address, "1")?;
    client.send(b"P/1.1\r\n\r\n")?;
    let answer = client.response()?;
    ensure!(answer.text() == "0" && answer.header("connection") == Some("close"), "{answer:?}");
    client.expect_end()?;
    host.signal(Signal::TERM)?;
    host.finish()?.expect_code(0).map(drop)
}

/// What the operator reloads is the whole family: the next master takes over with its own workers.
#[test]
fn a_family_is_reloaded_under_load() -> Result<()> {
    let service = run_on_loopback().args(["--restart", "on-failure", "--reload-signal", "HUP"]);
    let Some((mut host, address)) = started(service)? else { return Ok(()) };
    let load = Load::begin(address, 6, "/");
    for generation in 2..=4 {
        load.goes_on(50)?;
        host.signal(Signal::HUP)?;
        // One order at a time: a SIGTERM in the midst of a reload would go to the generation that is replaced.
        host.wait_for_stderr(&format!("generation {generation} serves"))?;
        load.goes_on(50)?;
    }
    load.end()?;
    host.signal(Signal::TERM)?;
    host.finish()?;
    Ok(())
}
