//! Guests without an accept loop: the host calls their handlers.

mod capacity;
mod data;
mod life;
mod listens;
mod numbers;
mod traps;

use super::{run, run_on_loopback};
use anyhow::{Context, Result, bail, ensure};
use guest_tests::{Finished, Running, Wasock};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of `event_server`: a line there, a line back.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(addr: SocketAddr) -> Result<Self> {
        Self::of(TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)?)
    }

    fn of(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.set_write_timeout(Some(WAIT_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "an answer that ends early: {line:?}");
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.send(format!("{line}\n").as_bytes())?;
        self.answer().with_context(|| format!("no answer to {line:?}"))
    }

    fn expect(&mut self, line: &str, expected: &str) -> Result<()> {
        let answer = self.ask(line)?;
        ensure!(answer == expected, "{line:?} was answered {answer:?}, not {expected:?}");
        Ok(())
    }

    /// Asks until the answer is `expected`.
    fn until(&mut self, line: &str, expected: &str) -> Result<()> {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        loop {
            let answer = self.ask(line)?;
            if answer == expected {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{line:?} is answered {answer:?}, not {expected:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The number that the guest knows it by.
    fn fd(&mut self) -> Result<String> {
        self.ask("self")
    }

    /// Insists on the end of the connection.
    fn expect_end(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).context("no end")?;
        ensure!(rest.is_empty(), "{:?} before the end", String::from_utf8_lossy(&rest));
        Ok(())
    }

    fn expect_reset(&mut self) -> Result<()> {
        match self.stream.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            other => bail!("{other:?} instead of a reset"),
        }
    }

    /// Insists that the next connection sees a reset, which may be quicker than the rest
    /// of the connecting.
    fn expect_reset_of_the_next(addr: SocketAddr) -> Result<()> {
        match TcpStream::connect(addr) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            stream => Self::of(stream?)?.expect_reset(),
        }
    }

    fn reset(self) -> Result<()> {
        let stream = self.stream.into_inner();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(())
    }
}

fn start(wasock: Wasock) -> Result<(Running, SocketAddr)> {
    start_on(wasock, "127.0.0.1:0")
}

fn start_on(wasock: Wasock, addr: &str) -> Result<(Running, SocketAddr)> {
    let mut server = wasock.args([guest_tests::EVENT_SERVER, addr, "print"]).start()?;
    server.wait_for_stdout("started")?;
    let addr = server.listening()?;
    Ok((server, addr))
}

/// The server still serves, and ends when it is asked to.
fn lives_on(mut server: Running, addr: SocketAddr) -> Result<Finished> {
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    Client::connect(addr)?.expect("echo hello", "hello")?;
    server.stop()
}

/// The lines of standard output that begin with one of `names`.
fn events(stdout: &str, names: &[&str]) -> Vec<String> {
    let is_one = |line: &&str| names.iter().any(|name| line.split(' ').next() == Some(name));
    stdout.lines().filter(is_one).map(str::to_owned).collect()
}

/// A module in a file of its own, which is gone with the folder.
fn module(text: &str) -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("guest.wat");
    std::fs::write(&path, text)?;
    Ok((folder, path))
}

/// What the modules below begin with: a listener on a free port, made in `_start`.
fn listening_module(rest: &str) -> Result<(TempDir, PathBuf)> {
    module(&format!(
        r#"(module
          (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
          (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
          (import "wasix_32v1" "sock_listen" (func $listen (param i32 i32) (result i32)))
          (import "wasix_32v1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasix_32v1" "fd_close" (func $close (param i32) (result i32)))
          (import "wasix_32v1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "\01\00\00\00\7f\00\00\01")
          ;; 32: a vector of 64 bytes at 1024. 40: a count. 44: how many calls.
          (data (i32.const 32) "\00\04\00\00\40\00\00\00")
          (func $must (param i32) (if (local.get 0) (then unreachable)))
          (func $serve (export "_start")
            (call $must (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 16)))
            (call $must (call $bind (i32.load (i32.const 16)) (i32.const 0)))
            (call $must (call $listen (i32.load (i32.const 16)) (i32.const 4))))
          {rest})"#
    ))
}

#[test]
pub(crate) fn event_echo() -> Result<()> {
    let size = wat::parse_file(guest_tests::EVENT_ECHO)?.len();
    ensure!(size < 1000, "{size} bytes");
    let mut server = run().args(["--listen", "127.0.0.1:*", guest_tests::EVENT_ECHO]).start()?;
    let addr = server.listening()?;
    let mut idle = TcpStream::connect(addr)?;
    for _ in 0..4 {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        let message: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut reader = stream.try_clone()?;
        let reading = std::thread::spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).map(|_| back)
        });
        stream.write_all(&message)?;
        stream.shutdown(Shutdown::Write)?;
        let back = reading.join().ok().context("the reader panicked")??;
        ensure!(back == message, "{} bytes came back", back.len());
    }
    idle.set_read_timeout(Some(WAIT_TIMEOUT))?;
    idle.write_all(b"still here")?;
    let mut back = [0; 10];
    idle.read_exact(&mut back)?;
    ensure!(&back == b"still here", "{back:?} came back");
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    server.stop().map(drop)
}

#[test]
pub(crate) fn event_server() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    client.expect("echo one", "one")?;
    // Lines that come at once, and one that comes in pieces.
    client.send(b"echo two\necho three\necho ")?;
    ensure!([client.answer()?, client.answer()?] == ["two", "three"], "out of order");
    client.send(b"four\n")?;
    ensure!(client.answer()? == "four", "a line in pieces");
    let other = Client::connect(addr)?;
    client.until("counts", "2 0 2")?;
    drop(other);
    client.until("counts", "2 1 1")?;
    lives_on(server, addr).map(drop)
}
