//! Guests without an accept loop: the host calls their handlers.

use super::{run, run_on_loopback};
use anyhow::{Context, Result, bail, ensure};
use guest_tests::{Finished, Running, Wasock};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A client of `event_server`: a line there, a line back.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(addr: SocketAddr) -> Result<Self> {
        Self::of(TcpStream::connect_timeout(&addr, PATIENCE)?)
    }

    fn of(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
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
        let deadline = Instant::now() + PATIENCE;
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

/// The server still serves, and ends as it is told to.
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
        stream.set_read_timeout(Some(PATIENCE))?;
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
    idle.set_read_timeout(Some(PATIENCE))?;
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

#[test]
fn a_listen_is_told_before_its_connections() -> Result<()> {
    let mut server = run_on_loopback().args([guest_tests::EVENT_SERVER, "127.0.0.1:0", "print"]).start()?;
    // The connection is there before the start has returned, perhaps.
    let mut client = Client::connect(server.listening()?)?;
    client.expect("echo hello", "hello")?;
    let answer = client.ask("listen")?;
    let (listener, addr) = answer.split_once(' ').context("no address")?;
    Client::connect(addr.parse()?)?.expect("echo hello", "hello")?;
    let stdout = server.stop()?.stdout;
    let told = events(&stdout, &["started", "listen", "accept"]);
    let expected = ["started", "listen 3 0", "accept 3 4", &format!("listen {listener} 0")];
    ensure!(told.iter().zip(expected).all(|(told, expected)| told == expected), "{told:?}");
    ensure!(told.get(4).is_some_and(|told| told.starts_with(&format!("accept {listener} "))), "{told:?}");
    Ok(())
}

#[test]
fn a_listen_that_fails_is_told() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    client.expect("listen_again 0 1", "ENOTSOCK")?;
    client.expect("listen_again 999 1", "EBADF")?;
    let unbound = client.ask("open")?;
    client.expect(&format!("listen_again {unbound} 1"), "EINVAL")?;
    client.expect("listen_again 3 7", "done")?;
    client.expect("listens", &format!("[(3, 0), (0, 57), (999, 8), ({unbound}, 28), (3, 0)]"))?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_listen_that_failed_in_the_start_is_told() -> Result<()> {
    let (_folder, path) = module(
        r#"(module
          (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
          (import "wasix_32v1" "sock_listen" (func $listen (param i32 i32) (result i32)))
          (import "wasix_32v1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "_start")
            (drop (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 16)))
            (drop (call $listen (i32.load (i32.const 16)) (i32.const 1))))
          (func (export "wasock_on_listen") (param i32 i32)
            (call $exit (i32.add (i32.mul (local.get 0) (i32.const 50)) (local.get 1)))))"#,
    )?;
    // Descriptor 3, and the number of EINVAL.
    run_on_loopback().arg(path).finish()?.expect_code(3 * 50 + 28).map(drop)
}

