//! One program per behaviour: each checks itself and ends with 0.

use super::{has_ipv6, run, run_on_loopback};
use anyhow::{Result, ensure};

/// A test for a program that needs nothing but the loopback address.
macro_rules! on_loopback {
    ($($program:ident $path:ident;)*) => {$(
        #[test]
        pub(crate) fn $program() -> Result<()> {
            run_on_loopback().arg(guest_tests::$path).succeed().map(drop)
        }
    )*};
}

on_loopback! {
    open_kinds OPEN_KINDS;
    unix_protocols UNIX_PROTOCOLS;
    bind_keeps_others_out BIND_KEEPS_OTHERS_OUT;
    bind_port_zero_reports_port BIND_PORT_ZERO_REPORTS_PORT;
    server_survives_resets SERVER_SURVIVES_RESETS;
    timeouts_end_blocking_calls TIMEOUTS_END_BLOCKING_CALLS;
    poll_timeout_precision POLL_TIMEOUT_PRECISION;
    clocks_and_random CLOCKS_AND_RANDOM;
}

/// A test for a program that needs the loopback address and a folder.
macro_rules! with_folder {
    ($($program:ident $path:ident;)*) => {$(
        #[test]
        pub(crate) fn $program() -> Result<()> {
            let folder = tempfile::tempdir()?;
            run_on_loopback()
                .arg("--dir")
                .arg(format!("{}::/", folder.path().display()))
                .arg(guest_tests::$path)
                .succeed()
                .map(drop)
        }
    )*};
}

with_folder! {
    listen_states LISTEN_STATES;
    accept_states ACCEPT_STATES;
    bind_errors BIND_ERRORS;
    connect_errors CONNECT_ERRORS;
    recv_send_flags RECV_SEND_FLAGS;
    shutdown_half_close SHUTDOWN_HALF_CLOSE;
    socket_options SOCKET_OPTIONS;
    rights RIGHTS;
    poll_mix POLL_MIX;
    renumber_moves RENUMBER_MOVES;
}

#[test]
pub(crate) fn accept_peer_addresses() -> Result<()> {
    run_on_loopback().arg(guest_tests::ACCEPT_PEER_ADDRESSES).succeed().map(drop)
}

#[test]
fn accept_peer_addresses_over_ipv6() -> Result<()> {
    if !has_ipv6() {
        return Ok(());
    }
    run()
        .args(["--listen", "[::1]:*", "--connect", "[::1]:*"])
        .args([guest_tests::ACCEPT_PEER_ADDRESSES, "[::1]:0"])
        .succeed()
        .map(drop)
}

#[test]
pub(crate) fn port_probe() -> Result<()> {
    let finished = run().arg(guest_tests::PORT_PROBE).succeed()?;
    ensure!(finished.stderr.is_empty(), "the probe is no matter for the operator\n{finished}");
    Ok(())
}

#[test]
fn port_probe_leads_nowhere() -> Result<()> {
    let finished = run().args([guest_tests::PORT_PROBE, "listen"]).succeed()?;
    // Twice refused, once printed.
    let denials = finished.stderr_lines_with("denied");
    ensure!(denials.len() == 1, "one denial\n{finished}");
    finished.expect_stderr("denied sock_listen of 0.0.0.0:10275")?;
    Ok(())
}

#[test]
pub(crate) fn accept_without_descriptors() -> Result<()> {
    // 0 to 2, a listener and a client: eleven are left, one of which is given back.
    run_on_loopback()
        .args(["--max-fds", "16", guest_tests::ACCEPT_WITHOUT_DESCRIPTORS])
        .succeed()?
        .expect_stdout("10\n")
        .map(drop)
}

#[test]
pub(crate) fn descriptor_table() -> Result<()> {
    run_on_loopback()
        .args(["--max-fds", "64", guest_tests::DESCRIPTOR_TABLE])
        .succeed()?
        .expect_stdout("highest 63\n")
        .map(drop)
}

#[test]
fn descriptor_table_of_1024_by_default() -> Result<()> {
    run_on_loopback().arg(guest_tests::DESCRIPTOR_TABLE).succeed()?.expect_stdout("highest 1023\n").map(drop)
}

