//! The rules of listening, one test a rule and more where a rule has sides.
//!
//! The first line above each test is a row of the README's table.

use super::{run, run_on_loopback};
use anyhow::{Context, Result, ensure};
use guest_tests::{Finished, HttpClient, Running, Wasock};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a connect may take that is to fail: less than the second after which
/// the client's kernel tries again.
const REFUSED_AFTER: Duration = Duration::from_millis(400);

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs one rule of the program that checks rules from inside.
fn holds(rule: &str) -> Result<Finished> {
    let folder = tempfile::tempdir()?;
    run_on_loopback()
        .arg("--dir")
        .arg(format!("{}::/", folder.path().display()))
        .args([guest_tests::LISTEN_RULES, rule])
        .succeed()?
        .expect_stdout("holds\n")
}

/// A guest that listens and does what it is told.
struct Listener {
    running: Running,
    addr: SocketAddr,
    told: usize,
}

impl Listener {
    fn start(backlog: u32) -> Result<Self> {
        Self::start_on(run_on_loopback(), "127.0.0.1:0", backlog, |wasock| wasock)
    }

    fn start_on(
        wasock: Wasock,
        addr: &str,
        backlog: u32,
        last: impl FnOnce(Wasock) -> Wasock,
    ) -> Result<Self> {
        let wasock = wasock.with_stdin().args([guest_tests::LISTENER, addr, &backlog.to_string()]);
        let mut running = last(wasock).start()?;
        let addr = running.listening()?;
        Ok(Self { running, addr, told: 0 })
    }

    fn tell(&mut self, line: &str) -> Result<String> {
        self.begin(line)?;
        self.answer()
    }

    /// Tells without waiting for the answer.
    fn begin(&mut self, line: &str) -> Result<()> {
        self.running.write_stdin(format!("{line}\n").as_bytes())
    }

    fn answer(&mut self) -> Result<String> {
        let prefix = format!("answer {}: ", self.told);
        self.told += 1;
        let line = self.running.wait_for_stdout(&prefix)?;
        Ok(line.trim_start_matches(&prefix).to_owned())
    }

    fn expect(&mut self, line: &str, expected: &str) -> Result<()> {
        let answer = self.tell(line)?;
        ensure!(answer == expected, "{line}: {answer}, not {expected}");
        Ok(())
    }

