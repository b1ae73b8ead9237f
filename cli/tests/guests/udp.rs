//! Datagrams over a network.

use super::{has_ipv6, run};
use anyhow::{Result, ensure};
use guest_tests::Wasock;
use std::net::UdpSocket;
use std::time::Duration;

fn granted() -> Wasock {
    let here = ["127.0.0.1:*", "[::1]:*"];
    here.iter().fold(run(), |host, addr| host.args(["--udp-bind", addr, "--udp-send", addr]))
}

#[test]
pub(crate) fn udp() -> Result<()> {
    granted().arg(guest_tests::UDP).succeed()?;
    Ok(())
}

#[test]
fn udp_over_ipv6() -> Result<()> {
    if has_ipv6() {
        granted().args([guest_tests::UDP, "[::1]:0"]).succeed()?;
    }
    Ok(())
}

/// To another program and back; a grant to send is enough for that.
#[test]
fn datagrams_over_a_network_and_back() -> Result<()> {
    let native = UdpSocket::bind("127.0.0.1:0")?;
    native.set_read_timeout(Some(Duration::from_secs(20)))?;
    let addr = native.local_addr()?.to_string();
    let guest = run().args(["--udp-send", &addr, guest_tests::UDP, "native", &addr]).start()?;
    for expected in ["hello", "again"] {
        let mut buf = [0; 16];
        let (count, from) = native.recv_from(&mut buf)?;
        ensure!(buf.get(..count) == Some(expected.as_bytes()), "{buf:?}");
        native.send_to(expected.as_bytes(), from)?;
    }
    guest.finish()?.expect_code(0)?.expect_stdout("answered")?;
    Ok(())
}

/// Streams and datagrams have grants of their own, each for one use.
#[test]
fn datagrams_that_are_not_granted_are_denied() -> Result<()> {
    let program = [guest_tests::UDP, "denied", "127.0.0.1:9"];
    let finished = run().args(["--listen", "*:*", "--connect", "*:*"]).args(program).succeed()?;
    let told = finished.stderr_lines_with("wasock: denied");
    let expected = [
        "sock_send_to of 127.0.0.1:9: no --udp-send grant covers it; allow it with --udp-send 127.0.0.1:9",
        "sock_connect of 127.0.0.1:9: no --udp-send grant covers it; allow it with --udp-send 127.0.0.1:9",
        "sock_bind of 127.0.0.1:0: no --udp-bind grant covers it; allow it with --udp-bind 127.0.0.1:0",
    ]
    .map(|line| format!("wasock: denied {line}"));
    ensure!(told == expected, "{finished}");
    // The wildcard is where it leads.
    let host = run().args(["--udp-send", "0.0.0.0:*"]);
    let finished = host.args([guest_tests::UDP, "denied", "0.0.0.0:9"]).succeed()?;
    finished.expect_stderr("denied sock_send_to of 127.0.0.1:9: no --udp-send grant covers it")?;
    let refused = run().args(["--udp-bind", "unix:/run/a", guest_tests::UDP]).finish()?;
    refused.expect_code(2)?.expect_stderr("granted by --listen and --connect")?;
    Ok(())
}