#[test]
fn a_guest_ends_when_nothing_can_happen() -> Result<()> {
    let (mut server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    // One has ended, and the guest keeps its descriptor.
    let mut kept = Client::connect(addr)?;
    let fd = kept.fd()?;
    client.expect(&format!("appetite {fd} 0"), "done")?;
    drop(kept);
    client.until(&format!("client {fd}"), "1 1")?;
    // Its listener gone, it goes on for the client that it has.
    client.expect("close 3", "done")?;
    ensure!(TcpStream::connect(addr).is_err(), "somebody listens");
    client.expect("echo hello", "hello")?;
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    drop(client);
    server.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_module_with_handlers_and_nothing_open_ends() -> Result<()> {
    for start in ["", r#"(func (export "_initialize"))"#, r#"(func (export "_start"))"#] {
        let handlers = r#"(func (export "wasock_on_accept") (param i32 i32))"#;
        let (_folder, path) = module(&format!("(module {start} {handlers})"))?;
        run().arg(path).succeed()?;
    }
    // A listener that no handler would hear of is nothing to wait for.
    let (_folder, path) = listening_module(r#"(func (export "wasock_on_readable") (param i32))"#)?;
    run_on_loopback().arg(path).succeed()?;
    let (_folder, path) = listening_module("")?;
    run_on_loopback().arg(path).succeed().map(drop)
}

#[test]
fn a_handler_of_another_type_is_refused() -> Result<()> {
    for wrong in [
        r#"(func (export "wasock_on_accept") (param i32))"#,
        r#"(func (export "wasock_on_listen") (param i32 i32) (result i32) (i32.const 0))"#,
        r#"(func (export "wasock_on_readable") (param i64))"#,
        r#"(global (export "wasock_on_closed") i32 (i32.const 0))"#,
    ] {
        let (_folder, path) = listening_module(wrong)?;
        let finished = run_on_loopback().arg(path).finish()?.expect_code(1)?.expect_one_line()?;
        let name = wrong.split('"').nth(1).context("no name")?;
        finished.expect_stderr(&format!("exports {name}, but not as the host calls it"))?;
    }
    Ok(())
}

#[test]
fn a_handler_ends_the_guest_with_its_code() -> Result<()> {
    let (server, addr) = start(run_on_loopback().args(["--on-trap", "restart"]))?;
    Client::connect(addr)?.send(b"exit 7\n")?;
    server.finish()?.expect_code(7)?.expect_no_stderr("trapped").map(drop)
}

#[test]
fn a_trap_in_a_handler_stops_the_guest() -> Result<()> {
    for (line, backtrace) in [("trap", "wasock_on_readable"), ("trap_at accept", "wasock_on_accept")] {
        let (server, addr) = start(run_on_loopback())?;
        let mut client = Client::connect(addr)?;
        client.send(format!("{line}\n").as_bytes())?;
        if line == "trap" {
            client.expect_reset()?;
        } else {
            client.answer()?;
            Client::expect_reset_of_the_next(addr)?;
        }
        server.finish()?.expect_code(134)?.expect_stderr("the guest trapped")?.expect_stderr(backtrace)?;
    }
    Ok(())
}

/// Where the guest listens after it was restarted `times` times.
fn listening_anew(server: &Running, times: usize) -> Result<SocketAddr> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stderr = server.stderr();
        let after = stderr.split("starts anew").nth(times).unwrap_or_default();
        if let Some((_, line)) = after.split_once("listening on ")
            && let Some((addr, _)) = line.split_once(' ')
        {
            return Ok(addr.parse()?);
        }
        ensure!(Instant::now() < deadline, "it does not listen anew:\n{stderr}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_trap_in_a_handler_restarts_the_guest() -> Result<()> {
    let (server, first) = start(run_on_loopback().args(["--on-trap", "restart"]))?;
    let mut addr = first;
    for (round, handler) in ["readable", "accept", "closed", "listen"].into_iter().enumerate() {
        let mut other = Client::connect(addr)?;
        other.expect("echo hello", "hello")?;
        let mut client = Client::connect(addr)?;
        client.expect(&format!("trap_at {handler}"), "done")?;
        // Whatever comes next.
        match handler {
            "accept" => Client::expect_reset_of_the_next(addr)?,
            "readable" => {
                client.send(b"echo hello\n")?;
                client.expect_reset()?;
            }
            "closed" => client.stream.get_ref().shutdown(Shutdown::Write)?,
            _ => client.send(b"listen\n")?,
        }
        let next = listening_anew(&server, round + 1)?;
        // All that was open is closed.
        other.expect_end()?;
        ensure!(TcpStream::connect(addr).is_err(), "somebody listens on {addr}");
        addr = next;
        let mut client = Client::connect(addr)?;
        client.expect("counts", "1 0 1")?;
        client.expect("self", "4")?;
    }
    let finished = lives_on(server, addr)?;
    let restarts = finished.stderr_lines_with("wasock: the guest trapped and starts anew: ").len();
    ensure!(restarts == 4, "{restarts} restarts\n{finished}");
    ensure!(finished.stderr.contains("wasock_on_closed"), "no backtrace\n{finished}");
    ensure!(events(&finished.stdout, &["started"]).len() == 5, "{finished}");
    Ok(())
}

#[test]
fn a_trap_in_the_start_stops_the_guest() -> Result<()> {
    let restart = || run_on_loopback().args(["--on-trap", "restart"]);
    let finished = restart().args([guest_tests::EVENT_SERVER, "trap"]).finish()?.expect_code(134)?;
    finished.expect_no_stderr("starts anew")?;
    // What the start did is told without a client: it would trap again and again.
    let (_folder, path) = listening_module(
        r#"(func (export "wasock_on_accept") (param i32 i32))
           (func (export "wasock_on_listen") (param i32 i32) unreachable)"#,
    )?;
    restart().arg(path).finish()?.expect_code(134)?.expect_no_stderr("starts anew").map(drop)
}

#[test]
fn a_trap_of_an_unknown_name_is_no_choice() -> Result<()> {
    let finished = run().args(["--on-trap", "ignore", guest_tests::EVENT_ECHO]).finish()?;
    finished.expect_code(2)?.expect_one_line()?.expect_stderr("expected stop or restart").map(drop)
}

#[test]
fn a_slow_handler_makes_others_wait_and_loses_nothing() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut slow = Client::connect(addr)?;
    let mut other = Client::connect(addr)?;
    other.expect("echo hello", "hello")?;
    slow.send(b"slow 300\n")?;
    let mut late = Client::connect(addr)?;
    late.send(b"echo late\n")?;
    other.send(b"echo other\n")?;
    ensure!(other.answer()? == "other" && late.answer()? == "late", "another answer");
    ensure!(slow.answer()? == "done", "another answer");
    lives_on(server, addr).map(drop)
}

#[test]
fn a_signal_ends_a_handler() -> Result<()> {
    for line in ["spin", "slow 60000"] {
        let (server, addr) = start(run_on_loopback().args(["--on-trap", "restart"]))?;
        let mut client = Client::connect(addr)?;
        // Once it is told of, the handler runs.
        client.send(b"echo hello\n")?;
        client.answer()?;
        client.send(format!("{line}\n").as_bytes())?;
        let mut server = server;
        server.wait_for_stdout("readable 4")?;
        server.stop()?.expect_no_stderr("trapped")?;
    }
    Ok(())
}

#[test]
fn a_handler_closes_another_connection() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let (mut client, mut other) = (Client::connect(addr)?, Client::connect(addr)?);
    let fd = other.fd()?;
    client.expect(&format!("close {fd}"), "done")?;
    other.expect_end()?;
    // The next one has that number; nothing of the old one is told of it.
    let mut next = Client::connect(addr)?;
    ensure!(next.fd()? == fd, "another number");
    next.expect(&format!("client {fd}"), "2 0")?;
    client.expect("counts", "3 0 2")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_number_that_stands_for_something_else_is_not_told_of() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let (mut client, mut other) = (Client::connect(addr)?, Client::connect(addr)?);
    let fd = other.fd()?;
    client.expect(&format!("replace {fd}"), &fd)?;
    other.expect_end()?;
    drop(other);
    client.expect("echo hello", "hello")?;
    client.expect(&format!("client {fd}"), "1 0")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_number_that_stands_for_another_connection_tells_of_that() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let (mut client, mut other) = (Client::connect(addr)?, Client::connect(addr)?);
    let fd = other.fd()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    client.expect(&format!("reconnect {fd} {}", listener.local_addr()?.port()), &fd)?;
    other.expect_end()?;
    let mut far = Client::of(listener.accept()?.0)?;
    far.expect("self", &fd)?;
    drop(far);
    client.until("counts", "2 1 1")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_trap_closes_no_other_thing_at_that_number() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let fd = client.fd()?;
    // Two lines at once: the second one is obeyed after the number has changed.
    client.send(format!("replace {fd}\ntrap\n").as_bytes())?;
    client.expect_end()?;
    server.finish()?.expect_code(134).map(drop)
}

#[test]
fn a_handler_opens_and_closes_a_listener() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let answer = client.ask("listen")?;
    let (listener, second) = answer.split_once(' ').context("no address")?;
    let second: SocketAddr = second.parse()?;
    let mut other = Client::connect(second)?;
    other.expect("echo hello", "hello")?;
    client.expect(&format!("close {listener}"), "done")?;
    ensure!(TcpStream::connect(second).is_err(), "somebody listens");
    other.expect("echo hello", "hello")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_duplicate_is_told_of_once() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let mut other = Client::connect(addr)?;
    let fd = other.fd()?;
    client.expect(&format!("appetite {fd} 0"), "done")?;
    other.send(b"echo ")?;
    client.until(&format!("client {fd}"), "2 0")?;
    let copy = client.ask(&format!("dup {fd}"))?;
    // What was told of is not told of again for it.
    for _ in 0..20 {
        client.expect("echo hello", "hello")?;
    }
    client.expect(&format!("client {fd}"), "2 0")?;
    client.expect(&format!("appetite {fd} 4096"), "done")?;
    other.expect("twice", "twice")?;
    other.expect("self", &fd)?;
    client.expect(&format!("client {copy}"), "unknown")?;
    // The older number gone, the other one stands for the connection.
    client.expect(&format!("close {fd}"), "done")?;
    other.expect("self", &copy)?;
    // A listener's duplicate, likewise.
    let listener = client.ask("dup 3")?;
    client.expect("close 3", "done")?;
    let late = Client::connect(addr)?.fd()?;
    let finished = lives_on(server, addr)?;
    let told = events(&finished.stdout, &["accept"]);
    ensure!(told.contains(&format!("accept {listener} {late}")), "{told:?}");
    Ok(())
}

