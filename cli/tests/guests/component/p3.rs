//! The sockets of WASI 0.3. What they share with the dialects of modules is tested with these, in `listen`.

use super::listener::{HOST_DESCRIPTORS, Listener, PROFILES};
use crate::{run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use guest_tests::components::{P3_CANCEL, P3_CLIENT, P3_LISTENER, P3_NAMES, P3_RULES, P3_SERVER, P3_UDP};
use guest_tests::{Client, HttpClient, Silent};
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, ToSocketAddrs as _, UdpSocket};
use std::thread;
use std::time::Duration;

/// Each rule, from inside.
#[test]
pub(crate) fn p3_rules() -> Result<()> {
    let silent = Silent::new()?;
    for rule in [
        "accept_states",
        "connected_or_connecting",
        "drop_in_any_order",
        "failure_changes_nothing",
        "order_of_errors",
        "taken_after_bind",
    ] {
        run_on_loopback()
            .args([P3_RULES, rule, "", "", &silent.addr()?.to_string()])
            .succeed()
            .and_then(|finished| finished.expect_stdout("holds\n"))
            .context(rule)?;
    }
    Ok(())
}

/// "this function will implicitly bind the socket to a random free port", in every profile, and as far as the policy
/// grants that: the wildcard address with port 0.
#[test]
fn listening_binds_in_every_profile() -> Result<()> {
    for profile in PROFILES {
        let host = || run().args(["--listen-profile", profile]);
        host()
            .args(["--listen", "127.0.0.1:*", P3_RULES, "unbound"])
            .succeed()?
            .expect_stdout("holds\n")?
            .expect_stderr("wasock: denied tcp-socket.listen of 0.0.0.0:0: ")?
            .expect_stderr("; allow it with --listen 0.0.0.0:0\n")?;
        host()
            .args(["--listen", "0.0.0.0:0", P3_RULES, "implicit_bind"])
            .succeed()
            .and_then(|finished| finished.expect_stdout("holds\n"))
            .context(profile)?;
    }
    Ok(())
}

/// Rule 6: what the policy refuses is `access-denied`, and the operator reads which flag would allow it.
#[test]
pub(crate) fn p3_listener() -> Result<()> {
    for profile in PROFILES {
        let finished = run()
            .args(["--listen-profile", profile, P3_LISTENER, "127.0.0.1:0", "1"])
            .finish()?
            .expect_code(1)?
            .expect_stderr("EACCES")?;
        let told = finished.stderr_lines_with("wasock: denied tcp-socket.bind of 127.0.0.1:0: ");
        let is_whole = |line: &&str| line.ends_with("; allow it with --listen 127.0.0.1:0");
        ensure!(told.len() == 1 && told.iter().all(is_whole), "{finished}");
    }
    Ok(())
}

/// Rule 7: an address that is taken is `address-in-use`, and the operator reads it.
#[test]
fn an_address_that_is_taken_is_in_use() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    run_on_loopback()
        .args([P3_LISTENER, &address, "1"])
        .finish()?
        .expect_code(1)?
        .expect_stderr(&format!("tcp-socket.bind of {address}"))?
        .expect_stderr("EADDRINUSE")
        .map(drop)
}

/// Rules 8 and 12: with a full table of the guest a socket is `other("too many open sockets")`, and the stream of
/// connections waits.
#[test]
fn with_a_full_table_the_stream_waits() -> Result<()> {
    for profile in PROFILES {
        let host = run_on_loopback().args(["--listen-profile", profile, "--max-fds", "10"]);
        let mut listener = Listener::start(P3_LISTENER, host, 4)?;
        listener.expect("open 1000", "6 then EMFILE")?;
        waits_for_a_descriptor(listener).context(profile)?;
    }
    Ok(())
}

/// The same on a host without descriptors.
#[test]
fn on_a_host_without_descriptors_the_stream_waits() -> Result<()> {
    for profile in PROFILES {
        // What cleans the cache up now and then takes descriptors, and gives them back.
        let host = run_on_loopback().args(["--listen-profile", profile, "--no-cache"]);
        let mut listener = Listener::start(P3_LISTENER, host.limit_descriptors(HOST_DESCRIPTORS), 4)?;
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
        listener.expect("accept", "EAGAIN")?;
        listener.expect("accept_within 5", "EAGAIN")?;
    }
    // A client waits, and there is no descriptor for it.
    listener.is_ready("poll 300", false)?;
    let others = [Client::connect(listener.address)?, Client::connect(listener.address)?];
    listener.begin("accept_within 600")?;
    listener.rests()?;
    let answer = listener.answer()?;
    ensure!(answer == "EAGAIN", "{answer}");

    // One is enough to serve all of them, in turn, also where it comes while the stream waits for it.
    listener.expect("accept_as_one_is_given_back", &first.name()?)?;
    for client in &others {
        listener.expect("accept", "EAGAIN")?;
        listener.is_ready("poll 20", false)?;
        listener.expect("close", "done")?;
        listener.is_ready("poll 15000", true)?;
        listener.expect("accept_waiting", &client.name()?)?;
    }
    Ok(())
}

