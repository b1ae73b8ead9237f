//! An instance for each connection: `--per-connection` and its flags.

use super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::Running;
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

fn serve(flags: &[&str], module: &str) -> Result<(Running, SocketAddr)> {
    let mut running = run().args(["--per-connection", "127.0.0.1:0"]).args(flags).arg(module).start()?;
    let addr = running.listening()?;
    Ok((running, addr))
}

/// What comes back for this.
fn ask(addr: SocketAddr, said: &str) -> Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    stream.write_all(said.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// W4: an unmodified filter is a server.
#[test]
pub(super) fn connection_filter() -> Result<()> {
    let (running, addr) = serve(&[], guest_tests::CONNECTION_FILTER)?;
    ensure!(ask(addr, "cat\nas it was")? == "as it was", "not a copy");
    ensure!(ask(addr, "env\n")?.contains("\nTCPREMOTEIP=127.0.0.1\n"), "no environment");
    running.stop()?.expect_stderr("an instance for each connection").map(drop)
}

#[test]
pub(super) fn connection_state() -> Result<()> {
    let (running, addr) = serve(&["--max-instances", "1"], guest_tests::CONNECTION_STATE)?;
    for (said, answer) in [("l", "l"), ("f", "f"), ("l", "l")] {
        ensure!(ask(addr, said)? == answer, "{said}");
    }
    running.stop().map(drop)
}

#[test]
pub(super) fn connection_events() -> Result<()> {
    let (running, addr) = serve(&["--per-connection-as", "event"], guest_tests::CONNECTION_EVENTS)?;
    for _ in 0..2 {
        ensure!(ask(addr, "x")? == "Ax", "another instance");
    }
    running.stop().map(drop)
}

#[test]
pub(super) fn connection_copies() -> Result<()> {
    let flags = ["--per-connection-as", "event", "--warm"];
    let (running, addr) = serve(&flags, guest_tests::CONNECTION_COPIES)?;
    for _ in 0..2 {
        ensure!(ask(addr, "?")? == "1111", "not the copy");
    }
    running.stop().map(drop)
}

#[test]
pub(super) fn one_request() -> Result<()> {
    let (running, addr) = serve(&["--workers", "2"], guest_tests::ONE_REQUEST)?;
    for _ in 0..10 {
        let answer = ask(addr, "GET / HTTP/1.1\r\n\r\n")?;
        ensure!(answer.ends_with("\r\n\r\nHello from an instance\n"), "{answer:?}");
    }
    running.stop().map(drop)
}

/// The address space of the host leaves no room: a line says so, and it serves all the same.
#[test]
fn without_room_for_a_pool_instances_are_made_on_demand() -> Result<()> {
    let flags = ["--per-connection", "127.0.0.1:0"];
    let limited = run().args(flags).arg(guest_tests::CONNECTION_FILTER).after_shell("ulimit -v 67108864");
    let mut running = limited.start()?;
    running.wait_for_stderr("instances are made on demand, which takes longer: 1024 instances")?;
    let addr = running.listening()?;
    ensure!(ask(addr, "say so\n")? == "so\n", "another answer");
    running.stop().map(drop)
}

#[test]
fn a_failure_is_a_line_and_the_others_go_on() -> Result<()> {
    let (mut running, addr) = serve(&[], guest_tests::CONNECTION_FILTER)?;
    _ = ask(addr, "trap\n");
    running.wait_for_stderr("failed: wasm trap: wasm `unreachable` instruction executed")?;
    _ = ask(addr, "exit 9\n");
    running.wait_for_stderr("failed: exit code 9")?;
    ensure!(ask(addr, "say well\n")? == "well\n", "it does not go on");
    running.stop().map(drop)
}

#[test]
fn it_drains_and_reloads() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("m.wasm");
    std::fs::copy(guest_tests::CONNECTION_FILTER, &module)?;
    let flags = ["--reload-signal", "HUP", "--drain-timeout", "20s"];
    let (mut running, addr) = serve(&flags, module.to_str().context("a path")?)?;
    let mut old = BufReader::new(TcpStream::connect(addr)?);
    old.get_ref().set_read_timeout(Some(WAIT_TIMEOUT))?;
    old.get_mut().write_all(b"wait old\n")?;
    let mut line = String::new();
    old.read_line(&mut line)?;
    ensure!(line == "here\n", "{line}");
    std::fs::copy(guest_tests::CONNECTION_STATE, &module)?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 2 serves")?;
    ensure!(ask(addr, "l")? == "l", "not the new program");
    running.signal(Signal::TERM)?;
    running.wait_for_stderr("the connections may end")?;
    old.get_ref().shutdown(Shutdown::Write)?;
    let mut rest = String::new();
    old.read_to_string(&mut rest)?;
    ensure!(rest == "old\n", "{rest}");
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_path_is_the_hosts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s");
    let place = format!("unix:{}", path.display());
    let flags = ["--per-connection", &place, "--unix-unlink"];
    let mut running = run().args(flags).arg(guest_tests::CONNECTION_FILTER).start()?;
    running.wait_for_stderr("listening on unix:")?;
    let mut client = UnixStream::connect(&path)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.write_all(b"say here\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer == "here\n", "{answer:?}");
    running.stop().map(drop)
}

#[test]
fn misuse_is_a_sentence() -> Result<()> {
    let with = ["--per-connection", "127.0.0.1:0"];
    for (flags, said) in [
        (["--max-instances", "3"].as_slice(), "--max-instances has no effect without --per-connection"),
        (&["--per-connection-as", "fd"], "--per-connection-as has no effect without --per-connection"),
        (&[&with[..], &["--restart", "always"]].concat(), "ends with it, and none follows"),
        (&[&with[..], &["--preopen-listen", "127.0.0.1:0"]].concat(), "is given that one alone"),
        (&[&with[..], &["--on-trap", "restart"]].concat(), "a trap of an instance"),
        (&[&with[..], &["--accept-rate", "9"]].concat(), "the host itself accepts (--per-connection)"),
        (&["--warm"], "--warm has no effect without --per-connection"),
        (&[&with[..], &["--warm"]].concat(), "--warm needs --per-connection-as event"),
        (&["--per-connection", "here"], "expected ADDRESS:PORT or unix:PATH"),
    ] {
        let finished = run().args(flags).arg(guest_tests::CONNECTION_FILTER).finish()?.expect_code(2)?;
        finished.expect_stderr(said)?;
    }
    let library = tempfile::tempdir()?;
    let module = library.path().join("l.wat");
    std::fs::write(&module, "(module)")?;
    let finished = run().args(with).arg(&module).finish()?.expect_code(1)?;
    finished.expect_one_line()?.expect_stderr("exports no _start").map(drop)
}
