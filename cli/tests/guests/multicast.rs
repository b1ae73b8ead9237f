//! Groups of multicast, on this machine and no further: see the guest.

use super::{has_ipv6, run};
use anyhow::{Context as _, Result, ensure};
use guest_tests::Wasock;
use std::fs;
use std::net::UdpSocket;

/// Everything that the guest does with groups.
fn granted() -> Wasock {
    let bind = ["0.0.0.0:*", "127.0.0.1:*", "[::]:*", "239.255.18.0/23:*", "[ff01::18:7]:*"];
    let send = ["239.255.18.0/23:*", "[ff01::18:7]:*"];
    let host = bind.iter().fold(run(), |host, addr| host.args(["--udp-bind", addr]));
    send.iter().fold(host, |host, addr| host.args(["--udp-send", addr]))
}

/// The index of an interface of this machine.
fn index_of(interface: &str) -> Result<String> {
    let path = format!("/sys/class/net/{interface}/ifindex");
    Ok(fs::read_to_string(&path).context(path)?.trim().to_owned())
}

/// The index of the interface through which groups of IPv6 are reached, where there is
/// one. A test that needs it says so and ends well.
pub(super) fn way_to_groups() -> Option<String> {
    let routes = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let to_groups = |line: &&str| line.starts_with("ff000000000000000000000000000000 08");
    let interface = routes.lines().find(to_groups).and_then(|line| line.split_whitespace().last());
    let index = interface.and_then(|interface| index_of(interface).ok());
    if index.is_none() {
        eprintln!("passed over in part: this machine has no way to groups of IPv6");
    }
    index
}

#[test]
pub(crate) fn multicast() -> Result<()> {
    granted().args([guest_tests::MULTICAST, "rules"]).succeed()?;
    if has_ipv6() {
        granted().args([guest_tests::MULTICAST, "rules6", &index_of("lo")?]).succeed()?;
    }
    Ok(())
}

#[test]
fn a_group_is_received_by_its_members() -> Result<()> {
    granted().args([guest_tests::MULTICAST, "v4"]).succeed()?;
    Ok(())
}

/// On the interface of the kernel's choice, and on the same by its index.
#[test]
fn a_group_of_ipv6_is_received_by_its_members() -> Result<()> {
    if let Some(index) = way_to_groups() {
        for index in ["0", &index] {
            granted().args([guest_tests::MULTICAST, "v6", index]).succeed()?;
        }
    }
    Ok(())
}

/// What goes no further than this machine still has to have a way out of it.
#[test]
fn a_sender_receives_its_own_messages_if_set() -> Result<()> {
    let probe = UdpSocket::bind("0.0.0.0:0")?;
    if probe.connect("239.255.18.7:9").is_err() {
        eprintln!("passed over: this machine has no way to groups of IPv4");
        return Ok(());
    }
    granted().args([guest_tests::MULTICAST, "looped"]).succeed()?;
    Ok(())
}

/// Joining gives an address that receives messages, whatever the port.
#[test]
fn a_group_that_is_not_granted_is_denied() -> Result<()> {
    let host = run().args(["--udp-bind", "127.0.0.1:*", "--udp-bind", "239.255.18.8:0"]);
    let finished = host.args([guest_tests::MULTICAST, "denied"]).succeed()?;
    let bound = finished.stderr_lines_with("bound on 127.0.0.1:");
    let port = bound.first().and_then(|line| line.split(['(', ' ']).nth(3)).context("no port")?;
    let port = port.rsplit(':').next().context("no port")?;
    let told = finished.stderr_lines_with("wasock: denied");
    let expected = [
        ("sock_join_multicast_v4", "--udp-bind", format!("239.255.18.7:{port}")),
        ("sock_send_to", "--udp-send", "239.255.18.7:9".to_owned()),
        ("sock_bind", "--udp-bind", "239.255.18.8:7".to_owned()),
    ]
    .map(|(call, flag, addr)| {
        format!("wasock: denied {call} of {addr}: no {flag} grant covers it; allow it with {flag} {addr}")
    });
    ensure!(told == expected, "{finished}");
    Ok(())
}
