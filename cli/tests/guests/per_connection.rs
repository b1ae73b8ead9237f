//! An instance for each connection: `--per-connection` and its flags.

mod adopted;
mod processes;

use super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Running, Wasock};
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
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
    // The second is less than one memory with all of its addresses takes.
    for limit in ["67108864", "4000000"] {
        let limited = run().args(flags).arg(guest_tests::CONNECTION_FILTER);
        let mut running = limited.after_shell(&format!("ulimit -v {limit}")).start()?;
        running.wait_for_stderr("instances are made on demand, which takes longer: 1024 instances")?;
        let addr = running.listening()?;
        ensure!(ask(addr, "say so\n")? == "so\n", "another answer");
        running.stop()?;
    }
    Ok(())
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
    // One whose host was killed is there.
    drop(UnixListener::bind(&path)?);
    let flags = ["--per-connection", &place];
    let mut running = run().args(flags).arg(guest_tests::CONNECTION_FILTER).start()?;
    running.wait_for_stderr("listening on unix:")?;
    let second = run().args(flags).arg(guest_tests::CONNECTION_FILTER).finish()?;
    second.expect_stderr("another host answers there")?;
    let mut client = UnixStream::connect(&path)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.write_all(b"say here\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer == "here\n", "{answer:?}");
    running.signal(Signal::TERM)?;
    running.finish()?.expect_code(143)?;
    ensure!(!path.exists(), "the name stays");
    Ok(())
}

/// A module whose start function never returns.
const SPINS: &str =
    r#"(module (memory (export "memory") 1) (func $f (loop br 0)) (start $f) (func (export "_start")))"#;

#[test]
fn a_start_that_never_returns_is_given_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("m.wat");
    let flags = ["--per-connection", "127.0.0.1:0", "--reload-signal", "HUP", "--ready-timeout", "300ms"];
    std::fs::write(&module, SPINS)?;
    let first = run().args(flags).arg(&module).finish()?.expect_code(1)?;
    first.expect_stderr("the start of the module did not return within 300ms (--ready-timeout)")?;
    std::fs::copy(guest_tests::CONNECTION_FILTER, &module)?;
    let mut running = run().args(flags).arg(&module).start()?;
    let addr = running.listening()?;
    for generation in [2, 3] {
        std::fs::write(&module, SPINS)?;
        running.signal(Signal::HUP)?;
        let why = "the new program ended before it was ready: the start of the module did not return within";
        running.wait_for_stderr(&format!("generation {generation}: {why} 300ms (--ready-timeout)"))?;
        ensure!(ask(addr, "say so\n")? == "so\n", "the old one does not serve");
    }
    std::fs::copy(guest_tests::CONNECTION_STATE, &module)?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 4 serves")?;
    ensure!(ask(addr, "l")? == "l", "not the new program");
    running.stop().map(drop)
}

#[test]
fn whoever_is_served_at_the_end_sees_a_reset() -> Result<()> {
    for signal in [Signal::TERM, Signal::HUP] {
        let (running, addr) = serve(&["--workers", "2"], guest_tests::CONNECTION_FILTER)?;
        let connect = |_| -> Result<_> {
            let mut client = BufReader::new(TcpStream::connect(addr)?);
            client.get_ref().set_read_timeout(Some(WAIT_TIMEOUT))?;
            client.get_mut().write_all(b"wait old\n")?;
            let mut line = String::new();
            client.read_line(&mut line)?;
            ensure!(line == "here\n", "{line}");
            Ok(client)
        };
        let clients = (0..12).map(connect).collect::<Result<Vec<_>>>()?;
        running.signal(signal)?;
        for mut client in clients {
            let end = client.read_to_string(&mut String::new()).map_err(|error| error.kind());
            ensure!(end == Err(ErrorKind::ConnectionReset), "{signal:?}: {end:?}");
        }
        running.finish()?;
    }
    Ok(())
}

