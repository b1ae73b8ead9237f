//! Listeners that the service manager passed, and that go on after the host.

use super::*;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Command;

/// The command, which is passed `listener` and makes an instance for each connection there.
fn adopting(listener: &TcpListener, flags: &[&str]) -> Result<Wasock> {
    let addr = listener.local_addr()?.to_string();
    let host = run().args(["--adopt", "--per-connection", &addr]).args(flags);
    Ok(host.arg(guest_tests::CONNECTION_FILTER).passing("web", OwnedFd::from(listener.try_clone()?)))
}

#[test]
fn a7_adopt_makes_instances_at_the_listener_of_the_service_manager() -> Result<()> {
    for profile in ["wasix", "winsock"] {
        let kept = TcpListener::bind("127.0.0.1:0")?;
        let addr = kept.local_addr()?;
        let mut early = TcpStream::connect(addr)?;
        early.set_read_timeout(Some(WAIT_TIMEOUT))?;
        early.write_all(b"say early\n")?;
        let flags = ["--workers", "2", "--drain-timeout", "20s", "--listen-profile", profile];
        let running = adopting(&kept, &flags)?.start()?;
        let mut answer = String::new();
        early.read_to_string(&mut answer)?;
        ensure!(answer == "early\n", "{answer:?}");
        ensure!(ask(addr, "say so\n")? == "so\n", "another answer");
        running.signal(Signal::TERM)?;
        running.finish()?.expect_code(0)?;
        // The service manager has it still, and it blocks as before: the next host serves who comes now.
        let flags = rustix::fs::fcntl_getfl(&kept)?;
        ensure!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "it does not block any more");
        let mut waiting = TcpStream::connect(addr)?;
        waiting.set_read_timeout(Some(WAIT_TIMEOUT))?;
        waiting.write_all(b"say late\n")?;
        let next = adopting(&kept, &[])?.start()?;
        let mut answer = String::new();
        waiting.read_to_string(&mut answer)?;
        ensure!(answer == "late\n", "{answer:?}");
        next.stop()?;
    }
    Ok(())
}

#[test]
fn s6_a_host_whose_instances_have_ended_ends_and_its_clients_do_not_notice() -> Result<()> {
    let kept = TcpListener::bind("127.0.0.1:0")?;
    let addr = kept.local_addr()?;
    let mut running = adopting(&kept, &["--idle-exit", "300ms"])?.start()?;
    let mut client = BufReader::new(TcpStream::connect(addr)?);
    client.get_ref().set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.get_mut().write_all(b"wait whole\n")?;
    let mut line = String::new();
    client.read_line(&mut line)?;
    // As long as it has an instance it stays.
    std::thread::sleep(Duration::from_millis(900));
    ensure!(running.is_running()?, "it ended with an instance");
    client.get_ref().shutdown(Shutdown::Write)?;
    client.read_line(&mut line)?;
    ensure!(line == "here\nwhole\n", "{line:?}");
    running.finish()?.expect_code(0)?.expect_stderr("--idle-exit")?;
    let mut waiting = TcpStream::connect(addr)?;
    waiting.set_read_timeout(Some(WAIT_TIMEOUT))?;
    waiting.write_all(b"say served\n")?;
    let running = adopting(&kept, &["--idle-exit", "300ms"])?.start()?;
    let mut answer = String::new();
    waiting.read_to_string(&mut answer)?;
    ensure!(answer == "served\n", "{answer:?}");
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn systemd_starts_it_with_the_first_client() -> Result<()> {
    const ACTIVATE: &str = "systemd-socket-activate";
    if !Command::new(ACTIVATE).arg("--version").output().is_ok_and(|done| done.status.success()) {
        eprintln!("passed over: this machine has no {ACTIVATE}");
        return Ok(());
    }
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (at, wasock) = (addr.to_string(), env!("CARGO_BIN_EXE_wasock"));
    let mut running = Wasock::new(ACTIVATE)
        .args(["--listen", &at, wasock, "run", "--adopt", "--per-connection", &at])
        .args(["--idle-exit", "300ms", guest_tests::CONNECTION_FILTER])
        .start()?;
    running.wait_for_stderr("Listening on")?;
    ensure!(ask(addr, "say so\n")? == "so\n", "another answer");
    running.finish()?.expect_code(0)?.expect_stderr("--idle-exit").map(drop)
}

#[test]
fn what_was_passed_and_is_not_named_is_said() -> Result<()> {
    let kept = TcpListener::bind("127.0.0.1:0")?;
    let flags = ["--adopt", "--per-connection", "127.0.0.1:0"];
    let host = run().args(flags).arg(guest_tests::CONNECTION_FILTER);
    let refused = host.passing("web", OwnedFd::from(kept.try_clone()?)).finish()?.expect_code(1)?;
    let said = format!("the socket \"web\" that was passed is at {}: name that too", kept.local_addr()?);
    refused.expect_one_line()?.expect_stderr(&said)?;
    let host = run().args(flags).arg(guest_tests::CONNECTION_FILTER).finish()?.expect_code(1)?;
    host.expect_stderr("LISTEN_FDS and LISTEN_PID do not say that a socket was passed").map(drop)
}
