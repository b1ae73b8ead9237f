//! Grants and denials on the command line.

use super::{has_ipv6, run};
use anyhow::{Result, ensure};
use guest_tests::{Finished, HttpClient, is_refused_from};
use std::net::{TcpListener, UdpSocket};

/// Insists that the call was denied by this rule, and that no flag is said to allow it.
fn is_denied(finished: Finished, line: &str) -> Result<()> {
    let denials = finished.stderr_lines_with("wasock: denied");
    ensure!(denials == [format!("wasock: denied {line} forbids it")], "{finished}");
    finished.expect_no_stderr("allow it with").map(drop)
}

#[test]
fn shorthands_of_a_listener_are_what_people_expect() -> Result<()> {
    let mut cases = vec![
        ("localhost:0", "127.0.0.1:0", true),
        ("localhost:0", "127.0.0.2:0", false),
        ("localhost:0", "0.0.0.0:0", false),
        (":0", "127.0.0.1:0", true),
        (":0", "0.0.0.0:0", true),
        ("0", "127.0.0.2:0", true),
        ("0-1", "0.0.0.0:0", true),
    ];
    if has_ipv6() {
        cases.extend([("localhost:0", "[::1]:0", true), (":0", "[::]:0", true), ("0", "[::1]:0", true)]);
    }
    for (grant, addr, is_allowed) in cases {
        let mut server = run().args(["--listen", grant, guest_tests::HTTP_SERVER, addr]).start()?;
        if is_allowed {
            let port = server.listening()?.port();
            let ip = if addr.starts_with('[') { "[::1]" } else { addr.split(':').next().unwrap_or_default() };
            let ip = if ip == "0.0.0.0" { "127.0.0.1" } else { ip };
            HttpClient::connect(format!("{ip}:{port}").parse()?)?.get("/")?;
            server.stop()?;
        } else {
            server.finish()?.expect_code(1)?.expect_stderr("no --listen grant covers it")?;
        }
    }
    Ok(())
}

#[test]
fn shorthands_are_for_verbs_that_listen() -> Result<()> {
    for (flag, value, sentence) in [
        ("--connect", ":443", "the host is missing (for any, write *)"),
        ("--connect", "443", "the port is missing"),
        ("--connect", "localhost:443", "(write 127.0.0.1 or [::1])"),
        ("--udp-send", ":53", "the host is missing (for any, write *)"),
        ("--deny", "localhost:1", "(write 127.0.0.1 or [::1])"),
    ] {
        let finished = run().args([flag, value, guest_tests::TRAP]).finish()?.expect_code(2)?;
        finished.expect_one_line()?.expect_stderr(sentence)?;
    }
    for flag in ["--listen", "--udp-bind", "--deny-listen", "--deny-udp-bind"] {
        for value in [":53", "53", "localhost:53"] {
            run().args([flag, value, guest_tests::ARGS_ENV_EXIT, "0"]).succeed()?;
        }
    }
    Ok(())
}

#[test]
fn a_denial_wins_over_a_grant() -> Result<()> {
    let server = |flags: &[&str], addr: &str| {
        run().args(["--listen", "*:*"]).args(flags).args([guest_tests::HTTP_SERVER, addr]).finish()
    };
    for addr in ["127.0.0.1:0", "0.0.0.0:0"] {
        for flag in ["--deny", "--deny-listen"] {
            let rule = format!("sock_bind of {addr}: {flag} 127.0.0.0/8:0");
            is_denied(server(&[flag, "127.0.0.0/8:0"], addr)?.expect_code(1)?, &rule)?;
        }
    }
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let client = |flags: &[&str]| {
        run().args(["--connect", "*:*"]).args(flags).args([guest_tests::CLIENT, &closed, ""]).finish()
    };
    for flag in ["--deny", "--deny-connect"] {
        let rule = format!("sock_connect of {closed}: {flag} 127.0.0.1:*");
        is_denied(client(&[flag, "127.0.0.1:*"])?.expect_code(2)?, &rule)?;
    }
    // A verb of its own.
    client(&["--deny-listen", "*:*", "--deny-udp-send", "*:*"])?.expect_no_stderr("denied")?;
    Ok(())
}

/// The kernel takes the wildcard for the loopback address, and so does a denial.
#[test]
fn a_denial_holds_for_another_name_of_the_address() -> Result<()> {
    let finished = run()
        .args(["--connect", "*:*", "--deny-connect", "127.0.0.1:*", guest_tests::CLIENT, "0.0.0.0:9", ""])
        .finish()?;
    is_denied(finished, "sock_connect of 127.0.0.1:9: --deny-connect 127.0.0.1:*")
}

