//! The sockets of WASI 0.2: what they say by codes and names of their own. What they share with the dialects of
//! modules is tested with these, in `listen`.

use super::listener::{HOST_DESCRIPTORS, Listener, PROFILES};
use crate::{run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use guest_tests::components::{
    COMPONENT_HOSTILE, COMPONENT_LISTENER, COMPONENT_RULES, COMPONENT_SENDER, COMPONENT_UDP,
};
use guest_tests::{Client, Silent};
use std::net::SocketAddr;
use std::time::Duration;

/// Each rule, from inside.
#[test]
pub(crate) fn component_rules() -> Result<()> {
    let silent = Silent::new()?;
    for rule in [
        "accept_states",
        "drop_in_any_order",
        "failure_changes_nothing",
        "order_of_errors",
        "taken_after_bind",
        "two_parts",
        "unbound",
    ] {
        run_on_loopback()
            .args([COMPONENT_RULES, rule, "", "", &silent.addr()?.to_string()])
            .succeed()
            .and_then(|finished| finished.expect_stdout("holds\n"))
            .context(rule)?;
    }
    Ok(())
}

/// Rule 6: what the policy refuses is `access-denied`, and the operator reads which flag would allow it.
#[test]
pub(crate) fn component_listener() -> Result<()> {
    for profile in PROFILES {
        let finished = run()
            .args(["--listen-profile", profile, COMPONENT_LISTENER, "127.0.0.1:0", "1"])
            .finish()?
            .expect_code(1)?
            .expect_stderr("EACCES")?;
        let told = finished.stderr_lines_with("wasock: denied tcp-socket.start-bind of 127.0.0.1:0: ");
        let is_whole = |line: &&str| line.ends_with("; allow it with --listen 127.0.0.1:0");
        ensure!(told.len() == 1 && told.iter().all(is_whole), "{finished}");
    }
    Ok(())
}

/// Rule 7: an address that is taken is `address-in-use`, and the operator reads it.
#[test]
fn an_address_that_is_taken_is_in_use() -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    run_on_loopback()
        .args([COMPONENT_LISTENER, &address, "1"])
        .finish()?
        .expect_code(1)?
        .expect_stderr(&format!("tcp-socket.start-bind of {address}"))?
        .expect_stderr("EADDRINUSE")
        .map(drop)
}

/// Cell: more than the maximum is cut down, which the trace shows.
#[test]
fn the_trace_has_the_capacity_of_a_queue() -> Result<()> {
    for (profile, expected) in PROFILES.into_iter().zip([8, 8, 8, 12, 9]) {
        let host = run_on_loopback().args(["--listen-profile", profile, "--trace", "--max-backlog", "8"]);
        let mut listener = Listener::start(COMPONENT_LISTENER, host, 3)?;
        for backlog in ["9", "4096", "2147483647", "2147483648", "18446744073709551615"] {
            listener.expect(&format!("listen {backlog}"), "done")?;
            let line = listener.running.wait_for_stderr(&format!("value={backlog})"))?;
            let call = format!(
                "tcp-socket.set-listen-backlog-size(fd=3, value={backlog}) = ok capacity={expected} <"
            );
            ensure!(line.starts_with(&call), "{profile}: {line}");
        }
    }
    Ok(())
}

/// Rule 12: with a full table of the guest accept is `new-socket-limit`, takes nothing, and the listener is not
/// ready: nothing spins.
#[test]
fn a_full_table_takes_no_connection() -> Result<()> {
    for profile in PROFILES {
        let host = run_on_loopback().args(["--listen-profile", profile, "--max-fds", "10"]);
        let mut listener = Listener::start(COMPONENT_LISTENER, host, 4)?;
        listener.expect("open 1000", "6 then EMFILE")?;
        waits_for_a_descriptor(listener).context(profile)?;
    }
    Ok(())
}

/// The same on a host without descriptors.
#[test]
fn a_host_without_descriptors_takes_no_connection() -> Result<()> {
    for profile in PROFILES {
        // What cleans the cache up now and then takes descriptors, and gives them back.
        let host = run_on_loopback().args(["--listen-profile", profile, "--no-cache"]);
        let mut listener = Listener::start(COMPONENT_LISTENER, host.limit_descriptors(HOST_DESCRIPTORS), 4)?;
        listener.is_ready("poll 1", false)?;
        let answer = listener.tell("open 1000")?;
        ensure!(answer.ends_with("then EMFILE") && !answer.starts_with("0 "), "{answer}");
        waits_for_a_descriptor(listener).context(profile)?;
    }
    Ok(())
}

