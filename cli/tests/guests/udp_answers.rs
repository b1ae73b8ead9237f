//! A UDP server replies to its senders, and to no other address.

use super::{has_ipv6, run};
use anyhow::{Result, ensure};
use guest_tests::{Running, Wasock};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

fn start(host: Wasock, at: &str) -> Result<(Running, SocketAddr)> {
    let mut guest = host.args(["--udp-bind", at, guest_tests::UDP_ANSWERS, at]).start()?;
    let addr = guest.bound()?;
    Ok((guest, addr))
}

fn client(server: SocketAddr) -> Result<UdpSocket> {
    let client = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.connect(server)?;
    Ok(client)
}

/// What the guest says that became of `order`.
fn outcome(guest: &mut Running, from: &UdpSocket, order: &str) -> Result<String> {
    from.send(order.as_bytes())?;
    let line = guest.wait_for_stdout(&format!("{order}: "))?;
    Ok(line.rsplit(": ").next().unwrap_or_default().to_owned())
}

fn hears(client: &UdpSocket, text: &str) -> Result<()> {
    let mut buf = [0; 64];
    let count = client.recv(&mut buf)?;
    ensure!(buf.get(..count) == Some(text.as_bytes()), "{buf:?}");
    Ok(())
}

/// No grant to send is needed for a reply; one is for anything else: another address, another
/// socket, a peer for good.
#[test]
pub(crate) fn udp_answers() -> Result<()> {
    let families = ["127.0.0.1:0", "[::1]:0"];
    for at in families.into_iter().take(if has_ipv6() { 2 } else { 1 }) {
        let (mut guest, addr) = start(run(), at)?;
        let (first, second) = (client(addr)?, client(addr)?);
        ensure!(outcome(&mut guest, &first, "answer")? == "done");
        hears(&first, "answer")?;
        let stranger = UdpSocket::bind(SocketAddr::new(addr.ip(), 0))?.local_addr()?;
        ensure!(outcome(&mut guest, &second, &format!("send {stranger}"))? == "EACCES");
        // It has sent, a while ago.
        let order = format!("send {}", first.local_addr()?);
        ensure!(outcome(&mut guest, &second, &order)? == "done");
        hears(&first, &order)?;
        let order = format!("other {}", first.local_addr()?);
        ensure!(outcome(&mut guest, &second, &order)? == "EACCES");
        ensure!(outcome(&mut guest, &second, "connect")? == "EACCES");
        second.send(b"end")?;
        let finished = guest.finish()?.expect_code(0)?;
        finished.expect_stderr(&format!("allow it with --udp-send {stranger}"))?;
    }
    Ok(())
}

/// A refused sender gets no reply either: the guest never sees its messages.
#[test]
fn strangers_are_not_answered() -> Result<()> {
    let (mut guest, addr) = start(run().args(["--accept-from", "127.0.0.2"]), "127.0.0.1:0")?;
    let stranger = client(addr)?;
    stranger.send(b"answer")?;
    let friend = UdpSocket::bind("127.0.0.2:0")?;
    friend.connect(addr)?;
    let order = format!("send {}", stranger.local_addr()?);
    ensure!(outcome(&mut guest, &friend, &order)? == "EACCES");
    ensure!(outcome(&mut guest, &friend, "answer")? == "done");
    guest.stop().map(drop)
}

/// A denial holds for replies, too.
#[test]
fn what_is_denied_is_not_answered() -> Result<()> {
    let (mut guest, addr) = start(run().args(["--deny-udp-send", "127.0.0.1:*"]), "127.0.0.1:0")?;
    ensure!(outcome(&mut guest, &client(addr)?, "answer")? == "EACCES");
    guest.stop().map(drop)
}

/// With `--udp-strict` a reply needs a grant like any other message.
#[test]
fn a_strict_socket_replies_only_under_a_grant() -> Result<()> {
    let (mut guest, addr) = start(run().arg("--udp-strict"), "127.0.0.1:0")?;
    ensure!(outcome(&mut guest, &client(addr)?, "answer")? == "EACCES");
    guest.stop()?.expect_stderr("no --udp-send grant covers it")?;
    let (mut guest, addr) = start(run().args(["--udp-strict", "--udp-send", "127.0.0.1:*"]), "127.0.0.1:0")?;
    ensure!(outcome(&mut guest, &client(addr)?, "answer")? == "done");
    guest.stop().map(drop)
}
