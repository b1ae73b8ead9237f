//! Descriptors in messages over Unix sockets.

use super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::Wasock;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything on 127.0.0.1, and every name in the folder, which is the guest's root.
fn granted(folder: &TempDir) -> Wasock {
    let dir = format!("{}::/", folder.path().display());
    let grants = ["--dir", &dir, "--listen", "unix:/*", "--connect", "unix:/*"];
    super::run_on_loopback().args(grants)
}

#[test]
pub(crate) fn pass_descriptors() -> Result<()> {
    let folder = tempfile::tempdir()?;
    granted(&folder).arg(guest_tests::PASS_DESCRIPTORS).succeed().map(drop)
}

#[test]
pub(crate) fn pass_truncated() -> Result<()> {
    run().args(["--max-fds", "64", guest_tests::PASS_TRUNCATED]).succeed().map(drop)
}

#[test]
pub(crate) fn pass_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = granted(&folder).args(["--max-fds", "200", guest_tests::PASS_REFUSED]).succeed()?;
    let denial = "descriptors: the other end of the Unix socket is not of this service";
    ensure!(finished.stderr_lines_with(denial).len() == 1, "{finished:?}");
    Ok(())
}

/// `wasock run` of the program with two parts, whose folder is its `/run`.
fn between(folder: &Path) -> Wasock {
    let dir = format!("{}::/run", folder.display());
    let names = ["--dir", &dir, "--listen", "unix:/run/*", "--connect", "unix:/run/*"];
    super::run_on_loopback().args(names)
}

/// A worker passes a listener to another one and ends: clients are served by that one.
#[test]
pub(crate) fn pass_between() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut running = between(folder.path()).args(["--workers", "2", guest_tests::PASS_BETWEEN]).start()?;
    let told = running.wait_for_stdout("listening on ")?;
    let addr: SocketAddr = told.trim_start_matches("listening on ").parse()?;
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.write_all(b"hello")?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    ensure!(answer == b"hello", "{answer:?}");
    running.finish()?.expect_code(0)?;
    Ok(())
}

/// A program outside sends a descriptor: the guest gets the byte, learns that something is missing, and
/// the descriptor is closed.
#[test]
fn a_descriptor_from_outside_is_closed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut running = between(folder.path()).args([guest_tests::PASS_BETWEEN, "receive"]).start()?;
    running.wait_for_stdout("ready")?;
    let life = UnixStream::connect(folder.path().join("s"))?;
    let stream = UnixStream::connect(folder.path().join("s"))?;
    let (mut reader, writer) = std::io::pipe()?;
    let descriptors = [writer.as_fd(), writer.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&stream, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    drop((writer, life));
    running.wait_for_stdout("received 1, lacks true")?;
    // The last writer has gone.
    ensure!(reader.read(&mut [0; 8])? == 0);
    running.finish()?.expect_code(0)?;
    Ok(())
}

/// A guest's descriptors mean nothing to a program outside, and it gets none.
#[test]
fn no_descriptor_goes_to_a_program_outside() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let listener = UnixListener::bind(folder.path().join("s"))?;
    let mut running = between(folder.path()).args([guest_tests::PASS_BETWEEN, "send"]).start()?;
    running.wait_for_stdout("EPERM")?;
    let (mut life, _) = listener.accept()?;
    let (mut stream, _) = listener.accept()?;
    for stream in [&mut life, &mut stream] {
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        ensure!(stream.read(&mut [0; 8])? == 0, "nothing was sent");
    }
    let finished = running.finish()?.expect_code(0)?;
    let lines = finished.stderr_lines_with("sock_send_msg");
    let line = lines.first().context("no line")?;
    ensure!(line.contains("the other end of the Unix socket is not of this service"), "{line}");
    Ok(())
}

/// Sockets that are on their way over themselves, which nobody can receive, go with their instance.
#[test]
pub(crate) fn pass_cycles() -> Result<()> {
    let flags = ["--per-connection", "127.0.0.1:0", guest_tests::PASS_CYCLES];
    let mut running = run().args(flags).start()?;
    let addr = running.listening()?;
    let serve = || {
        let mut client = TcpStream::connect(addr)?;
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer)?;
        ensure!(answer == b"passed\n", "{answer:?}");
        Ok(())
    };
    serve()?;
    for _ in 0..20 {
        serve()?;
    }
    // Each has left three dozen, if they do not go.
    let deadline = Instant::now() + WAIT_TIMEOUT;
    while running.descriptors()? > 150 {
        ensure!(Instant::now() < deadline, "{} descriptors", running.descriptors()?);
        std::thread::sleep(Duration::from_millis(20));
    }
    running.stop().map(drop)
}

/// A trace shows how many went, and how many came.
#[test]
fn a_trace_shows_what_was_passed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = granted(&folder).args(["--trace", guest_tests::PASS_DESCRIPTORS]).succeed()?;
    for line in ["sock_send_msg(", "sock_recv_msg("] {
        let lines = finished.stderr_lines_with(line);
        ensure!(lines.iter().any(|line| line.contains(" passed=7 ")), "{lines:#?}");
    }
    Ok(())
}