fn waits_for_a_descriptor(mut listener: Listener) -> Result<()> {
    let first = Client::connect(listener.address)?;
    for _ in 0..10 {
        listener.expect("accept", "EMFILE")?;
        listener.expect("accept_waiting", "EMFILE")?;
    }
    // A client waits, and there is no descriptor for it.
    listener.is_ready("poll 300", false)?;
    let others = [Client::connect(listener.address)?, Client::connect(listener.address)?];
    listener.begin("poll 600")?;
    listener.rests()?;
    let answer = listener.answer()?;
    ensure!(answer.starts_with("0 ready"), "{answer}");

    // One is enough to serve all of them, in turn.
    listener.expect("give_back", "done")?;
    listener.is_ready("poll 15000", true)?;
    listener.expect("accept", &first.name()?)?;
    for client in &others {
        listener.expect("accept", "EMFILE")?;
        listener.is_ready("poll 20", false)?;
        listener.expect("close", "done")?;
        listener.is_ready("poll 15000", true)?;
        listener.expect("accept_waiting", &client.name()?)?;
    }
    Ok(())
}

/// Limit: with as many connections as `--max-connections` allows accept is `new-socket-limit`, loses none, and works
/// again once one is closed.
#[test]
fn as_many_connections_as_may_be() -> Result<()> {
    for flag in ["--max-connections", "--max-connections-per-listener"] {
        for profile in PROFILES {
            let host = run_on_loopback().args(["--listen-profile", profile, flag, "2"]);
            let mut listener = Listener::start(COMPONENT_LISTENER, host, 4)?;
            let _open = [Client::connect(listener.address)?, Client::connect(listener.address)?];
            listener.tell("accept_waiting")?;
            listener.tell("accept_waiting")?;
            listener.expect("accept", "EAGAIN")?;
            let waiting = Client::connect(listener.address)?;
            listener.is_ready("poll 100", false)?;
            listener.expect("accept", "EMFILE")?;
            listener.begin("poll 600")?;
            listener.rests()?;
            listener.answer()?;
            listener.expect("close", "done")?;
            listener.is_ready("poll 15000", true)?;
            listener.expect("accept_waiting", &waiting.name()?)?;
        }
    }
    Ok(())
}

/// A broken rule is a trap of the guest, and nothing else.
#[test]
pub(crate) fn component_hostile() -> Result<()> {
    for what in [
        "write_without_asking",
        "write_too_much",
        "write_twice",
        "blocking_write_of_too_much",
        "zeroes_without_end",
        "poll_nothing",
        "no_such_handle",
        "another_kind",
        "a_dropped_handle",
        "datagrams_without_asking",
        "streams_twice",
        "pollables_without_end",
        "networks_without_end",
        "a_list_beyond_memory",
    ] {
        run_on_loopback()
            .args(["--udp-bind", "127.0.0.1:*", "--max-host-memory", "8M", COMPONENT_HOSTILE, what])
            .finish()
            .and_then(|finished| finished.expect_code(134))
            .and_then(|finished| finished.expect_stderr("wasock: the guest trapped: "))
            .and_then(|finished| finished.expect_no_stderr("panicked"))
            .and_then(|finished| finished.expect_no_stderr("lives on"))
            .context(what)?;
    }
    Ok(())
}

/// Where a limit of the operator's is the cause, the line names its flag.
#[test]
fn a_trap_at_a_limit_names_the_flag() -> Result<()> {
    for (what, flags, cause) in [
        ("pollables_without_end", &[][..], "resource table has no free keys (--max-fds)"),
        ("networks_without_end", &["--max-host-memory", "200K", "--max-fds", "4096"], "(--max-host-memory)"),
        ("a_list_beyond_memory", &["--max-host-memory", "8M"], "(--max-host-memory)"),
        ("a_list_beyond_memory", &[], "store handle limit exceeded (--max-fds)"),
    ] {
        run_on_loopback()
            .args(flags)
            .args([COMPONENT_HOSTILE, what])
            .finish()
            .and_then(|finished| finished.expect_code(134))
            .and_then(|finished| finished.expect_stderr(cause))
            .with_context(|| format!("{what} {flags:?}"))?;
    }
    Ok(())
}

