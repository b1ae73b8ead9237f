//! A family of processes for each connection.

use super::{WAIT_TIMEOUT, ask, run};
use crate::asyncify::rewritten;
use anyhow::{Result, ensure};
use guest_tests::{Running, asyncified};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A server whose handlers are `command`; the programs of the tests of processes are in its `/bin`.
fn serve(programs: &tempfile::TempDir, flags: &[&str], command: &[&str]) -> Result<(Running, SocketAddr)> {
    fs::copy(guest_tests::PROCESSES, programs.path().join("processes"))?;
    let exec = format!("{}::/bin", programs.path().display());
    let host = run().args(["--per-connection", "127.0.0.1:0", "--exec", &exec]).args(flags);
    let mut running = host.args(command).start()?;
    let addr = running.listening()?;
    Ok((running, addr))
}

/// The connection is the helper's, which has it from its parent.
#[test]
fn a_handler_starts_a_helper_for_its_connection() -> Result<()> {
    let programs = tempfile::tempdir()?;
    let handler = [guest_tests::PROGRAM_STARTER, "start", "/bin/processes", "echo"];
    let (running, addr) = serve(&programs, &[], &handler)?;
    for said in ["one", "two"] {
        let answer = ask(addr, said)?;
        ensure!(answer == format!("{said}ended by 1, code 0, signal 0\n"), "{answer:?}");
    }
    let finished = running.stop()?;
    ensure!(finished.stderr_lines_with("instances are made on demand").len() == 1, "{finished}");
    Ok(())
}

#[test]
fn a_handler_becomes_another_program() -> Result<()> {
    let programs = tempfile::tempdir()?;
    let handler = [guest_tests::PROGRAM_STARTER, "become", "/bin/processes", "echo"];
    let (running, addr) = serve(&programs, &["--max-processes", "1"], &handler)?;
    for said in ["one", "two"] {
        ensure!(ask(addr, said)? == said, "no echo");
    }
    running.stop().map(drop)
}

#[test]
fn a_handler_copies_itself() -> Result<()> {
    let Some(program) = rewritten(asyncified::FORKS)? else { return Ok(()) };
    let programs = tempfile::tempdir()?;
    for (case, answer) in
        [("fork", "child\nparent\nholds\n"), ("generations", "holds\n"), ("save", "holds\n")]
    {
        let (running, addr) = serve(&programs, &[], &[program, case])?;
        let found = ask(addr, "")?;
        ensure!(found == answer, "{case}: {found:?}");
        running.stop()?;
    }
    Ok(())
}

/// The end of a connection's first process is that of the others, whatever these do.
#[test]
fn the_processes_of_a_connection_end_with_it() -> Result<()> {
    let programs = tempfile::tempdir()?;
    let handler = [guest_tests::PROGRAM_STARTER, "end", "/bin/processes", "spin"];
    // Each in its own way: by the handler, by a limit.
    let (running, addr) = serve(&programs, &["--timeout", "5s"], &handler)?;
    ensure!(ask(addr, "end it\n")? == "ended by 2, code 0, signal 15\n", "another end");
    // What the first one has made is kept: a thread that waits to be used again is none of another one's.
    let before = (running.descriptors()?, running.threads()?);
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.write_all(b"")?;
    // It waits for a line.
    let mut answer = Vec::new();
    let _reset = client.read_to_end(&mut answer);
    ensure!(answer.is_empty(), "{answer:?}");
    let begun = Instant::now();
    loop {
        let now = (running.descriptors()?, running.threads()?);
        if now.0 <= before.0 + 2 && now.1 <= before.1 + 1 {
            break;
        }
        ensure!(begun.elapsed() < 3 * WAIT_TIMEOUT, "{before:?} before, {now:?} after");
        std::thread::sleep(Duration::from_millis(50));
    }
    running.stop()?.expect_stderr("the guest was ended").map(drop)
}

/// A child computes on a thread that no worker looks at.
#[test]
fn processor_time_of_a_connections_children_is_limited() -> Result<()> {
    let programs = tempfile::tempdir()?;
    let handler = [guest_tests::PROGRAM_STARTER, "start", "/bin/processes", "spin"];
    let (running, addr) = serve(&programs, &["--max-cpu-time", "300ms"], &handler)?;
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(3 * WAIT_TIMEOUT))?;
    let mut answer = Vec::new();
    let ended = client.read_to_end(&mut answer);
    ensure!(answer.is_empty() && ended.is_err(), "{ended:?} {answer:?}");
    running.stop()?.expect_stderr("it has used the 300ms of processor time").map(drop)
}
