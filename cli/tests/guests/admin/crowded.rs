//! Nobody keeps an operator out: not a guest that has taken every descriptor, nor clients that take every place.

use super::{Site, WAIT_TIMEOUT, at, exchange};
use anyhow::{Result, bail, ensure};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// More than there are places.
const CROWD: usize = 40;

/// How long a client that stalls has its place where nobody needs that.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// S1: a guest that has taken every descriptor keeps no operator out.
#[test]
fn with_the_last_descriptor_used_operators_are_answered() -> Result<()> {
    // A quarter of them is kept.
    let site = Site::start_in(&[], |command| command.after_shell("ulimit -n 80"))?;
    let clients = (0..80).map(|_| TcpStream::connect(site.addr)).collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    // Some wait, and the guest can't take them.
    let waits = loop {
        let status = site.status()?;
        let [taken, waits] = ["/open_connections", "/listeners/0/queue_length"]
            .map(|place| at(&status, place).as_u64().unwrap_or_default());
        if waits > 0 && taken + waits == 80 {
            break waits;
        }
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "{taken} are taken and {waits} wait");
        sleep(Duration::from_millis(10));
    };
    for _ in 0..20 {
        ensure!(site.get("/metrics")?.status == 200, "no metrics");
    }
    site.ctl(&["status"])?.expect_code(0)?;
    // What the host opens for a reload is among them, too; the new program's own socket is not.
    site.ctl(&["reload"])?.expect_code(1)?.expect_stderr("the new program ended before it was ready")?;
    // Who waits is served once there are some left.
    drop(clients);
    site.is_page()?;
    site.ctl(&["reload"])?.expect_code(0)?.expect_stdout("generation 3 serves")?;
    ensure!(waits >= 20, "{waits} waited");
    site.ctl(&["drain"])?.expect_code(0)?;
    site.running.finish()?.expect_code(0).map(drop)
}

/// S1: clients that hold back what they owe give way to an operator.
#[test]
fn clients_that_take_every_place_keep_no_operator_out() -> Result<()> {
    let site = Site::start(&[])?;
    for owes in [
        "",
        "GET /status HTTP/1.1\r\nHost:",
        "POST /limits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        "POST /reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nX:",
    ] {
        let mut attempts = 0;
        while !gives_way(&site, owes)? {
            attempts += 1;
            ensure!(attempts < 5, "the machine is too slow");
        }
    }
    site.running.stop().map(drop)
}

/// Does an operator get the place of the oldest of a crowd, each of which sends this and no more? `false` where
/// that took so long that they were to end anyway.
fn gives_way(site: &Site, owes: &str) -> Result<bool> {
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut client = UnixStream::connect(site.path())?;
        client.write_all(owes.as_bytes())?;
        crowd.push(client);
    }
    ensure!(site.get("/status")?.status == 200, "{owes:?}: no status");
    site.ctl(&["limits"])?.expect_code(0)?;
    if begun.elapsed() >= PLACE_TIMEOUT {
        return Ok(false);
    }
    let mut open = Vec::new();
    for mut client in crowd {
        client.set_nonblocking(true)?;
        match client.read(&mut [0; 16]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => open.push(true),
            _ => open.push(false),
        }
    }
    if begun.elapsed() >= PLACE_TIMEOUT {
        return Ok(false);
    }
    // The oldest, as many as were needed: the crowd and the operators have 32 places.
    let gone = open.iter().take_while(|is_open| !**is_open).count();
    let left = open.iter().filter(|is_open| **is_open).count();
    ensure!(gone + left == CROWD && (CROWD - 32..CROWD - 16).contains(&gone), "{owes:?}: {open:?}");
    Ok(true)
}

/// S1: those who wait for a reload keep nobody out.
#[test]
fn reloads_that_wait_keep_no_operator_out() -> Result<()> {
    let site = Site::start(&["--ready-timeout", "1h"])?;
    // It never listens, so that each reload waits.
    std::fs::write(site.module(), "(module (func (export \"_start\") (loop (br 0))))")?;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut client = UnixStream::connect(site.path())?;
        client.write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")?;
        crowd.push(client);
    }
    ensure!(site.get("/status")?.status == 200, "no status");
    site.ctl(&["reload"])?.expect_code(1)?.expect_stderr("others wait for a reload already")?;
    let mut refused = 0;
    for client in crowd {
        client.set_nonblocking(true)?;
        match exchange_what_is_there(client) {
            Ok(Some(answer)) if answer.contains(" 503 ") => refused += 1,
            Ok(None) => {}
            other => bail!("answered {other:?}"),
        }
    }
    ensure!(refused == CROWD - 8, "{refused} were refused");
    site.ctl(&["drain"])?.expect_code(0)?;
    site.running.finish()?.expect_code(0).map(drop)
}

/// The answer, if it is there.
fn exchange_what_is_there(mut client: UnixStream) -> Result<Option<String>> {
    let mut answer = String::new();
    match client.read_to_string(&mut answer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock && answer.is_empty() => Ok(None),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(Some(answer)),
    }
}

/// S1: many requests on one connection are one.
#[test]
fn requests_behind_the_first_are_not_answered() -> Result<()> {
    let site = Site::start(&[])?;
    let many = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let answer = exchange(UnixStream::connect(site.path())?, many.as_bytes());
    // What it sent in vain may have reset the connection before the answer was read.
    if let Ok(answer) = answer {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 200 && !body.contains("HTTP/1.1 200"), "{body}");
    }
    site.ctl(&["status"])?.expect_code(0)?;
    site.running.stop().map(drop)
}
