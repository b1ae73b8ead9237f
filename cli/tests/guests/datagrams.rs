//! Messages each on its own: their sizes, their peers, and their senders.

use super::{has_ipv6, run};
use anyhow::{Result, ensure};
use guest_tests::{Running, Wasock};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Everything on the loopback networks.
pub(super) fn granted() -> Wasock {
    let here = ["127.0.0.0/8:*", "[::1]:*"];
    here.iter().fold(run(), |host, addr| host.args(["--udp-bind", addr, "--udp-send", addr]))
}

/// The addresses at which each test is done.
fn here() -> Vec<&'static str> {
    if has_ipv6() { vec!["127.0.0.1:0", "[::1]:0"] } else { vec!["127.0.0.1:0"] }
}

#[test]
pub(crate) fn datagram_sizes() -> Result<()> {
    for addr in here() {
        granted().args([guest_tests::DATAGRAM_SIZES, addr]).succeed()?;
    }
    Ok(())
}

#[test]
pub(crate) fn datagram_peers() -> Result<()> {
    for addr in here() {
        granted().args([guest_tests::DATAGRAM_PEERS, addr]).succeed()?;
    }
    Ok(())
}

#[test]
fn peers_with_names_are_dissolved() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let host = run().args(["--dir", &format!("{}::/run", folder.path().display())]);
    let host = host.args(["--listen", "unix:/run/*", "--connect", "unix:/run/*"]);
    let finished = host.args([guest_tests::DATAGRAM_PEERS, "unix"]).succeed()?;
    finished.expect_stderr("wasock: bound on unix:/run/fd (fd ")?;
    Ok(())
}

#[test]
fn a_broadcast_needs_its_option() -> Result<()> {
    granted().args([guest_tests::DATAGRAM_PEERS, "broadcast"]).succeed()?;
    // A grant for one address is none for all.
    let host = run().args(["--udp-bind", "127.0.0.0/8:*", "--udp-send", "127.0.0.1:*"]);
    let denied = host.args([guest_tests::DATAGRAM_PEERS, "broadcast"]).finish()?.expect_code(1)?;
    ensure!(denied.stderr.contains("allow it with --udp-send 127.255.255.255:"), "{denied}");
    Ok(())
}