/// R8: a drain that an operator has ordered is the first order.
#[test]
fn a_signal_after_an_operators_drain_ends_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let admin = format!("unix:{}", folder.path().join("a").display());
    let flags = ["--admin", &admin, "--reload-signal", "HUP", "--drain-timeout", "60s"];
    let (mut running, addr) = serve(&flags, guest_tests::CONNECTION_FILTER)?;
    let mut client = BufReader::new(TcpStream::connect(addr)?);
    client.get_mut().write_all(b"wait old\n")?;
    client.read_line(&mut String::new())?;
    let ctl = |order| Wasock::new(env!("CARGO_BIN_EXE_wasock")).args(["ctl", &admin, order]).finish();
    ctl("drain")?.expect_code(0)?;
    ctl("reload")?.expect_code(1)?.expect_stderr("the service ends, or has ended")?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("no reload: the service ends")?;
    running.signal(Signal::TERM)?;
    running.finish()?.expect_code(143)?;
    let end = client.read_to_string(&mut String::new()).map_err(|error| error.kind());
    ensure!(end == Err(ErrorKind::ConnectionReset), "{end:?}");
    Ok(())
}

/// Reads one byte of descriptor 3.
const READS_DESCRIPTOR: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\01\00\00\00")
    (func (export "_start") (drop (call $read (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// A client that says nothing is reset, however its connection is shown.
#[test]
fn an_idle_client_is_reset_in_each_mode() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let of_descriptor = folder.path().join("m.wat");
    std::fs::write(&of_descriptor, READS_DESCRIPTOR)?;
    for (shown_as, module) in [
        ("stdio", guest_tests::CONNECTION_FILTER),
        ("fd", of_descriptor.to_str().context("a path")?),
        ("event", guest_tests::CONNECTION_EVENTS),
    ] {
        let flags = ["--per-connection-as", shown_as, "--idle-timeout", "300ms"];
        let (running, addr) = serve(&flags, module)?;
        let mut client = TcpStream::connect(addr)?;
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        let end = client.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        ensure!(end == Err(ErrorKind::ConnectionReset), "{shown_as}: {end:?}");
        running.stop()?;
    }
    Ok(())
}

#[test]
fn too_little_memory_is_said_as_without_a_pool() -> Result<()> {
    let finished = run()
        .args(["--per-connection", "127.0.0.1:0", "--max-memory", "64K"])
        .arg(guest_tests::CONNECTION_FILTER)
        .finish()?;
    finished
        .expect_code(1)?
        .expect_stderr("bytes of memory at its start or more, and --max-memory allows 65536")
        .map(drop)
}

#[test]
fn one_wait_is_counted_once_and_names_no_descriptor() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let admin = format!("unix:{}", folder.path().join("a").display());
    let flags = ["--max-connections", "1", "--admin", &admin];
    let (mut running, addr) = serve(&flags, guest_tests::CONNECTION_FILTER)?;
    let mut first = BufReader::new(TcpStream::connect(addr)?);
    first.get_mut().write_all(b"wait old\n")?;
    first.read_line(&mut String::new())?;
    let mut second = TcpStream::connect(addr)?;
    second.set_read_timeout(Some(WAIT_TIMEOUT))?;
    second.write_all(b"say late\n")?;
    second.shutdown(Shutdown::Write)?;
    let line = running.wait_for_stderr("clients wait: 1 connections are open")?;
    ensure!(!line.contains("fd "), "{line}");
    // The listener asks four times a second.
    std::thread::sleep(Duration::from_millis(900));
    drop(first);
    let mut answer = String::new();
    second.read_to_string(&mut answer)?;
    ensure!(answer == "late\n", "{answer}");
    let ctl = Wasock::new(env!("CARGO_BIN_EXE_wasock")).args(["ctl", &admin, "metrics"]);
    let counted = format!("wasock_delayed_accepts_total{{listener=\"{addr}\"}} 1\n");
    let metrics = ctl.finish()?.expect_code(0)?.expect_stdout(&counted)?;
    let mut limits: Vec<_> =
        metrics.stdout.lines().filter(|line| line.starts_with("wasock_limit_reached_total")).collect();
    let count = limits.len();
    limits.sort_unstable();
    limits.dedup();
    ensure!(limits.len() == count, "a limit has two rows: {limits:?}");
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
        (&[&with[..], &["--idle-exit", "1s"]].concat(), "--idle-exit needs --adopt or --listen-fds"),
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
