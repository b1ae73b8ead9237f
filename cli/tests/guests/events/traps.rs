//! A handler that traps: what it takes with it, and what becomes of the guest.

use super::*;

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
    let deadline = Instant::now() + WAIT_TIMEOUT;
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
    let addr = first;
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
        // All that was open is closed, but for the listener: it listens at the same port.
        other.expect_end()?;
        ensure!(next == addr, "it listens on {next}, and did on {addr}");
        let mut client = Client::connect(addr)?;
        client.expect("counts", "1 0 1")?;
        client.expect("self", "4")?;
    }
    let finished = lives_on(server, addr)?;
    let restarts = finished.stderr_lines_with("wasock: the guest trapped and starts anew").len();
    ensure!(restarts == 4, "{restarts} restarts\n{finished}");
    ensure!(finished.stderr.contains("wasock_on_closed"), "no backtrace\n{finished}");
    ensure!(events(&finished.stdout, &["started"]).len() == 5, "{finished}");
    Ok(())
}

/// No client is refused while it starts anew, also in the delays of one that goes on trapping.
#[test]
fn a_restart_keeps_the_listeners_that_the_guest_opened() -> Result<()> {
    let (server, addr) = start(run_on_loopback().args(["--on-trap", "restart"]))?;
    for _ in 0..4 {
        let mut client = Client::connect(addr)?;
        client.send(b"trap\n")?;
        client.expect_reset()?;
        let mut waits = Client::connect(addr)?;
        waits.expect("echo hello", "hello")?;
    }
    lives_on(server, addr).map(drop)
}

#[test]
fn a_trap_in_the_start_stops_the_guest() -> Result<()> {
    let restart = || run_on_loopback().args(["--on-trap", "restart"]);
    let finished = restart().args([guest_tests::EVENT_SERVER, "trap"]).finish()?.expect_code(134)?;
    finished.expect_no_stderr("starts anew")?;
    // What the start did is reported without a client: it would trap again and again.
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
fn a_trap_closes_no_other_thing_at_that_number() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let fd = client.fd()?;
    // Two lines at once: the second one is obeyed after the number has changed.
    client.send(format!("replace {fd}\ntrap\n").as_bytes())?;
    client.expect_end()?;
    server.finish()?.expect_code(134).map(drop)
}

/// A client that makes the guest trap as soon as it is there keeps no processor busy, and in
/// the end has no instance to trap. Others wait in the queue meanwhile.
#[test]
fn a_server_that_goes_on_trapping_starts_after_longer_and_longer() -> Result<()> {
    let mut server = run()
        .args(["--on-trap", "restart", "--preopen-listen", "127.0.0.1:0", guest_tests::PREOPENED_EVENTS])
        .start()?;
    let addr = server.listening()?;
    for anew in ["anew: ", "anew in 100ms: ", "anew in 200ms: ", "anew in 400ms: "] {
        Client::connect(addr)?.send(b"\0")?;
        server.wait_for_stderr(&format!("wasock: the guest trapped and starts {anew}"))?;
        // It connected while no instance was there, and is served in its turn.
        let mut client = Client::connect(addr)?;
        client.send(b"hello")?;
        let mut answer = [0; 5];
        client.stream.read_exact(&mut answer)?;
        ensure!(&answer == b"hello", "{answer:?}");
    }
    Client::connect(addr)?.send(b"\0")?;
    let finished = server.finish()?.expect_code(134)?;
    let gave_up = "wasock: 5 instances in a row lived less than a second: the guest stays ended";
    finished.expect_stderr(gave_up)?.expect_stderr("wasock: the guest trapped: ").map(drop)
}

#[test]
fn l3_a_handler_that_takes_too_long_traps() -> Result<()> {
    let flags = ["--handler-timeout", "300ms", "--on-trap", "restart"];
    let (mut server, addr) = start(run_on_loopback().args(flags))?;
    // One that computes, and one that waits.
    for (round, computes) in [true, false].into_iter().enumerate() {
        let mut client = Client::connect(addr)?;
        let line = if computes { "spin\n".to_owned() } else { "slow 60000\n".to_owned() };
        client.send(line.as_bytes())?;
        client.expect_reset()?;
        server.wait_for_stderr("a handler of events has run for 300ms, as long as it may")?;
        ensure!(listening_anew(&server, round + 1)? == addr, "another address");
        Client::connect(addr)?.expect("echo hello", "hello")?;
    }
    lives_on(server, addr)?;
    let (server, addr) = start(run_on_loopback().args(["--handler-timeout", "300ms"]))?;
    let mut client = Client::connect(addr)?;
    client.send(b"spin\n")?;
    client.expect_reset()?;
    server.finish()?.expect_code(134)?.expect_stderr("(--handler-timeout)").map(drop)
}