#[test]
fn a_connection_that_the_guest_made_is_watched() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for verb in ["connect", "connect_later"] {
        let fd = client.ask(&format!("{verb} {}", listener.local_addr()?.port()))?;
        let fd = fd.split(' ').next().unwrap_or_default();
        let mut far = Client::of(listener.accept()?.0)?;
        far.expect("self", fd)?;
        drop(far);
        client.until(&format!("client {fd}"), "unknown")?;
    }
    lives_on(server, addr).map(drop)
}

#[test]
fn an_attempt_to_connect_that_fails_is_told() -> Result<()> {
    let (mut server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let answer = client.ask(&format!("connect_later {nobody}"))?;
    if let Some((fd, errno)) = answer.split_once(' ') {
        ensure!(errno == "EINPROGRESS", "{answer}");
        server.wait_for_stdout(&format!("closed {fd}"))?;
        client.expect("counts", "1 1 1")?;
        let told = events(&server.stdout(), &["readable"]);
        ensure!(!told.contains(&format!("readable {fd}")), "{told:?}");
    }
    // One that fails at once is the caller's to know.
    client.expect(&format!("connect {nobody}"), "ECONNREFUSED")?;
    client.expect("counts", "1 1 1")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn data_that_is_left_is_told_of_again_when_more_comes() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let (mut client, mut other) = (Client::connect(addr)?, Client::connect(addr)?);
    let fd = other.fd()?;
    client.expect(&format!("appetite {fd} 0"), "done")?;
    for calls in 2..5 {
        other.send(b"more,")?;
        client.until(&format!("client {fd}"), &format!("{calls} 0"))?;
        // Others have their turns meanwhile, and it is not told again.
        for _ in 0..20 {
            client.expect("echo hello", "hello")?;
        }
        client.expect(&format!("client {fd}"), &format!("{calls} 0"))?;
    }
    // Another handler reads it.
    client.expect(&format!("read {fd}"), "more,more,more,")?;
    client.expect(&format!("client {fd}"), "4 0")?;
    other.send(b"x")?;
    client.until(&format!("client {fd}"), "5 0")?;
    // The end is told although that was never read, once, and the descriptor stays.
    drop(other);
    client.until(&format!("client {fd}"), "5 1")?;
    for _ in 0..20 {
        client.expect("echo hello", "hello")?;
    }
    client.expect(&format!("client {fd}"), "5 1")?;
    client.expect(&format!("read {fd}"), "x")?;
    client.expect(&format!("close {fd}"), "done")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_handler_that_reads_a_part_is_called_for_the_rest() -> Result<()> {
    let (mut server, addr) = start(run_on_loopback())?;
    let (mut client, mut other) = (Client::connect(addr)?, Client::connect(addr)?);
    let fd = other.fd()?;
    client.expect(&format!("appetite {fd} 3"), "done")?;
    other.send(b"0123456789")?;
    client.until(&format!("client {fd}"), "5 0")?;
    // All of it is read before the end is told.
    other.send(b"abcdefgh")?;
    drop(other);
    client.until("counts", "2 1 1")?;
    server.wait_for_stdout(&format!("closed {fd}"))?;
    let told = events(&server.stdout(), &["readable", "closed"]);
    let of_it: Vec<&str> = told.iter().filter_map(|told| told.strip_suffix(&format!(" {fd}"))).collect();
    let mut expected = vec!["readable"; 8];
    expected.push("closed");
    ensure!(of_it == expected, "{of_it:?}");
    lives_on(server, addr).map(drop)
}

#[test]
fn a_peer_that_ends_its_side_is_answered_first() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    client.send(b"echo last\n")?;
    client.stream.get_ref().shutdown(Shutdown::Write)?;
    ensure!(client.answer()? == "last", "another answer");
    client.expect_end()?;
    // Nothing said at all.
    let mut silent = Client::connect(addr)?;
    silent.stream.get_ref().shutdown(Shutdown::Write)?;
    silent.expect_end()?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_peer_that_resets_is_told_of() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut watcher = Client::connect(addr)?;
    for round in 1..=100 {
        let mut client = Client::connect(addr)?;
        match round % 4 {
            // Before, while or after it is accepted.
            0 => {}
            1 => client.send(b"echo hel")?,
            2 => client.expect("echo hello", "hello")?,
            _ => client.send(&b"echo hello\n".repeat(50))?,
        }
        client.reset()?;
    }
    // Those that were reset while they waited may not have been accepted.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counts = watcher.ask("counts")?;
        let counts: Vec<u32> = counts.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        if let [accepted, closed, 1] = counts.as_slice()
            && *accepted == closed + 1
        {
            break;
        }
        ensure!(Instant::now() < deadline, "{counts:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    lives_on(server, addr).map(drop)
}

#[test]
fn without_a_handler_for_it_the_end_is_readable() -> Result<()> {
    // Counts its calls, and ends with the count once a read answers 0 bytes.
    let (_folder, path) = listening_module(
        r#"(func (export "wasock_on_accept") (param i32 i32))
           (func (export "wasock_on_readable") (param i32)
             (i32.store (i32.const 44) (i32.add (i32.load (i32.const 44)) (i32.const 1)))
             (call $must (call $read (local.get 0) (i32.const 32) (i32.const 1) (i32.const 40)))
             (if (i32.eqz (i32.load (i32.const 40))) (then (call $exit (i32.load (i32.const 44))))))"#,
    )?;
    let mut server = run_on_loopback().arg(path).start()?;
    let mut client = TcpStream::connect(server.listening()?)?;
    // One and a half buffers: told twice, and the end is the third.
    client.write_all(&[1; 96])?;
    client.shutdown(Shutdown::Write)?;
    server.finish()?.expect_code(3).map(drop)
}

#[test]
fn the_end_is_told_to_a_guest_that_never_reads() -> Result<()> {
    let (_folder, path) = listening_module(
        r#"(func (export "wasock_on_accept") (param i32 i32))
           (func (export "wasock_on_closed") (param i32) (call $exit (local.get 0)))"#,
    )?;
    let mut server = run_on_loopback().arg(path).start()?;
    let mut client = TcpStream::connect(server.listening()?)?;
    client.write_all(b"unread")?;
    ensure!(server.is_running()?, "it ended too soon");
    drop(client);
    server.finish()?.expect_code(4).map(drop)
}

#[test]
fn connections_that_nobody_would_hear_of_are_only_accepted() -> Result<()> {
    let (_folder, path) = listening_module(
        r#"(func (export "wasock_on_accept") (param i32 i32)
             (i32.store (i32.const 44) (i32.add (i32.load (i32.const 44)) (i32.const 1)))
             (if (i32.eq (i32.load (i32.const 44)) (i32.const 3))
               (then (call $must (call $close (i32.load (i32.const 16)))))))"#,
    )?;
    let mut server = run_on_loopback().arg(path).start()?;
    let addr = server.listening()?;
    let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(addr)).collect::<Result<_, _>>()?;
    // The third one closes the listener; the connections are no reason to stay.
    server.finish()?.expect_code(0)?;
    drop(clients);
    Ok(())
}

