//! The operator's limits to the number of connections.

use super::*;
use guest_tests::HttpClient;

/// Limit: with as many connections as `--max-connections` allows accept is EMFILE, loses no
/// connection, and works again once one is closed.
pub(super) fn as_many_connections_as_may_be(profile: Profile) -> Result<()> {
    let mut listener = start(profile, &["--max-connections", "3"])?;
    let _first = listener.accepted()?;
    // Those of all listeners count.
    listener.also(4)?;
    let _others = [listener.accepted()?, listener.accepted()?];
    waits_for_a_place(&mut listener, "--max-connections 3")
}

/// Limit: `--max-connections-per-listener` is the same for each listener by itself.
pub(super) fn as_many_as_a_listener_may_have(profile: Profile) -> Result<()> {
    let mut listener = start(profile, &["--max-connections-per-listener", "2"])?;
    let at_the_first = [listener.accepted()?, listener.accepted()?];
    let first = listener.addr;
    listener.also(4)?;
    let _at_the_second = [listener.accepted()?, listener.accepted()?];
    waits_for_a_place(&mut listener, "--max-connections-per-listener 2")?;
    // A place at the second one is none at the first.
    listener.expect("use 0", "done")?;
    listener.addr = first;
    let waiting = listener.connect()?;
    listener.expect("accept", "EMFILE")?;
    listener.expect("close_all", "done")?;
    listener.expect("accept", &waiting.name()?)?;
    drop(at_the_first);
    listener.still_serves()
}

fn start(profile: Profile, limits: &[&str]) -> Result<Listener> {
    Listener::start_on(profile, host(profile).arg("--trace").args(limits), "127.0.0.1:0", 4)
}

/// A limit is reached: further clients wait until a connection is closed, and the operator
/// is notified.
fn waits_for_a_place(listener: &mut Listener, flag: &str) -> Result<()> {
    // If none is pending it keeps no client out.
    listener.expect("accept", "EAGAIN")?;
    listener.expect("accept_within 1", "EAGAIN")?;
    let answer = listener.tell("poll 20")?;
    ensure!(answer.starts_with("0 ready"), "{answer}");
    ensure!(!listener.running.stderr().contains(flag), "told of {flag} too early");
    // A waiting call is woken when a client connects.
    listener.begin("accept_waiting")?;
    let waiting = [listener.connect()?, listener.connect()?];
    let answer = listener.answer()?;
    ensure!(answer == "EMFILE", "{answer}");
    for _ in 0..10 {
        listener.expect("accept", "EMFILE")?;
        listener.expect("accept_waiting", "EMFILE")?;
        listener.expect("accept_within 1", "EMFILE")?;
    }
    let answer = listener.tell("poll 1000")?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    listener.rests("as many connections are open as may be")?;
    for client in &waiting {
        client.hears_nothing()?;
        listener.expect("accept", "EMFILE")?;
        listener.expect("close", "done")?;
        listener.expect("accept_waiting", &client.name()?)?;
    }
    let stderr = listener.running.stderr();
    let told = stderr.lines().filter(|line| line.contains(&format!("({flag})")));
    ensure!(told.count() == 1, "not told once of {flag}:\n{stderr}");
    let traced = format!(" = EMFILE {}", flag.trim_start_matches("--").replace(' ', "="));
    ensure!(stderr.contains(&traced), "no {traced:?} in the trace:\n{stderr}");
    Ok(())
}

/// Limit: a peer with as many connections as `--max-connections-per-peer` allows is reset; others
/// are accepted, and so is it once one is closed.
pub(super) fn as_many_as_a_peer_may_have(profile: Profile) -> Result<()> {
    let mut listener = start(profile, &["--max-connections-per-peer", "2", "-v"])?;
    let _first = listener.accepted()?;
    // Those at all listeners count.
    listener.also(4)?;
    let _second = listener.accepted()?;
    for _ in 0..3 {
        let mut excess = listener.connect_or_reset()?;
        listener.expect("accept", "EAGAIN")?;
        excess.as_mut().map_or(Ok(()), Client::is_reset)?;
    }
    // Behind those that are reset, others wait.
    let excess = listener.connect_or_reset()?;
    let other = Client::connect_from("127.0.0.2:0".parse()?, listener.addr)?;
    listener.expect("accept_waiting", &other.name()?)?;
    drop(excess);
    listener.expect("close", "done")?;
    listener.expect("close", "done")?;
    let _third = listener.accepted()?;
    let refused = listener.running.wait_for_stderr("refused 127.0.0.1:")?;
    ensure!(refused.ends_with("it has as many connections as it may"), "{refused}");
    let stderr = listener.running.stderr();
    let told = stderr.lines().filter(|line| line.contains("(--max-connections-per-peer 2)"));
    ensure!(told.count() == 1, "not told once:\n{stderr}");
    Ok(())
}

