//! What holds in every profile, but for the rule about descriptors.

use super::*;
use rustix::process::Signal;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Instant;

/// Rule 1: a descriptor that is closed, was never open or is negative is EBADF.
pub(super) fn row_01_bad_descriptor(profile: Profile) -> Result<()> {
    holds(profile, "bad_descriptor").map(drop)
}

/// Rule 2: stdio, a folder, a file, a pipe, an event descriptor and an epoll are ENOTSOCK.
pub(super) fn row_02_not_a_socket(profile: Profile) -> Result<()> {
    holds(profile, "not_a_socket").map(drop)
}

/// Rule 3: without the right to listen it is ENOTCAPABLE, for that descriptor alone.
pub(super) fn row_03_without_the_right(profile: Profile) -> Result<()> {
    holds(profile, "without_the_right").map(drop)
}

/// Rule 4: a datagram socket is ENOTSUP.
pub(super) fn row_04_datagram(profile: Profile) -> Result<()> {
    holds(profile, "datagram").map(drop)
}

/// Rule 5: a SEQPACKET socket over AF_UNIX listens as a stream does, and keeps messages apart.
pub(super) fn row_05_seqpacket(profile: Profile) -> Result<()> {
    holds(profile, "seqpacket").map(drop)
}

/// Rule 6: what the policy refuses is EACCES, and the operator reads which flag would allow it.
pub(super) fn row_06_refused_by_the_policy(profile: Profile) -> Result<()> {
    let nothing_granted = || run().args(["--listen-profile", profile.name]);
    let is_told = |finished: &Finished, call: &str, addr: &str| {
        let lines = finished.stderr_lines_with("wasock: denied");
        let is_whole = |line: &&str| {
            let rule = line.strip_prefix(&format!("wasock: denied {call} of {addr}: "));
            let rule = rule.and_then(|rest| rest.strip_suffix(&format!("; allow it with --listen {addr}")));
            rule.is_some_and(|rule| rule.contains(' '))
        };
        lines.len() == 1 && lines.iter().all(is_whole)
    };
    let finished = nothing_granted().args([profile.programs.port_probe, "listen"]).succeed()?;
    ensure!(is_told(&finished, "sock_listen", "0.0.0.0:10275"), "{finished}");
    let listener = [profile.programs.listener, "127.0.0.1:0", "1"];
    let finished = nothing_granted().args(listener).finish()?.expect_code(1)?;
    ensure!(is_told(&finished, "sock_bind", "127.0.0.1:0"), "{finished}");
    finished.expect_stderr("EACCES").map(drop)
}

/// Rule 7: an address that was taken between bind and listen is EADDRINUSE, and the operator reads it.
pub(super) fn row_07_taken_after_bind(profile: Profile) -> Result<()> {
    let finished = holds(profile, "taken_after_bind")?;
    let lines = finished.stderr_lines_with("EADDRINUSE");
    ensure!(lines.len() == 1, "told {} times\n{finished}", lines.len());
    finished.expect_stderr("sock_listen of 127.0.0.1:").map(drop)
}

/// Rule 9: the descriptor comes first, then its kind, rights, state, the policy, the operating system.
pub(super) fn row_09_order_of_errors(profile: Profile) -> Result<()> {
    holds(profile, "order_of_errors").map(drop)
}

/// Rule 10: a listen that failed changes nothing: the socket binds, listens and carries data as before.
pub(super) fn row_10_failure_changes_nothing(profile: Profile) -> Result<()> {
    holds(profile, "failure_changes_nothing").map(drop)
}

/// Rule 11: it listens until the last duplicate is closed.
pub(super) fn row_11_last_duplicate(profile: Profile) -> Result<()> {
    holds(profile, "last_duplicate").map(drop)
}

/// Rule 11: it listens until the guest ends.
pub(super) fn row_11_until_the_guest_ends(profile: Profile) -> Result<()> {
    let listener = Listener::start(profile, 4)?;
    let addr = listener.addr;
    let mut client = listener.connect()?;
    listener.running.finish()?.expect_code(0)?;
    client.is_gone()?;
    let refused = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT).err().map(|error| error.kind());
    ensure!(refused == Some(ErrorKind::ConnectionRefused), "{refused:?}");
    Ok(())
}

/// Rule 13: a blocking accept waits as long as it takes.
pub(super) fn row_13_accept_waits(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 4)?;
    listener.begin("accept_waiting")?;
    listener.rests("accept waits")?;
    ensure!(!listener.running.stdout().contains("answer"), "it did not wait");
    let client = listener.connect()?;
    let answer = listener.answer()?;
    ensure!(answer == client.name()?, "{answer}");
    Ok(())
}

/// Rule 13: a timeout ends a blocking accept with EAGAIN, and no sooner.
pub(super) fn row_13_accept_timeout(profile: Profile) -> Result<()> {
    holds(profile, "accept_timeout")?;
    // A client that comes within the time is taken.
    let mut listener = Listener::start(profile, 4)?;
    listener.expect("accept_within 30", "EAGAIN")?;
    listener.begin("accept_within 15000")?;
    let client = listener.connect()?;
    let answer = listener.answer()?;
    ensure!(answer == client.name()?, "{answer}");
    Ok(())
}

