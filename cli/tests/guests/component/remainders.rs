//! What a component has written when it drops a connection, and its peer has not taken yet.

use super::service::{is_served, serve};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Client, Running, is_refused};
use rustix::process::Signal;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A client that says `word`, and is sent more than it takes; returns how much is for it.
fn is_sent_much(running: &mut Running, addr: SocketAddr, word: &str) -> Result<(TcpStream, usize)> {
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    client.read_exact(&mut [0; 6]).context("the greeting")?;
    client.write_all(word.as_bytes())?;
    let line = running.wait_for_stdout(&format!(" bytes to {}", client.local_addr()?))?;
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

/// Each takes a descriptor of the host's, and no more than that.
#[test]
fn what_is_to_be_delivered_takes_one_descriptor_a_connection() -> Result<()> {
    let (mut running, addr) = serve(&[])?;
    // What delivers is started at the first one.
    let mut clients = vec![is_sent_much(&mut running, addr, "much")?];
    // A connection has others for a moment, while it goes from the component to what delivers. So the fewest of some.
    let fewest = |running: &Running| -> Result<usize> {
        let mut fewest = running.descriptors()?;
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(20));
            fewest = fewest.min(running.descriptors()?);
        }
        Ok(fewest)
    };
    let before = fewest(&running)?;
    for _ in 0..4 {
        clients.push(is_sent_much(&mut running, addr, "much")?);
    }
    let taken = fewest(&running)? - before;
    ensure!(taken == 4, "{taken} descriptors of 4 connections");
    clients.into_iter().try_for_each(|(client, count)| takes_all(client, count))?;
    running.stop().map(drop)
}

/// What the one that trapped had still to deliver does not keep the next one from its start.
#[test]
fn a_trap_resets_what_is_not_delivered() -> Result<()> {
    let (mut running, addr) = serve(&["--restart", "on-failure"])?;
    let (client, _) = is_sent_much(&mut running, addr, "much")?;
    let mut other = Client::connect(addr)?;
    other.hears("hello ")?;
    other.say("trap")?;
    running.wait_for_stderr("starts anew")?;
    is_reset(client)?;
    let _client = is_served(addr)?;
    running.stop()?.expect_stderr("whose peers had not taken all that it wrote: 1").map(drop)
}

/// The peer has a connection until then, and may have no second one.
#[test]
fn a_peer_has_a_connection_until_all_is_delivered() -> Result<()> {
    let (mut running, addr) = serve(&["--max-connections-per-peer", "1"])?;
    let (client, count) = is_sent_much(&mut running, addr, "much")?;
    is_refused(addr)?;
    takes_all(client, count)?;
    // The host learns a moment later that all was taken.
    let begun = Instant::now();
    while is_served(addr).is_err() {
        ensure!(begun.elapsed() < Duration::from_secs(20), "the peer is kept out");
    }
    running.stop().map(drop)
}

/// The generation before delivers while the new one serves.
#[test]
fn a_reload_loses_nothing_of_what_is_to_be_delivered() -> Result<()> {
    let (mut running, addr) = serve(&["--reload-signal", "USR2"])?;
    let (client, count) = is_sent_much(&mut running, addr, "much")?;
    running.signal(Signal::USR2)?;
    running.wait_for_stderr("generation 2 serves")?;
    let _client = is_served(addr)?;
    takes_all(client, count)?;
    running.stop()?.expect_no_stderr("had not taken all").map(drop)
}