/// Whatever the host chooses is asked for too.
#[test]
fn a_denied_port_is_not_the_hosts_choice() -> Result<()> {
    let finished = run()
        .args(["--listen", "*:*", "--deny-listen", "*:1-65535", guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .finish()?
        .expect_code(1)?
        .expect_no_stderr("listening on")?;
    let denied = finished.stderr_lines_with("wasock: denied sock_listen of 127.0.0.1:");
    ensure!(
        denied.len() == 1 && denied.iter().all(|line| line.ends_with(": --deny-listen *:1-65535 forbids it")),
        "{finished}"
    );
    let finished = run()
        .args(["--udp-bind", "*:*", "--deny-udp-bind", "*:1-65535"])
        .args([guest_tests::DATAGRAM_RECEIVER, "recv", "127.0.0.1:0"])
        .finish()?;
    ensure!(finished.code != Some(0), "{finished}");
    finished.expect_no_stderr("bound on")?.expect_stderr(": --deny-udp-bind *:1-65535 forbids it").map(drop)
}

#[test]
fn denied_peers_are_rejected() -> Result<()> {
    let mut server = run()
        .args([
            "--listen",
            "127.0.0.1:*",
            "--deny-from",
            "127.0.0.2",
            guest_tests::HTTP_SERVER,
            "127.0.0.1:0",
        ])
        .start()?;
    let addr = server.listening()?;
    is_refused_from("127.0.0.2:0".parse()?, addr)?;
    server.wait_for_stderr("--deny-from 127.0.0.2/32 forbids it")?;
    HttpClient::connect(addr)?.get("/")?;
    server.stop()?.expect_no_stderr("allow it with")?;

    let mut server = run()
        .args(["--udp-bind", "127.0.0.1:*", "--deny-from", "127.0.0.2"])
        .args([guest_tests::DATAGRAM_RECEIVER, "recv", "127.0.0.1:0"])
        .start()?;
    let addr = server.bound()?;
    UdpSocket::bind("127.0.0.2:0")?.send_to(b"denied", addr)?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"end", addr)?;
    let finished = server.finish()?.expect_code(0)?.expect_stderr("--deny-from 127.0.0.2/32 forbids it")?;
    ensure!(!finished.stdout.contains("denied"), "{finished}");
    Ok(())
}

#[test]
fn denied_names_are_not_looked_up() -> Result<()> {
    let finished = run()
        .args(["--resolve", "*", "--deny-resolve", "*.example"])
        .args([guest_tests::RESOLVE_NAMES, "localhost", "localhost.example"])
        .finish()?;
    let denied = finished
        .stderr_lines_with("denied resolve of localhost.example: --deny-resolve *.example forbids it");
    ensure!(denied.len() == 1, "{finished}");
    Ok(())
}

#[test]
fn a_name_leads_to_no_address_that_was_not_meant() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (to, port) = (listener.local_addr()?.to_string(), listener.local_addr()?.port());
    let connects = |flags: &[&str]| {
        run().args(flags).args([guest_tests::EGRESS, "look-up", "localhost", "connect", &to]).finish()
    };
    let grant = format!("localhost@10.0.0.0/8:{port}");
    let refused = connects(&["--connect", &grant])?.expect_stdout("EACCES")?;
    let line = format!(
        "wasock: denied sock_connect of {to}: localhost leads there, which is no address that a name is \
         granted for; allow it with --connect localhost@{to}"
    );
    ensure!(refused.stderr_lines_with("wasock: ") == [line], "{refused}");
    // What it says helps.
    connects(&["--connect", &format!("localhost@{to}")])?.expect_stdout(&format!("connect {to}: done"))?;
    // A denial wins.
    let refused = connects(&["--connect", &format!("localhost@{to}"), "--deny-connect", "127.0.0.1:*"])?;
    refused.expect_stdout("EACCES")?.expect_stderr("--deny-connect 127.0.0.1:* forbids it")?;
    Ok(())
}

#[test]
fn only_what_reaches_out_has_a_name() -> Result<()> {
    for (flag, value, sentence) in [
        ("--listen", "example.com:80", "only --connect and --udp-send take one"),
        ("--udp-bind", "example.com:80", "only --connect and --udp-send take one"),
        ("--deny-connect", "example.com:80", "(--deny-resolve denies it)"),
        ("--deny-udp-send", "example.com:80", "(--deny-resolve denies it)"),
        ("--connect", "example.com", "the port is missing"),
        ("--connect", "10.0.0.300:80", "neither an address nor a network"),
        ("--connect", "127.1:80", "neither an address nor a network"),
        ("--connect", "db@nowhere:80", "neither an address nor a network"),
    ] {
        let finished = run().args([flag, value, guest_tests::TRAP]).finish()?.expect_code(2)?;
        finished.expect_one_line()?.expect_stderr(sentence)?;
    }
    Ok(())
}
