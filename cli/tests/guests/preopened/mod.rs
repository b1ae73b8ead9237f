//! Sockets that the operator passes to a guest.

mod flags;
mod kinds;
mod names;
mod shared;

pub(crate) use kinds::preopened_kinds;
pub(crate) use shared::*;

use super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Finished, Running, Wasock};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const HERE: &str = "127.0.0.1:0";

/// Sends a line, ends, and returns what came back.
fn exchange(addr: SocketAddr, line: &str) -> Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(line.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn expect_variables(finished: Finished, fds: &str, names: &str) -> Result<()> {
    finished
        .expect_code(0)?
        .expect_stdout(&format!("LISTEN_FDS={fds}\n"))?
        .expect_stdout(&format!("LISTEN_FDNAMES={names}\n"))?
        .expect_stdout("LISTEN_PID=1\n")
        .map(drop)
}

#[test]
pub(crate) fn preopened_std() -> Result<()> {
    let site = tempfile::tempdir()?;
    fs::write(site.path().join("page"), "and a page\n")?;
    let mut server = run()
        .args(["--preopen-listen", &format!("web={HERE}"), "--preopen-listen", HERE])
        .arg("--dir-ro")
        .arg(format!("{}::/site", site.path().display()))
        .args([guest_tests::PREOPENED_STD, "3", "/site/page"])
        .start()?;
    let addr = server.listening()?;
    for number in 0..3 {
        let answer = exchange(addr, &format!("line {number}\n"))?;
        ensure!(answer == format!("line {number}\nand a page\n"), "answered {answer:?}");
    }
    expect_variables(server.finish()?, "2", "web:unknown")
}

/// A listener of this process, and a host that has it.
fn passed(wasock: Wasock) -> Result<(Running, SocketAddr)> {
    passed_as(false, wasock)
}

fn passed_as(nonblocking: bool, wasock: Wasock) -> Result<(Running, SocketAddr)> {
    let listener = TcpListener::bind(HERE)?;
    listener.set_nonblocking(nonblocking)?;
    let addr = listener.local_addr()?;
    Ok((wasock.passing("echo", std::os::fd::OwnedFd::from(listener)).start()?, addr))
}

#[test]
fn sockets_of_a_service_manager() -> Result<()> {
    let (server, addr) =
        passed(run().args(["--inherit-env", "--listen-fds", guest_tests::PREOPENED_STD, "1"]))?;
    ensure!(exchange(addr, "hello")? == "hello");
    expect_variables(server.finish()?, "1", "echo")?;

    // A name or a number that the operator sets counts.
    let (server, addr) = passed(run().args([
        "--env",
        "LISTEN_FDNAMES=mine",
        "--listen-fds",
        guest_tests::PREOPENED_STD,
        "1",
    ]))?;
    ensure!(exchange(addr, "hello")? == "hello");
    expect_variables(server.finish()?, "1", "mine")
}

#[test]
fn a_preopened_listener_is_blocking_or_not() -> Result<()> {
    let mode = |flag: &[&str]| {
        let mut args = vec!["--preopen-listen", HERE];
        args.extend(flag);
        run().args(args).args([guest_tests::PREOPENED_STD, "0"]).succeed()
    };
    mode(&[])?.expect_stdout("nonblocking: false\n")?;
    mode(&["--preopen-nonblocking"])?.expect_stdout("nonblocking: true\n")?;
    mode(&["--preopen-nonblocking=false"])?.expect_stdout("nonblocking: false\n")?;
    // The flag of a socket that others have too says nothing.
    for (flag, is_nonblocking) in [("", false), ("--preopen-nonblocking", true)] {
        let flags = Some(flag).filter(|flag| !flag.is_empty());
        let host = run().args(flags).args(["--listen-fds", guest_tests::PREOPENED_STD, "0"]);
        let (server, _) = passed_as(!is_nonblocking, host)?;
        let line = format!("nonblocking: {is_nonblocking}\n");
        server.finish()?.expect_code(0)?.expect_stdout(&line)?;
    }
    Ok(())
}

#[test]
fn sockets_of_a_service_manager_need_a_flag() -> Result<()> {
    // What lies in the host's environment grants nothing.
    let (server, _) = passed(run().args(["--inherit-env", guest_tests::PREOPENED_STD, "1"]))?;
    let finished = server.finish()?.expect_stdout("LISTEN_FDS=\n")?;
    ensure!(finished.code != Some(0), "{finished}");
    run()
        .args(["--listen-fds", guest_tests::PREOPENED_STD, "1"])
        .finish()?
        .expect_code(1)?
        .expect_one_line()?
        .expect_stderr("--listen-fds: LISTEN_FDS and LISTEN_PID do not say")
        .map(drop)
}

#[test]
fn a_socket_that_is_of_no_use_is_refused() -> Result<()> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    let folder = tempfile::tempdir()?;
    // Bound, and neither listening nor connected.
    let tcp = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&tcp, &HERE.parse::<SocketAddr>()?)?;
    let unix = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    rustix::net::bind(&unix, &SocketAddrUnix::new(folder.path().join("s"))?)?;
    let other = rustix::net::socket(AddressFamily::NETLINK, SocketType::DGRAM, None)?;
    let file = std::os::fd::OwnedFd::from(fs::File::open("/dev/null")?);
    for socket in [tcp, unix, other, file] {
        run()
            .args(["--listen-fds", guest_tests::PREOPENED_STD, "1"])
            .passing("dns", socket)
            .finish()?
            .expect_code(1)?
            .expect_one_line()?
            .expect_stderr("\"dns\"")?;
    }
    Ok(())
}