fn open_descriptors(server: &Running) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/fd", server.id()))?.count())
}

#[test]
fn thousands_of_connections_at_once() -> Result<()> {
    const COUNT: usize = 2000;
    let (server, addr) = start(run_on_loopback().args(["--max-fds", "5000"]))?;
    let mut watcher = Client::connect(addr)?;
    watcher.expect("counts", "1 0 1")?;
    let before = open_descriptors(&server)?;
    let mut clients = (0..COUNT).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("echo {number}\n").as_bytes())?;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        ensure!(client.answer()? == number.to_string(), "another answer to {number}");
    }
    // The same ones again, one after the other.
    for client in clients.iter_mut().rev() {
        client.expect("echo hello", "hello")?;
    }
    watcher.expect("counts", &format!("{0} 0 {0}", COUNT + 1))?;
    drop(clients);
    watcher.until("counts", &format!("{} {COUNT} 1", COUNT + 1))?;
    let after = open_descriptors(&server)?;
    // One that the start needed for a moment may be gone by now.
    ensure!(after <= before, "{before} descriptors before, {after} after");
    lives_on(server, addr).map(drop)
}

#[test]
fn thousands_of_connections_in_sequence() -> Result<()> {
    const COUNT: usize = 5000;
    let (server, addr) = start(run_on_loopback())?;
    let mut watcher = Client::connect(addr)?;
    watcher.expect("counts", "1 0 1")?;
    let before = open_descriptors(&server)?;
    for number in 0..COUNT {
        let mut client = Client::connect(addr)?;
        match number % 3 {
            0 => client.expect("echo hello", "hello")?,
            1 => client.send(b"echo hello\n")?,
            _ => {}
        }
    }
    watcher.until("counts", &format!("{} {COUNT} 1", COUNT + 1))?;
    let after = open_descriptors(&server)?;
    // One that the start needed for a moment may be gone by now.
    ensure!(after <= before, "{before} descriptors before, {after} after");
    lives_on(server, addr).map(drop)
}