/// A client that is let in, and one that is not.
fn clients() -> Result<(UdpSocket, UdpSocket)> {
    Ok((UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.2:0")?))
}

/// A guest that takes messages of 127.0.0.1 only, in this way; and where.
fn narrowed(how: &str, addr: &str, flags: &[&str]) -> Result<(Running, SocketAddr)> {
    let host = granted().args(["--udp-bind", "[::]:*", "--accept-from", "127.0.0.1"]).args(flags);
    let mut guest = host.with_stdin().args([guest_tests::DATAGRAM_RECEIVER, how, addr]).start()?;
    let bound = guest.bound()?;
    Ok((guest, SocketAddr::from(([127, 0, 0, 1], bound.port()))))
}

/// Neither a receive nor a wait sees a refused message.
#[test]
pub(crate) fn datagram_receiver() -> Result<()> {
    for how in ["recv", "poll", "epoll"] {
        let (mut guest, to) = narrowed(how, "127.0.0.1:0", &[])?;
        let (friend, stranger) = clients()?;
        for text in ["one", "end"] {
            for _ in 0..2 {
                stranger.send_to(b"end", to)?;
            }
            // A guest that was woken by it would find nothing.
            guest.wait_for_stderr("denied sock_recv_from")?;
            friend.send_to(text.as_bytes(), to)?;
            guest.wait_for_stdout(&format!("{text} from {}", friend.local_addr()?))?;
        }
        let finished = guest.finish()?.expect_code(0)?;
        ensure!(finished.stdout.lines().count() == 2, "{how}\n{finished}");
        let told = finished.stderr_lines_with("denied");
        let denied = "wasock: denied sock_recv_from of 127.0.0.2: no --accept-from network has it; \
                      allow it with --accept-from 127.0.0.2";
        ensure!(told == [denied], "{how}\n{finished}");
        let dropped = format!("wasock: dropped 4 datagrams at {to} (fd 3): no --accept-from network");
        finished.expect_stderr(&dropped)?;
    }
    Ok(())
}

/// An admitted message among many refused ones is found, also by a guest that waits for edges only.
///
#[test]
fn many_wrong_senders_hide_no_message() -> Result<()> {
    for how in ["edge", "late"] {
        let (mut guest, to) = narrowed(how, "127.0.0.1:0", &[])?;
        let (friend, stranger) = clients()?;
        // More than are looked at in some turns, and no more than have room.
        for _ in 0..400 {
            stranger.send_to(b"end", to)?;
        }
        friend.send_to(b"end", to)?;
        guest.write_stdin(b"\n")?;
        let finished = guest.finish()?.expect_code(0)?;
        ensure!(finished.stdout == format!("end from {}\n", friend.local_addr()?), "{how}\n{finished}");
        finished.expect_stderr("wasock: dropped 400 datagrams at ")?;
    }
    Ok(())
}

/// A call ends in its time while a peer sends without a pause.
#[test]
fn a_flood_of_a_refused_sender_delays_no_other() -> Result<()> {
    let (mut guest, to) = narrowed("limit", "127.0.0.1:0", &[])?;
    let (_, stranger) = clients()?;
    let is_over = AtomicBool::new(false);
    let (line, finished) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                _ = stranger.send_to(b"flood", to);
            }
        });
        let line = guest.write_stdin(b"\n").and_then(|()| guest.wait_for_stdout("in time"));
        let finished = guest.finish();
        is_over.store(true, Relaxed);
        (line, finished)
    });
    line?;
    finished?.expect_code(0)?.expect_stderr("wasock: dropped ")?;
    Ok(())
}

/// A rule for an IPv4 address holds for it in a socket of both families.
#[test]
fn mapped_senders_are_their_ipv4_addresses() -> Result<()> {
    if !has_ipv6() {
        return Ok(());
    }
    let (guest, to) = narrowed("poll", "[::]:0", &["--trace"])?;
    let (friend, stranger) = clients()?;
    for (from, text) in [(&stranger, "end"), (&stranger, "end"), (&friend, "end")] {
        from.send_to(text.as_bytes(), to)?;
    }
    let finished = guest.finish()?.expect_code(0)?;
    let from = format!("[::ffff:127.0.0.1]:{}", friend.local_addr()?.port());
    ensure!(finished.stdout == format!("end from {from}\n"), "{finished}");
    let finished = finished.expect_stderr("allow it with --accept-from 127.0.0.2\n")?;
    // The trace says what was taken away before the message.
    finished.expect_stderr(&format!(" n=3 roflags=0 addr={from} dropped=2 <"))?;
    Ok(())
}

/// The guest chose its peer, and that was granted.
#[test]
fn a_peer_is_let_in() -> Result<()> {
    let native = UdpSocket::bind("127.0.0.2:0")?;
    native.set_read_timeout(Some(Duration::from_secs(20)))?;
    let peer = native.local_addr()?.to_string();
    let guest = granted().args(["--accept-from", "192.0.2.0/24"]).with_stdin();
    let mut guest = guest.args([guest_tests::DATAGRAM_RECEIVER, "peer", "127.0.0.1:0", &peer]).start()?;
    // An earlier sender is not the peer.
    let early = UdpSocket::bind("127.0.0.2:0")?;
    early.send_to(b"end", guest.bound()?)?;
    guest.write_stdin(b"\n")?;
    let (count, from) = native.recv_from(&mut [0; 16])?;
    ensure!(count == 5, "{count}");
    native.send_to(b"end", from)?;
    let finished = guest.finish()?.expect_code(0)?.expect_stderr("dropped 1 datagrams")?;
    finished.expect_stdout(&format!("end from {peer}"))?;
    Ok(())
}