#[test]
fn a_preopened_address_in_use_is_reported() -> Result<()> {
    let taken = TcpListener::bind(HERE)?;
    let addr = taken.local_addr()?;
    run()
        .args(["--preopen-listen", &addr.to_string(), guest_tests::PREOPENED_STD, "1"])
        .finish()?
        .expect_code(1)?
        .expect_one_line()?
        .expect_stderr(&format!("cannot listen on {addr} (--preopen-listen)"))
        .map(drop)
}

#[test]
fn a_preopened_listener_accepts_what_the_policy_allows() -> Result<()> {
    let mut server = run()
        .args(["--preopen-listen", HERE, "--accept-from", "192.0.2.0/24", guest_tests::PREOPENED_STD, "1"])
        .start()?;
    let addr = server.listening()?;
    ensure!(exchange(addr, "hello").is_err(), "a stranger was let in");
    server.wait_for_stderr("denied sock_accept")?;
    Ok(())
}

#[test]
pub(crate) fn preopened_rights() -> Result<()> {
    // In the kernel's queue, and in one of the host's.
    for profile in ["wasix", "winsock"] {
        let mut server = run()
            .args(["--listen-profile", profile, "--preopen-listen", HERE, "--dir", ".::/here"])
            .arg(guest_tests::PREOPENED_RIGHTS)
            .with_stdin()
            .start()?;
        let addr = server.listening()?;
        server.wait_for_stdout(&format!("at {addr}"))?;
        server.wait_for_stdout("ready")?;
        ensure!(exchange(addr, "hi")? == "yes");
        server.wait_for_stdout("closed")?;
        // The listener is not shared.
        ensure!(TcpStream::connect(addr).is_err(), "it listens still");
        server.finish()?.expect_code(0)?;
    }
    Ok(())
}

#[test]
pub(crate) fn preopened_stream() -> Result<()> {
    let listener = TcpListener::bind(HERE)?;
    let addr = listener.local_addr()?;
    let client = std::thread::spawn(move || exchange(addr, "hello"));
    let (near, _) = listener.accept()?;
    let server = run()
        .args(["--listen-fds", guest_tests::PREOPENED_STREAM])
        .passing("client", std::os::fd::OwnedFd::from(near))
        .start()?;
    server.finish()?.expect_code(0)?;
    let answer = client.join().ok().context("the client panicked")??;
    ensure!(answer == "hello", "answered {answer:?}");
    Ok(())
}

#[test]
pub(crate) fn preopened_events() -> Result<()> {
    let mut server = run()
        .args(["--on-trap", "restart", "--preopen-listen", HERE])
        .arg(guest_tests::PREOPENED_EVENTS)
        .start()?;
    let addr = server.listening()?;
    ensure!(exchange(addr, "one")? == "one");
    // It starts anew, and its listener is there again, on the same address.
    ensure!(exchange(addr, "\0").unwrap_or_default().is_empty(), "it did not trap");
    server.wait_for_stderr("starts anew")?;
    ensure!(exchange(addr, "two")? == "two");
    server.stop().map(drop)
}

#[test]
fn limits_of_connections_hold_at_a_preopened_listener() -> Result<()> {
    let mut server = run()
        .args(["--max-connections", "1", "--preopen-listen", HERE])
        .arg(guest_tests::PREOPENED_EVENTS)
        .start()?;
    let addr = server.listening()?;
    let mut first = TcpStream::connect(addr)?;
    first.write_all(b"first")?;
    first.read_exact(&mut [0; 5])?;
    let second = std::thread::spawn(move || exchange(addr, "second"));
    server.wait_for_stderr("(--max-connections 1)")?;
    first.write_all(b"again")?;
    first.read_exact(&mut [0; 5])?;
    drop(first);
    let answer = second.join().ok().context("the client panicked")??;
    ensure!(answer == "second", "answered {answer:?}");
    server.stop().map(drop)
}