    /// Connects until nobody is let in any more.
    fn fill(&self) -> Result<Vec<TcpStream>> {
        let mut waiting = Vec::new();
        while waiting.len() < 100 {
            match TcpStream::connect_timeout(&self.addr, REFUSED_AFTER) {
                Ok(stream) => waiting.push(stream),
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(waiting),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(waiting)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// The next client that comes in is served.
    fn still_serves(&mut self) -> Result<()> {
        let mut client = self.connect()?;
        self.expect("accept_waiting", &client.local_addr()?.to_string())?;
        client.write_all(b"hello")?;
        self.expect("read", "hello")?;
        self.expect("close", "done")?;
        ensure!(client.read(&mut [0; 4])? == 0, "no end");
        Ok(())
    }
}

/// Rule 1: a descriptor that is closed, was never open or is negative is EBADF.
#[test]
fn bad_descriptor() -> Result<()> {
    holds("bad_descriptor").map(drop)
}

/// Rule 2: stdio, a folder and a file are ENOTSOCK.
#[test]
fn not_a_socket() -> Result<()> {
    holds("not_a_socket").map(drop)
}

/// Rule 3: without the right to listen it is ENOTCAPABLE, for that descriptor alone.
#[test]
fn without_the_right() -> Result<()> {
    holds("without_the_right").map(drop)
}

/// Rule 4: a datagram socket is ENOTSUP.
#[test]
fn datagram() -> Result<()> {
    holds("datagram").map(drop)
}

/// Rule 6: what the policy refuses is EACCES, and the operator reads which flag would allow it.
#[test]
fn refused_by_the_policy() -> Result<()> {
    let is_told = |finished: &Finished, call: &str, addr: &str| {
        let lines = finished.stderr_lines_with("wasock: denied");
        let is_whole = |line: &&str| {
            let rule = line.strip_prefix(&format!("wasock: denied {call} of {addr}: "));
            let rule = rule.and_then(|rest| rest.strip_suffix(&format!("; allow it with --listen {addr}")));
            rule.is_some_and(|rule| rule.contains(' '))
        };
        lines.len() == 1 && lines.iter().all(is_whole)
    };
    let finished = run().args([guest_tests::PORT_PROBE, "listen"]).succeed()?;
    ensure!(is_told(&finished, "sock_listen", "0.0.0.0:10275"), "{finished}");
    let finished = run().args([guest_tests::LISTENER, "127.0.0.1:0", "1"]).finish()?.expect_code(1)?;
    ensure!(is_told(&finished, "sock_bind", "127.0.0.1:0"), "{finished}");
    finished.expect_stderr("EACCES").map(drop)
}

/// Rule 7: an address that was taken between bind and listen is EADDRINUSE, and the operator reads it.
#[test]
fn taken_after_bind() -> Result<()> {
    let finished = holds("taken_after_bind")?;
    let lines = finished.stderr_lines_with("EADDRINUSE");
    ensure!(lines.len() == 1, "told {} times\n{finished}", lines.len());
    finished.expect_stderr("sock_listen of 127.0.0.1:").map(drop)
}

/// Rule 8: a full table of the guest is EMFILE, a host without descriptors ENFILE.
#[test]
fn out_of_descriptors() -> Result<()> {
    // 0 to 2, and the listener.
    let limited = run_on_loopback().args(["--max-fds", "10"]);
    let mut listener = Listener::start_on(limited, "127.0.0.1:0", 4, |wasock| wasock)?;
    listener.expect("open 1000", "6 then EMFILE")?;
    let mut listener =
        Listener::start_on(run_on_loopback(), "127.0.0.1:0", 4, |wasock| wasock.limit_descriptors(40))?;
    let answer = listener.tell("open 1000")?;
    ensure!(answer.ends_with("then ENFILE"), "{answer}");
    // Listening takes no descriptor.
    listener.expect("listen 8", "done")
}

/// Rule 9: the descriptor comes first, then its kind, rights, state, the policy, the operating system.
#[test]
fn order_of_errors() -> Result<()> {
    holds("order_of_errors").map(drop)
}

/// Rule 10: a listen that failed changes nothing: the socket binds, listens and carries data as before.
#[test]
fn failure_changes_nothing() -> Result<()> {
    holds("failure_changes_nothing").map(drop)
}

/// Rule 11: it listens until the last duplicate is closed.
#[test]
fn last_duplicate() -> Result<()> {
    holds("last_duplicate").map(drop)
}

/// Rule 11: it listens until the guest ends.
#[test]
fn until_the_guest_ends() -> Result<()> {
    let listener = Listener::start(4)?;
    let addr = listener.addr;
    listener.connect()?;
    listener.running.finish()?.expect_code(0)?;
    let refused = TcpStream::connect_timeout(&addr, PATIENCE).err().map(|error| error.kind());
    ensure!(refused == Some(ErrorKind::ConnectionRefused), "{refused:?}");
    Ok(())
}

/// Out of descriptors: nobody is lost, and all is well when one is free again.
fn accepts_again_later(mut listener: Listener, errno: &str) -> Result<()> {
    let answer = listener.tell("open 1000")?;
    ensure!(!answer.starts_with("0 "), "{answer}");
    let mut client = listener.connect()?;
    let before = listener.running.processor_time()?;
    for _ in 0..20 {
        listener.expect("accept", errno)?;
        listener.expect("accept_waiting", errno)?;
    }
    // The connection still waits, and waiting with a limit needs no descriptor.
    let answer = listener.tell("poll 1000")?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    std::thread::sleep(Duration::from_secs(1));
    let used = listener.running.processor_time()? - before;
    ensure!(used < Duration::from_millis(500), "{used:?} of processor time");

    listener.expect("give_back", "done")?;
    listener.expect("accept", &client.local_addr()?.to_string())?;
    client.write_all(b"patience")?;
    listener.expect("read", "patience")?;
    // The next one meets a full table again, and waits in turn.
    let client = listener.connect()?;
    listener.expect("accept", errno)?;
    listener.expect("close", "done")?;
    listener.expect("accept", &client.local_addr()?.to_string())
}

/// Rule 12: with a full table of the guest accept is EMFILE, loses nobody, and works again later.
#[test]
fn accept_with_a_full_table() -> Result<()> {
    let limited = run_on_loopback().args(["--max-fds", "10"]);
    accepts_again_later(Listener::start_on(limited, "127.0.0.1:0", 4, |wasock| wasock)?, "EMFILE")
}

/// Rule 12: on a host without descriptors accept is ENFILE, loses nobody, and works again later.
#[test]
fn accept_without_host_descriptors() -> Result<()> {
    let limit = |wasock: Wasock| wasock.limit_descriptors(40);
    accepts_again_later(Listener::start_on(run_on_loopback(), "127.0.0.1:0", 4, limit)?, "ENFILE")
}

/// Rule 12: a poll with a limit needs no descriptor of the host.
#[test]
fn poll_without_host_descriptors() -> Result<()> {
    let limit = |wasock: Wasock| wasock.limit_descriptors(40);
    let mut listener = Listener::start_on(run_on_loopback(), "127.0.0.1:0", 4, limit)?;
    listener.tell("open 1000")?;
    let answer = listener.tell("poll 50")?;
    ensure!(answer.starts_with("0 ready after "), "{answer}");
    Ok(())
}

/// Rule 12: a server out of descriptors serves the clients that it has, and rests.
#[test]
fn server_without_host_descriptors() -> Result<()> {
    let mut server =
        run_on_loopback().args([guest_tests::HTTP_SERVER, "127.0.0.1:0"]).limit_descriptors(40).start()?;
    let addr = server.listening()?;
    let mut first = HttpClient::connect(addr)?;
    ensure!(first.get("/")?.status == 200, "the first");
    let mut others = Vec::new();
    for _ in 0..60 {
        others.push(HttpClient::connect(addr)?);
    }
    ensure!(first.get("/")?.status == 200, "the first, again");
    let before = server.processor_time()?;
    std::thread::sleep(Duration::from_secs(2));
    let used = server.processor_time()? - before;
    ensure!(used < Duration::from_millis(600), "{used:?} of processor time");
    // Everybody is served in turn, as those before him leave.
    for mut client in others {
        ensure!(client.get("/")?.status == 200, "one that waited");
    }
    server.stop().map(drop)
}

/// Rule 13: a blocking accept waits as long as it takes.
#[test]
fn accept_waits() -> Result<()> {
    let mut listener = Listener::start(4)?;
    listener.begin("accept_waiting")?;
    let before = listener.running.processor_time()?;
    std::thread::sleep(Duration::from_millis(700));
    ensure!(!listener.running.stdout().contains("answer"), "it did not wait");
    let used = listener.running.processor_time()? - before;
    ensure!(used < Duration::from_millis(300), "{used:?} of processor time");
    let client = listener.connect()?;
    let answer = listener.answer()?;
    ensure!(answer == client.local_addr()?.to_string(), "{answer}");
    Ok(())
}

/// Rule 13: a timeout ends a blocking accept with EAGAIN, and no sooner.
#[test]
fn accept_timeout() -> Result<()> {
    holds("accept_timeout").map(drop)
}

/// Rule 14: accept by state and kind, and with nothing waiting; the flag of the descriptor and of the call.
#[test]
fn accept_states_and_kinds() -> Result<()> {
    holds("accept_states").map(drop)
}

/// Rule 15: a connection that was reset while it waited is passed over or known as dead.
#[test]
fn reset_while_waiting() -> Result<()> {
    let mut listener = Listener::start(16)?;
    for _ in 0..10 {
        HttpClient::connect(listener.addr)?.reset()?;
    }
    let mut live = listener.connect()?;
    live.write_all(b"alive")?;
    let local = live.local_addr()?.to_string();
    loop {
        // The listener is asked as often as there are connections, at most.
        ensure!(listener.told <= 30, "the live one is lost");
        let answer = listener.tell("accept")?;
        if answer == local {
            break;
        }
        if answer == "ECONNABORTED" {
            continue;
        }
        let _peer: SocketAddr = answer.parse().with_context(|| answer.clone())?;
        let answer = listener.tell("read")?;
        ensure!(answer == "ECONNRESET", "a dead connection: {answer}");
        listener.expect("close", "done")?;
    }
    listener.expect("read", "alive")?;
    listener.still_serves()
}

/// Rule 16: an accepted socket knows both its addresses, also after the peer reset it.
#[test]
fn addresses_of_the_accepted() -> Result<()> {
    let mut listener = Listener::start(4)?;
    let client = HttpClient::connect(listener.addr)?;
    let peer = listener.tell("accept_waiting")?;
    ensure!(peer.parse::<SocketAddr>()?.ip() == listener.addr.ip(), "{peer}");
    let both = format!("{peer} {}", listener.addr);
    listener.expect("addresses", &both)?;
    client.reset()?;
    listener.expect("read", "ECONNRESET")?;
    listener.expect("addresses", &both)?;

    // One that was reset before it was accepted.
    HttpClient::connect(listener.addr)?.reset()?;
    let peer = listener.tell("accept")?;
    if peer != "ECONNABORTED" && peer != "EAGAIN" {
        listener.expect("addresses", &format!("{peer} {}", listener.addr))?;
    }
    listener.still_serves()
}

/// Rule 17: polling tells of a waiting connection as often as it is asked, and consumes nothing.
#[test]
fn polling_consumes_nothing() -> Result<()> {
    holds("polling_consumes_nothing").map(drop)
}

/// Rule 17: a connection that comes ends a poll that waits.
#[test]
fn poll_waits_for_a_connection() -> Result<()> {
    let mut listener = Listener::start(4)?;
    listener.begin("poll 15000")?;
    std::thread::sleep(Duration::from_millis(300));
    ensure!(!listener.running.stdout().contains("answer"), "it did not wait");
    let client = listener.connect()?;
    let answer = listener.answer()?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    listener.expect("accept", &client.local_addr()?.to_string())
}

/// Rule 18: a connection that waits already when the guest begins to poll is told at once.
#[test]
fn already_waiting() -> Result<()> {
    let mut listener = Listener::start(4)?;
    let _client = listener.connect()?;
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    let answer = listener.tell("poll 15000")?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    ensure!(start.elapsed() < Duration::from_secs(10), "after {:?}", start.elapsed());
    Ok(())
}

/// Rule 19: a bind with port 0 tells guest and operator the same port, which is the real one.
#[test]
fn chosen_port() -> Result<()> {
    let mut listener = Listener::start(4)?;
    ensure!(listener.addr.port() != 0, "port 0");
    let addr = listener.addr.to_string();
    listener.expect("local", &addr)?;
    listener.still_serves()?;
    let lines = listener.running.stderr();
    ensure!(lines == format!("wasock: listening on {addr} (fd 3)\n"), "{lines}");
    Ok(())
}

/// Rule 20: a restart on the same address works at once, with old connections around.
#[test]
fn restart_at_once() -> Result<()> {
    let mut listener = Listener::start(4)?;
    let addr = listener.addr.to_string();
    let clients = [listener.connect()?, listener.connect()?];
    for client in &clients {
        listener.expect("accept", &client.local_addr()?.to_string())?;
    }
    // The host closes first: its side waits out the old packets, on this port.
    listener.running.finish()?.expect_code(0)?;
    let mut again = Listener::start_on(run_on_loopback(), &addr, 4, |wasock| wasock)?;
    ensure!(again.addr.to_string() == addr, "{}", again.addr);
    again.still_serves()
}

/// Rule 20: two live listeners on one address do not go, in one guest or in two.
#[test]
fn two_listeners() -> Result<()> {
    holds("two_listeners")?;
    let mut listener = Listener::start(4)?;
    run_on_loopback()
        .args([guest_tests::LISTENER, &listener.addr.to_string(), "4"])
        .finish()?
        .expect_code(1)?
        .expect_stderr("EADDRINUSE")?
        .expect_no_stderr("listening on")?;
    listener.still_serves()
}

/// Rule 20: two that both asked for port sharing share it.
#[test]
fn shared_port() -> Result<()> {
    holds("shared_port").map(drop)
}

/// A listener with this backlog holds so many connections.
fn holds_exactly(wasock: Wasock, backlog: u32, expected: usize) -> Result<()> {
    let listener = Listener::start_on(wasock, "127.0.0.1:0", backlog, |wasock| wasock)?;
    let waiting = listener.fill()?.len();
    ensure!(waiting == expected, "backlog {backlog}: {waiting} wait, not {expected}");
    Ok(())
}

/// Profile wasix: with a backlog of N exactly N connections wait.
#[test]
fn backlog_is_exact() -> Result<()> {
    for (backlog, expected) in [(1, 1), (2, 2), (5, 5), (16, 16)] {
        holds_exactly(run_on_loopback(), backlog, expected)?;
    }
    Ok(())
}

/// Profile wasix: a backlog of 0 means the minimum, 1.
#[test]
fn backlog_of_zero() -> Result<()> {
    holds_exactly(run_on_loopback(), 0, 1)
}

/// Profile wasix: a negative backlog means 0, and with it 1.
#[test]
fn negative_backlog() -> Result<()> {
    for backlog in [1 << 31, u32::MAX] {
        holds_exactly(run_on_loopback(), backlog, 1)?;
    }
    Ok(())
}

/// Profile wasix: a backlog above the maximum is the maximum, silently.
#[test]
fn backlog_above_the_maximum() -> Result<()> {
    for backlog in [3, 4, 128, 0x7fff_ffff] {
        holds_exactly(run_on_loopback().args(["--max-backlog", "3"]), backlog, 3)?;
    }
    Ok(())
}

/// Profile wasix: beyond the backlog the client's kernel tries again, and gets in when there is room.
#[test]
fn beyond_the_backlog() -> Result<()> {
    let mut listener = Listener::start(1)?;
    let waiting = listener.fill()?;
    ensure!(waiting.len() == 1, "{} wait", waiting.len());
    let addr = listener.addr;
    let late = std::thread::spawn(move || TcpStream::connect_timeout(&addr, PATIENCE));
    std::thread::sleep(Duration::from_millis(200));
    for client in &waiting {
        listener.expect("accept", &client.local_addr()?.to_string())?;
    }
    let late = late.join().ok().context("a panic")??;
    listener.expect("accept_waiting", &late.local_addr()?.to_string())
}

/// Profile wasix: listening again updates the backlog, up and down, and loses nobody.
#[test]
fn listen_again() -> Result<()> {
    let mut listener = Listener::start(1)?;
    let mut waiting = listener.fill()?;
    listener.expect("listen 4", "done")?;
    waiting.extend(listener.fill()?);
    ensure!(waiting.len() == 4, "{} wait", waiting.len());
    listener.expect("listen 2", "done")?;
    for client in &waiting {
        listener.expect("accept", &client.local_addr()?.to_string())?;
    }
    let now_waiting = listener.fill()?.len();
    ensure!(now_waiting == 2, "{now_waiting} wait");
    // It says where it listens once.
    ensure!(listener.running.stderr().lines().count() == 1, "{}", listener.running.stderr());
    Ok(())
}

/// Profile wasix: a socket without an address is EINVAL.
#[test]
fn unbound() -> Result<()> {
    holds("unbound").map(drop)
}

/// Profile wasix: a connected or connecting socket is EISCONN.
#[test]
fn connected_or_connecting() -> Result<()> {
    holds("connected_or_connecting").map(drop)
}
