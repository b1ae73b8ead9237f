//! What a component has written when it drops a connection, and its peer has not taken yet.

use super::service::serve;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Client, Running};
use rustix::process::Signal;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A client that says `word`, and is sent more than it takes; returns how much is for it.
fn is_sent_much(running: &mut Running, addr: SocketAddr, word: &str) -> Result<(TcpStream, usize)> {
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    client.read_exact(&mut [0; 6]).context("the greeting")?;
    client.write_all(word.as_bytes())?;
    let line = running.wait_for_stdout("wrote ")?;
    let count = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok((client, count))
}

/// Reads to the end, which is in order.
fn takes_all(mut client: TcpStream, count: usize) -> Result<()> {
    let mut taken = Vec::new();
    client.read_to_end(&mut taken)?;
    ensure!(taken.len() == count, "{} bytes of {count}", taken.len());
    Ok(())
}

fn is_reset(mut client: TcpStream) -> Result<()> {
    let ended = client.read_to_end(&mut Vec::new());
    ensure!(ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{ended:?}");
    Ok(())
}

#[test]
fn a_drain_waits_for_what_a_component_has_written() -> Result<()> {
    let (mut running, addr) = serve(&["--drain-timeout", "60s"])?;
    let (client, count) = is_sent_much(&mut running, addr, "much")?;
    running.signal(Signal::TERM)?;
    std::thread::sleep(Duration::from_millis(300));
    ensure!(running.is_running()?, "it has not waited");
    takes_all(client, count)?;
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_drain_that_takes_too_long_resets_and_counts_what_is_not_delivered() -> Result<()> {
    let (mut running, addr) = serve(&["--drain-timeout", "300ms"])?;
    let (client, _) = is_sent_much(&mut running, addr, "much")?;
    running.signal(Signal::TERM)?;
    let finished = running.finish()?;
    is_reset(client)?;
    finished.expect_stderr("1 connection").map(drop)
}

#[test]
fn the_end_of_a_component_waits_for_what_it_has_written() -> Result<()> {
    let (mut running, addr) = serve(&[])?;
    let (client, count) = is_sent_much(&mut running, addr, "last")?;
    takes_all(client, count)?;
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_component_that_is_ended_resets_what_is_not_delivered() -> Result<()> {
    let (mut running, addr) = serve(&[])?;
    let (client, _) = is_sent_much(&mut running, addr, "much")?;
    running.signal(Signal::TERM)?;
    let finished = running.finish()?;
    is_reset(client)?;
    finished.expect_stderr("whose peers had not taken all that it wrote: 1").map(drop)
}

#[test]
fn a_connection_counts_until_all_is_delivered() -> Result<()> {
    let (mut running, addr) = serve(&["--max-connections", "1"])?;
    let (client, count) = is_sent_much(&mut running, addr, "much")?;
    let mut waiting = Client::connect(addr)?;
    waiting.hears_nothing()?;
    takes_all(client, count)?;
    waiting.hears("hello ")?;
    running.stop().map(drop)
}
