//! IPv6, alone and with IPv4.

use super::multicast::way_to_groups;
use super::{has_ipv6, run};
use anyhow::{Result, ensure};

/// Mapped addresses are granted by rules for IPv4 alone.
#[test]
pub(crate) fn inet6_sockets() -> Result<()> {
    if !has_ipv6() {
        return Ok(());
    }
    let mine = ["[::]:*", "[::1]:*", "[fe80::/10]:*", "0.0.0.0:*", "127.0.0.1:*"];
    let theirs = ["[::1]:*", "[fe80::/10]:*", "127.0.0.1:*", "[ff02::18:9]:*"];
    let host = mine.iter().fold(run(), |host, addr| host.args(["--listen", addr, "--udp-bind", addr]));
    let host = theirs.iter().fold(host, |host, addr| host.args(["--connect", addr, "--udp-send", addr]));
    let index = way_to_groups();
    let finished = host.arg(guest_tests::INET6_SOCKETS).args(&index).succeed()?;
    ensure!(index.is_none() || finished.stdout == "scoped\n", "{finished}");
    Ok(())
}

/// Also of a program that imports nothing which came after May 2023.
#[test]
pub(crate) fn address_has_flow_and_scope() -> Result<()> {
    if has_ipv6() {
        let host = run().args(["--listen", "[::1]:*", "--connect", "[::1]:*"]);
        host.arg(guest_tests::ADDRESS_HAS_FLOW_AND_SCOPE).succeed()?;
    }
    Ok(())
}

/// A rule for IPv6 is none for an IPv4 address in other words, and the cure is one for
/// IPv4.
#[test]
fn a_mapped_address_is_denied_as_what_it_is() -> Result<()> {
    if !has_ipv6() {
        return Ok(());
    }
    let host = run().args(["--udp-bind", "[::]/0:*", "--udp-send", "[::]/0:*"]);
    let finished = host.args([guest_tests::UDP, "denied", "[::ffff:127.0.0.1]:9"]).succeed()?;
    let told = finished.stderr_lines_with("wasock: denied");
    let cures = ["--udp-send 127.0.0.1:9", "--udp-send 127.0.0.1:9", "--udp-bind 127.0.0.1:0"];
    ensure!(told.len() == cures.len(), "{finished}");
    for (line, cure) in told.iter().zip(cures) {
        ensure!(line.contains("of [::ffff:127.0.0.1]:") && line.ends_with(&format!(" {cure}")), "{finished}");
    }
    Ok(())
}