/// Limit: a connection counts until the last duplicate of its descriptor is closed.
pub(super) fn a_duplicate_keeps_the_permit_of_its_connection(profile: Profile) -> Result<()> {
    for limit in ["--max-connections", "--max-connections-per-listener"] {
        let mut listener = start(profile, &[limit, "1"])?;
        let _first = listener.accepted()?;
        listener.expect("twice", "done")?;
        let second = listener.connect()?;
        listener.expect("accept", "EMFILE")?;
        listener.expect("close", "done")?;
        listener.expect("accept", "EMFILE")?;
        listener.expect("close", "done")?;
        listener.expect("accept", &second.name()?)?;
    }
    Ok(())
}

/// Limit: a server with as many connections as allowed serves them, sleeps, and serves 200 clients in turn.
pub(super) fn a_server_with_as_many_connections_as_may_be(profile: Profile) -> Result<()> {
    let mut server = host(profile)
        .args(["--max-connections", "8", profile.programs.http_server, "127.0.0.1:0"])
        .start()?;
    let addr = server.listening()?;
    let mut clients = (0..200).map(|_| HttpClient::connect(addr)).collect::<Result<Vec<_>>>()?;
    for client in clients.iter_mut().take(8) {
        ensure!(client.get("/")?.status == 200, "one of the first");
    }
    server.wait_for_stderr("(--max-connections 8)")?;
    let before = server.processor_time()?;
    std::thread::sleep(Duration::from_secs(1));
    let used = server.processor_time()? - before;
    ensure!(used < Duration::from_millis(300), "{used:?} of processor time");
    for mut client in clients {
        ensure!(client.get("/")?.status == 200, "one that waited");
    }
    server.stop().map(drop)
}

/// Limit: the waiters in the queue of the host's own count among the connections of their peer.
#[test]
fn a_pending_connection_counts_for_its_peer() -> Result<()> {
    let mut listener = start(Profile::WINSOCK, &["--max-connections-per-peer", "2"])?;
    let first = listener.connect()?;
    let second = listener.connect()?;
    // At once, whatever the guest does.
    is_refused(listener.addr)?;
    let other = Client::connect_from("127.0.0.2:0".parse()?, listener.addr)?;
    listener.accepts_all(&[first, second, other])?;
    is_refused(listener.addr)?;
    // A reset connection is not counted among the pending ones.
    listener.expect("close_all", "done")?;
    for _ in 0..10 {
        listener.connect()?.reset()?;
    }
    let alive = listener.connect()?;
    listener.serves(alive)
}

/// Limit: an IPv4 peer is the same one at a listener of IPv6.
#[test]
fn a_mapped_peer_is_the_ipv4_peer() -> Result<()> {
    if !crate::has_ipv6() {
        return Ok(());
    }
    let limited = host(Profile::WASIX).args(["--listen", "[::]:*", "--max-connections-per-peer", "1"]);
    let mut listener = Listener::start_on(Profile::WASIX, limited, "[::]:0", 4)?;
    let port = listener.addr.port();
    let connect = |host: &str| Client::connect(format!("{host}:{port}").parse()?);
    let mapped = connect("127.0.0.1")?;
    listener.expect("accept_waiting", &format!("[::ffff:127.0.0.1]:{}", mapped.port()?))?;
    let first = connect("[::1]")?;
    listener.expect("accept_waiting", &first.name()?)?;
    for host in ["127.0.0.1", "[::1]"] {
        let mut excess = connect(host)?;
        listener.expect("accept", "EAGAIN")?;
        excess.is_reset()?;
    }
    listener.also(4)?;
    let mut excess = listener.connect()?;
    listener.expect("accept", "EAGAIN")?;
    excess.is_reset()
}