/// What the guest sees of the host's network, with these grants.
fn told_of_network(grants: &[&str]) -> Result<Vec<String>> {
    let finished = run().args(grants).arg(guest_tests::PORT_CALLS).succeed()?;
    ensure!(finished.stderr.is_empty(), "nothing was denied\n{finished}");
    Ok(finished.stdout.lines().map(str::to_owned).collect())
}

/// Addresses where a socket of its may be, and networks where it may send to: no others.
#[test]
pub(crate) fn port_calls() -> Result<()> {
    ensure!(told_of_network(&[])?.is_empty());
    for grant in ["--listen", "--udp-bind"] {
        let told = told_of_network(&[grant, "127.0.0.1:*"])?;
        ensure!(told == ["address 127.0.0.1/8"], "{told:?}");
        let nobodys = told_of_network(&[grant, "192.0.2.1:80"])?;
        ensure!(nobodys.is_empty(), "{nobodys:?}");
    }
    let granted = ["--connect", "10.0.0.0/8:443", "--udp-send", "192.0.2.1:53", "--connect", "10.1.0.0/16:*"];
    let told = told_of_network(&granted)?;
    ensure!(told == ["route 10.0.0.0/8", "route 192.0.2.1/32"], "{told:?}");
    let told = told_of_network(&["--connect", "[2001:db8::]/32:*"])?;
    ensure!(told == ["route 2001:db8::/32"], "{told:?}");
    Ok(())
}

/// A guest that may listen everywhere sees all that the host has.
#[test]
fn port_calls_with_every_address() -> Result<()> {
    let mut all: Vec<_> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| match interface.addr {
            if_addrs::IfAddr::V4(four) => format!("address {}/{}", four.ip, four.prefixlen),
            if_addrs::IfAddr::V6(six) => format!("address {}/{}", six.ip, six.prefixlen),
        })
        .collect();
    all.sort();
    for grant in ["*:80", "[::]:80"] {
        let mut told = told_of_network(&["--listen", grant])?;
        told.sort();
        ensure!(told == all, "{told:?}, not {all:?}");
    }
    all.retain(|address| !address.contains(':'));
    let mut told = told_of_network(&["--listen", "0.0.0.0:80"])?;
    told.sort();
    ensure!(told == all, "{told:?}, not {all:?}");
    Ok(())
}

/// The operator's limit holds for every buffer, however a socket came to be; it is reported
/// once, and the trace shows which call it was.
#[test]
pub(crate) fn socket_buffers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = run_on_loopback()
        .args(["--listen", "unix:*", "--connect", "unix:*", "--trace"])
        .args(["--dir", &format!("{}::/run", folder.path().display())])
        .args(["--max-socket-buffer", "64K", guest_tests::SOCKET_BUFFERS, "65536"])
        .succeed()?;
    let told = finished.stderr_lines_with("(--max-socket-buffer 65536)");
    ensure!(told.len() == 1, "not told once\n{finished}");
    finished.expect_stderr("size=1073741824) = 0 max-socket-buffer=65536").map(drop)
}

/// The rules themselves are run one by one, by the tests of `listen`.
#[test]
pub(crate) fn listen_rules() -> Result<()> {
    let tests = concat!(
        include_str!("listen/rows.rs"),
        include_str!("listen/cells.rs"),
        include_str!("listen/close.rs"),
        include_str!("listen/stress.rs"),
    );
    let list = run().arg(guest_tests::LISTEN_RULES).succeed()?;
    for rule in list.stdout.lines() {
        ensure!(tests.contains(&format!("holds(profile, \"{rule}\")")), "no test of {rule}");
    }
    run().args([guest_tests::LISTEN_RULES, "no_such_rule"]).finish()?.expect_code(134).map(drop)
}

/// It is driven by the tests of `listen`.
#[test]
pub(crate) fn listener() -> Result<()> {
    run_on_loopback()
        .args([guest_tests::LISTENER, "127.0.0.1:0", "4"])
        .succeed()?
        .expect_stderr("listening on 127.0.0.1:")
        .map(drop)
}

/// It ends on request, whatever the host has left: see `listen::descriptors`, which
/// looks at what it does meanwhile.
#[test]
pub(crate) fn epoll_without_descriptors() -> Result<()> {
    let mut guest =
        run_on_loopback().arg(guest_tests::EPOLL_WITHOUT_DESCRIPTORS).limit_descriptors(40).start()?;
    guest.listening()?;
    guest.stop().map(drop)
}