/// Thirty clients of a server that has room for ten: each is served once others leave.
fn served_in_turn(server: Running, addr: SocketAddr, room: usize) -> Result<()> {
    let mut clients = Vec::new();
    for number in 0..30 {
        let mut client = Client::connect(addr)?;
        client.send(format!("echo {number}\n").as_bytes())?;
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().take(room).enumerate() {
        ensure!(client.answer()? == number.to_string(), "another answer to {number}");
    }
    // Nothing spins while the others wait.
    let before = server.processor_time()?;
    std::thread::sleep(Duration::from_secs(1));
    let used = server.processor_time()? - before;
    ensure!(used < Duration::from_millis(100), "{used:?} of processor time");
    let mut waiting = clients.split_off(room);
    drop(clients);
    while !waiting.is_empty() {
        for (number, mut client) in (30 - waiting.len()..).zip(waiting.drain(..room.min(waiting.len()))) {
            ensure!(client.answer()? == number.to_string(), "another answer to {number}");
        }
    }
    lives_on(server, addr).map(drop)
}

#[test]
fn a_full_table_makes_connections_wait() -> Result<()> {
    // 0 to 2 and the listener leave ten.
    let (server, addr) = start(run_on_loopback().args(["--max-fds", "14"]))?;
    served_in_turn(server, addr, 10)
}

#[test]
fn a_full_table_makes_connections_wait_in_a_queue_of_the_host() -> Result<()> {
    let wasock = run_on_loopback().args(["--max-fds", "14", "--listen-profile", "winsock"]);
    let (server, addr) = start(wasock)?;
    served_in_turn(server, addr, 10)
}

#[test]
fn a_limit_makes_connections_wait() -> Result<()> {
    for profile in ["wasix", "winsock"] {
        for limit in ["--max-connections", "--max-connections-per-listener"] {
            let (server, addr) = start(run_on_loopback().args(["--listen-profile", profile, limit, "10"]))?;
            served_in_turn(server, addr, 10)?;
        }
    }
    Ok(())
}

#[test]
fn a_queue_of_the_host_hands_over_all_that_come() -> Result<()> {
    let (server, addr) = start(run_on_loopback().args(["--listen-profile", "winsock"]))?;
    let mut watcher = Client::connect(addr)?;
    for round in 1..=10 {
        let mut clients = (0..50).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
        for client in clients.iter_mut().rev() {
            client.expect("echo hello", "hello")?;
        }
        drop(clients);
        watcher.until("counts", &format!("{} {} 1", 50 * round + 1, 50 * round))?;
    }
    lives_on(server, addr).map(drop)
}

/// Lets the host have as many descriptors as it has now, and `spare` more.
fn limit_descriptors(server: &Running, spare: u64) -> Result<()> {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let pid = Pid::from_raw(i32::try_from(server.id())?).context("no process id")?;
    let current = u64::try_from(open_descriptors(server)?)? + spare;
    // What this process may have at most, its children may have.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(current), maximum })?;
    Ok(())
}

/// A server on a host with `spare` descriptors.
fn start_with_spare_descriptors(spare: u64) -> Result<(Running, SocketAddr)> {
    let (server, addr) = start(run_on_loopback())?;
    // Whatever the start needed for a moment is given back by then.
    Client::connect(addr)?.expect("echo hello", "hello")?;
    Client::connect(addr)?.until("counts", "2 1 1")?;
    limit_descriptors(&server, spare)?;
    Ok((server, addr))
}

#[test]
fn a_host_without_descriptors_makes_connections_wait() -> Result<()> {
    let (server, addr) = start_with_spare_descriptors(10)?;
    served_in_turn(server, addr, 10)
}

/// A descriptor that nobody told of is found as well.
#[test]
fn a_host_without_descriptors_tries_again() -> Result<()> {
    let (server, addr) = start_with_spare_descriptors(4)?;
    let mut clients = (0..8).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("echo {number}\n").as_bytes())?;
    }
    for (number, client) in clients.iter_mut().take(4).enumerate() {
        ensure!(client.answer()? == number.to_string(), "another answer to {number}");
    }
    limit_descriptors(&server, 100)?;
    for (number, client) in clients.iter_mut().enumerate().skip(4) {
        ensure!(client.answer()? == number.to_string(), "another answer to {number}");
    }
    lives_on(server, addr).map(drop)
}