/// Rule 13: a signal that the guest handles ends a blocking accept with EINTR, and loses no connection.
pub(super) fn row_13_accept_intr(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 4)?;
    listener.expect("handle_signals", "done")?;
    for round in 0..3 {
        listener.begin("accept_waiting")?;
        let prefix = format!("answer {}: ", listener.told);
        // Again and again: the first one may come before the accept.
        let start = Instant::now();
        while !listener.running.stdout().contains(&prefix) {
            ensure!(start.elapsed() < WAIT_TIMEOUT, "it waits on");
            listener.running.signal(Signal::HUP)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        let answer = listener.answer()?;
        ensure!(answer == "EINTR", "{answer}");
        let handled: u32 = listener.tell("handled")?.parse()?;
        ensure!(handled > round, "no handler ran");
        // A client that connects then is there for the next one.
        let client = listener.connect()?;
        listener.expect("accept_waiting", &client.name()?)?;
    }
    listener.still_serves()
}

/// Rule 14: accept by state and kind, and with nothing waiting; the flag of the descriptor and of the call.
pub(super) fn row_14_accept_states_and_kinds(profile: Profile) -> Result<()> {
    holds(profile, "accept_states").map(drop)
}

/// Rule 15: a connection that was reset while it waited is passed over or known as dead.
pub(super) fn row_15_reset_while_waiting(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 16)?;
    for _ in 0..10 {
        listener.connect()?.reset()?;
    }
    let mut live = listener.connect()?;
    live.say("alive")?;
    let name = live.name()?;
    loop {
        // The listener is asked as often as there are connections, at most.
        ensure!(listener.told <= 30, "the live one is lost");
        let answer = listener.tell("accept")?;
        if answer == name {
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
pub(super) fn row_16_addresses_of_the_accepted(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 4)?;
    let client = listener.connect()?;
    let peer = client.name()?;
    listener.expect("accept_waiting", &peer)?;
    let both = format!("{peer} {}", listener.addr);
    listener.expect("addresses", &both)?;
    client.reset()?;
    listener.expect("read", "ECONNRESET")?;
    listener.expect("addresses", &both)?;

    // One that was reset before it was accepted.
    listener.connect()?.reset()?;
    let peer = listener.tell("accept")?;
    if peer != "ECONNABORTED" && peer != "EAGAIN" {
        listener.expect("addresses", &format!("{peer} {}", listener.addr))?;
    }
    listener.still_serves()
}

/// Rule 17: every poll reports a pending connection, and consumes nothing.
pub(super) fn row_17_polling_consumes_nothing(profile: Profile) -> Result<()> {
    holds(profile, "polling_consumes_nothing").map(drop)
}

/// Rule 17: a connection that comes ends a poll that waits.
pub(super) fn row_17_poll_waits_for_a_connection(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 4)?;
    listener.begin("poll 15000")?;
    std::thread::sleep(Duration::from_millis(200));
    ensure!(!listener.running.stdout().contains("answer"), "it did not wait");
    let client = listener.connect()?;
    let answer = listener.answer()?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    listener.expect("accept", &client.name()?)
}

/// Rule 18: a connection that is pending when the guest begins to poll is reported at once.
pub(super) fn row_18_already_waiting(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 4)?;
    let client = listener.connect()?;
    // Without a limit too: it is reported by the first poll.
    let answer = listener.tell("poll 0")?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    let answer = listener.tell("poll 15000")?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    ensure!(start.elapsed() < Duration::from_secs(10), "after {:?}", start.elapsed());
    listener.expect("accept", &client.name()?)
}

/// Rule 19: a bind with port 0 reports the same port to guest and operator, which is the real one.
pub(super) fn row_19_chosen_port(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 4)?;
    ensure!(listener.addr.port() != 0, "port 0");
    let addr = listener.addr.to_string();
    listener.expect("local", &addr)?;
    listener.still_serves()?;
    let lines = listener.running.stderr();
    ensure!(lines == format!("wasock: listening on {addr} (fd 3)\n"), "{lines}");
    Ok(())
}

/// Rule 20: a restart on the same address works at once, with old connections around.
pub(super) fn row_20_restart_at_once(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 4)?;
    let addr = listener.addr.to_string();
    let clients = [listener.connect()?, listener.connect()?, listener.connect()?];
    for client in clients.iter().take(2) {
        listener.expect("accept", &client.name()?)?;
    }
    // The host closes first: its side waits out the old packets, on this port.
    listener.running.finish()?.expect_code(0)?;
    let mut again = Listener::start_on(profile, host(profile), &addr, 4)?;
    ensure!(again.addr.to_string() == addr, "{}", again.addr);
    again.still_serves()
}

/// Rule 20: two live listeners on one address do not go, in one guest or in two.
pub(super) fn row_20_two_listeners(profile: Profile) -> Result<()> {
    holds(profile, "two_listeners")?;
    let mut listener = Listener::start(profile, 4)?;
    host(profile)
        .args([profile.programs.listener, &listener.addr.to_string(), "4"])
        .finish()?
        .expect_code(1)?
        .expect_stderr("EADDRINUSE")?
        .expect_no_stderr("listening on")?;
    listener.still_serves()
}

/// Rule 20: two that both asked for port sharing share it.
pub(super) fn row_20_shared_port(profile: Profile) -> Result<()> {
    holds(profile, "shared_port").map(drop)
}