/// Limit: with as many connections as `--max-connections` allows the stream waits, loses none, and goes on once one is
/// closed.
#[test]
fn with_as_many_connections_as_may_be_the_stream_waits() -> Result<()> {
    for flag in ["--max-connections", "--max-connections-per-listener"] {
        for profile in PROFILES {
            let host = run_on_loopback().args(["--listen-profile", profile, flag, "2"]);
            let mut listener = Listener::start(P3_LISTENER, host, 4)?;
            let _open = [Client::connect(listener.address)?, Client::connect(listener.address)?];
            listener.tell("accept_waiting")?;
            listener.tell("accept_waiting")?;
            let waiting = Client::connect(listener.address)?;
            listener.is_ready("poll 100", false)?;
            listener.expect("accept", "EAGAIN")?;
            listener.begin("accept_within 600")?;
            listener.rests()?;
            listener.answer()?;
            listener.expect("close", "done")?;
            listener.is_ready("poll 15000", true)?;
            listener.expect("accept_waiting", &waiting.name()?)?;
        }
    }
    Ok(())
}

/// What a guest gives up before it has looked at it takes no connection.
#[test]
fn a_read_that_is_given_up_takes_no_connection() -> Result<()> {
    let mut listener = Listener::start(P3_LISTENER, run_on_loopback(), 4)?;
    listener.begin("give_up 300")?;
    listener.running.wait_for_stdout("computes")?;
    // It comes while the guest computes.
    let client = Client::connect(listener.address)?;
    ensure!(listener.answer()? == "done", "it does not go on");
    listener.expect("accept_waiting", &client.name()?)
}

/// Calls that are given up in their middle leave nothing: there are fewer descriptors than rounds.
#[test]
pub(crate) fn p3_cancel() -> Result<()> {
    let silent = Silent::new()?;
    for call in ["accept", "accept_stream", "connect", "receive", "send", "both_streams"] {
        run_on_loopback()
            .args(["--max-fds", "16", P3_CANCEL, call, &silent.addr()?.to_string()])
            .succeed()
            .and_then(|finished| finished.expect_stdout("holds\n"))
            .context(call)?;
    }
    Ok(())
}

/// One task for each client, which all go on at once.
#[test]
pub(crate) fn p3_server() -> Result<()> {
    let mut running = run_on_loopback().args([P3_SERVER, "127.0.0.1:0"]).start()?;
    let addr = running.listening()?;
    let mut clients = (0..50).map(|_| HttpClient::connect(addr)).collect::<Result<Vec<_>>>()?;
    for path in ["/one", "/two"] {
        for client in clients.iter_mut().rev() {
            let response = client.get(path)?;
            ensure!(response.status == 200 && response.text() == format!("hello {path}"), "{response:?}");
        }
    }
    running.stop().map(drop)
}

#[test]
pub(crate) fn p3_client() -> Result<()> {
    let echo = TcpListener::bind("127.0.0.1:0")?;
    let address = echo.local_addr()?.to_string();
    run().args([P3_CLIENT, &address, "1"]).finish()?.expect_code(1)?.expect_stdout("EACCES\n")?;
    let echoed = thread::spawn(move || -> Result<()> {
        let (mut stream, _) = echo.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received)?;
        stream.write_all(&received)?;
        Ok(stream.shutdown(Shutdown::Write)?)
    });
    run()
        .args(["--connect", &address, P3_CLIENT, &address, "1000000"])
        .succeed()?
        .expect_stdout(&format!("connected to {address}\n1000000 came back\n"))?;
    echoed.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
    // Nobody listens there any more.
    run()
        .args(["--connect", &address, P3_CLIENT, &address, "1"])
        .finish()?
        .expect_code(1)?
        .expect_stdout("ECONNREFUSED\n")
        .map(drop)
}

/// Datagrams come and go, and the policy is asked for each.
#[test]
pub(crate) fn p3_udp() -> Result<()> {
    run().args([P3_UDP, "127.0.0.1:0"]).finish()?.expect_code(1)?.expect_stdout("EACCES\n")?;
    let mut guest = run().args(["--udp-bind", "127.0.0.1:*", P3_UDP, "127.0.0.1:0"]).start()?;
    let line = guest.wait_for_stdout("bound ")?;
    let address: SocketAddr = line.trim_start_matches("bound ").parse()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
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

/// Names are asked for at the same time, each as far as it is granted. One that is an address asks nobody.
#[test]
pub(crate) fn p3_names() -> Result<()> {
    let finished = run()
        .args([
            "--resolve",
            "localhost",
            P3_NAMES,
            "localhost",
            "localhost.example",
            "127.0.0.9",
            "::1",
            "a b",
        ])
        .succeed()?
        .expect_stdout("localhost.example: ErrorCode::PermanentResolverFailure\n")?
        .expect_stdout("127.0.0.9: 127.0.0.9\n")?
        .expect_stdout("::1: ::1\n")?
        .expect_stdout("a b: ErrorCode::InvalidArgument\n")?
        .expect_stderr("allow it with --resolve localhost.example")?;
    let found = finished.stdout.lines().find_map(|line| line.strip_prefix("localhost: "));
    let found = found.context("no localhost")?.split(' ').map(str::parse);
    let found: HashSet<IpAddr> = found.collect::<Result<_, _>>()?;
    let expected = ("localhost", 0).to_socket_addrs()?.map(|it| it.ip()).collect();
    ensure!(found == expected, "{found:?} and not {expected:?}");
    Ok(())
}