#[test]
fn a_guest_without_events_uses_no_processor() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let mut idle = Vec::new();
    for number in 0..100 {
        let mut other = Client::connect(addr)?;
        let fd = other.fd()?;
        // Some have sent what nobody reads, some have ended what nobody closes.
        if number % 2 == 0 {
            client.expect(&format!("appetite {fd} 0"), "done")?;
            other.send(b"unread")?;
            client.until(&format!("client {fd}"), "2 0")?;
        }
        if number % 4 == 0 {
            other.stream.get_ref().shutdown(Shutdown::Write)?;
            client.until(&format!("client {fd}"), "2 1")?;
        }
        idle.push(other);
    }
    let before = server.processor_time()?;
    std::thread::sleep(Duration::from_secs(2));
    let used = server.processor_time()? - before;
    // One busy thread would take ten times as much, on half a processor.
    ensure!(used < Duration::from_millis(100), "{used:?} of processor time");
    lives_on(server, addr).map(drop)
}

#[test]
fn the_policy_is_asked_for_each_peer() -> Result<()> {
    let wasock = run().args(["--listen", "127.0.0.1:*", "--accept-from", "192.0.2.0/24"]);
    let (mut server, addr) = start(wasock)?;
    for _ in 0..3 {
        let answer = Client::connect(addr).and_then(|mut client| client.ask("echo hello"));
        ensure!(answer.is_err(), "a stranger was served: {answer:?}");
    }
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    let finished = server.stop()?.expect_stderr("--accept-from 127.0.0.1")?;
    ensure!(events(&finished.stdout, &["accept"]).is_empty(), "{finished}");
    Ok(())
}

#[test]
fn calls_of_handlers_are_traced() -> Result<()> {
    let (server, addr) = start(run_on_loopback().arg("--trace"))?;
    Client::connect(addr)?.expect("echo hello", "hello")?;
    server.stop()?.expect_stderr("sock_recv(fd=4, ")?.expect_stderr("sock_send(fd=4, ").map(drop)
}

#[test]
fn inspect_names_the_handlers() -> Result<()> {
    let finished = super::wasock().args(["inspect", guest_tests::EVENT_ECHO]).succeed()?;
    let handlers = "handlers of events: wasock_on_accept, wasock_on_readable, wasock_on_closed\n";
    finished.expect_stdout(handlers)?;
    let finished = super::wasock().args(["inspect", guest_tests::TRAP]).succeed()?;
    finished.expect_stdout("handlers of events: none\n").map(drop)
}