/// Rule 12: a full table is told once there is a connection that it keeps out.
#[test]
fn a_full_table_is_told_when_a_connection_comes() -> Result<()> {
    for flags in [["--max-fds", "4"], ["--max-connections", "1"]] {
        let mut listener = Listener::start(COMPONENT_LISTENER, run_on_loopback().args(flags), 4)?;
        let _first;
        if flags[0] == "--max-connections" {
            _first = Client::connect(listener.address)?;
            listener.tell("accept_waiting")?;
        }
        for _ in 0..2 {
            listener.expect("accept", "EAGAIN")?;
        }
        ensure!(!listener.running.stderr().contains(flags[0]), "{}", listener.running.stderr());
        let _waiting = Client::connect(listener.address)?;
        // The guest learns nothing of it, so it is told by then.
        listener.is_ready("poll 100", false)?;
        listener.running.wait_for_stderr(flags[0])?;
        listener.expect("accept", "EMFILE")?;
    }
    Ok(())
}

/// Pollables and streams of all kinds go together.
#[test]
fn lists_and_streams_may_be_mixed() -> Result<()> {
    for what in ["a_long_list", "streams_of_each_other"] {
        let finished = run_on_loopback().args([COMPONENT_HOSTILE, what]).succeed().context(what)?;
        finished.expect_stdout("alive\n").context(what)?;
    }
    Ok(())
}

/// What was written goes out, also where the guest has shut the connection down and has ended.
#[test]
pub(crate) fn component_sender() -> Result<()> {
    const BYTES: usize = 1 << 20;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let guest = run_on_loopback().args([COMPONENT_SENDER, &address, &BYTES.to_string()]).start()?;
    let (mut client, _) = listener.accept()?;
    client.set_read_timeout(Some(Duration::from_secs(20)))?;
    // A peer that is slower than the guest.
    std::thread::sleep(Duration::from_millis(200));
    let mut received = Vec::new();
    std::io::Read::read_to_end(&mut client, &mut received)?;
    ensure!(received.len() == BYTES, "{} bytes", received.len());
    let is_it = |(at, byte): (usize, &u8)| usize::from(*byte) == at % 251;
    ensure!(received.iter().enumerate().all(is_it), "other bytes");
    guest.finish()?.expect_code(0).map(drop)
}

/// Datagrams come and go, and the policy is asked for each.
#[test]
pub(crate) fn component_udp() -> Result<()> {
    run().args([COMPONENT_UDP, "127.0.0.1:0"]).succeed()?.expect_stdout("EACCES\n")?;
    let mut guest = run().args(["--udp-bind", "127.0.0.1:*", COMPONENT_UDP, "127.0.0.1:0"]).start()?;
    let line = guest.wait_for_stdout("bound ")?;
    let address: SocketAddr = line.trim_start_matches("bound ").parse()?;
    let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(Duration::from_secs(20)))?;
    for length in [0, 1, 1000, 60_000] {
        let data = vec![7; length];
        client.send_to(&data, address)?;
        let mut buffer = vec![0; 65_536];
        let (count, from) = client.recv_from(&mut buffer)?;
        ensure!(from == address && buffer.get(..count) == Some(&data[..]), "{count} of {length} bytes");
    }
    client.send_to(b"quit", address)?;
    guest.finish()?.expect_code(0).map(drop)
}

/// A program gets the listener that the host has at the address where it binds.
#[test]
fn a_preopened_listener_is_adopted_at_bind() -> Result<()> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut guest =
        run().with_stdin().args(["--preopen-listen", &free, COMPONENT_LISTENER, &free, "4"]).start()?;
    guest.wait_for_stderr("listening on ")?;
    let client = Client::connect(free.parse()?)?;
    guest.write_stdin(b"accept_waiting\n")?;
    let line = guest.wait_for_stdout("answer 0: ")?;
    ensure!(line.ends_with(&client.name()?), "{line}");
    // Elsewhere nothing is granted.
    run()
        .args(["--preopen-listen", &free.replace("127.0.0.1", "127.0.0.2"), COMPONENT_LISTENER, &free, "4"])
        .finish()?
        .expect_code(1)?
        .expect_stderr("EACCES")
        .map(drop)
}
