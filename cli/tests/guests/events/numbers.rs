//! Descriptors that handlers close, duplicate and make.

use super::*;

#[test]
fn a_handler_closes_another_connection() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let (mut client, mut other) = (Client::connect(addr)?, Client::connect(addr)?);
    let fd = other.fd()?;
    client.expect(&format!("close {fd}"), "done")?;
    other.expect_end()?;
    // The next one has that number; nothing of the old one is reported for it.
    let mut next = Client::connect(addr)?;
    ensure!(next.fd()? == fd, "another number");
    next.expect(&format!("client {fd}"), "2 0")?;
    client.expect("counts", "3 0 2")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_number_that_stands_for_something_else_is_not_reported() -> Result<()> {
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
fn a_number_that_stands_for_another_connection_reports_that() -> Result<()> {
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
fn a_duplicate_is_reported_once() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let mut other = Client::connect(addr)?;
    let fd = other.fd()?;
    client.expect(&format!("appetite {fd} 0"), "done")?;
    other.send(b"echo ")?;
    client.until(&format!("client {fd}"), "2 0")?;
    let copy = client.ask(&format!("dup {fd}"))?;
    // What was reported is not reported again for it.
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
fn an_attempt_to_connect_that_fails_is_reported() -> Result<()> {
    let (mut server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let answer = client.ask(&format!("connect_later {closed}"))?;
    if let Some((fd, errno)) = answer.split_once(' ') {
        ensure!(errno == "EINPROGRESS", "{answer}");
        server.wait_for_stdout(&format!("closed {fd}"))?;
        client.expect("counts", "1 1 1")?;
        let told = events(&server.stdout(), &["readable"]);
        ensure!(!told.contains(&format!("readable {fd}")), "{told:?}");
    }
    // One that fails at once is the caller's to know.
    client.expect(&format!("connect {closed}"), "ECONNREFUSED")?;
    client.expect("counts", "1 1 1")?;
    lives_on(server, addr).map(drop)
}
