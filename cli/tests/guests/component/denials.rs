//! What the policy refuses of a component: the operator reads WIT's names of the calls, and so does the trace.

use crate::run;
use anyhow::{Result, ensure};
use guest_tests::components::{COMPONENT_DENIED, P3_DENIED};
use guest_tests::{Client, is_refused};
use std::net::{SocketAddr, UdpSocket};

/// At an address that no grant has, each call with the argument that the trace prints.
const REFUSED: [(&str, &str, &str); 6] = [
    ("tcp-socket.start-bind", "local-address=", "access-denied"),
    ("tcp-socket.start-connect", "remote-address=", "access-denied"),
    ("udp-socket.start-bind", "local-address=", "access-denied"),
    ("udp-socket.stream", "remote-address=", "access-denied"),
    ("outgoing-datagram-stream.send", "datagrams=", "access-denied"),
    ("resolve-addresses", "name=", "permanent-resolver-failure"),
];

/// The same of WASI 0.3.
const REFUSED_P3: [(&str, &str, &str); 6] = [
    ("tcp-socket.bind", "local-address=", "access-denied"),
    ("tcp-socket.connect", "remote-address=", "access-denied"),
    ("udp-socket.bind", "local-address=", "access-denied"),
    ("udp-socket.connect", "remote-address=", "access-denied"),
    ("udp-socket.send", "remote-address=", "access-denied"),
    ("resolve-addresses", "name=", "permanent-resolver-failure"),
];

/// What comes in by itself is refused for the call that would have returned it.
const NOT_LET_IN: [&str; 2] = ["tcp-socket.accept", "incoming-datagram-stream.receive"];

/// In WASI 0.3 connections come of the stream that listening returns.
const NOT_LET_IN_P3: [&str; 2] = ["tcp-socket.listen", "udp-socket.receive"];

#[test]
pub(crate) fn component_denied() -> Result<()> {
    each_refusal_is_told(COMPONENT_DENIED, &REFUSED, &NOT_LET_IN)
}

#[test]
pub(crate) fn p3_denied() -> Result<()> {
    each_refusal_is_told(P3_DENIED, &REFUSED_P3, &NOT_LET_IN_P3)
}

/// Whoever runs the component is told of each call, and no call of a module's is among what is printed.
fn each_refusal_is_told(component: &str, refused: &[(&str, &str, &str)], not_let_in: &[&str]) -> Result<()> {
    let foreign = "192.0.2.7:9";
    let mut guest = run()
        .args(["--listen", "127.0.0.1:*", "--udp-bind", "127.0.0.1:*", "--accept-from", "127.0.0.2"])
        .args(["--trace", component, foreign])
        .start()?;
    let listener = guest.listening()?;
    let line = guest.wait_for_stdout("receives at ")?;
    let receiver: SocketAddr = line.trim_start_matches("receives at ").parse()?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"refused", receiver)?;
    is_refused(listener)?;
    let admitted = Client::connect_from(SocketAddr::from(([127, 0, 0, 2], 0)), listener)?;
    let finished = guest.finish()?.expect_code(0)?;
    drop(admitted);

    for &(call, argument, code) in refused {
        let told = finished.stderr_lines_with(&format!("wasock: denied {call} of "));
        ensure!(told.len() == 1, "{call}: {told:?}\n{finished}");
        let is_it = |line: &&&str| line.starts_with(call) && line.contains(argument) && line.contains(code);
        let traced = finished.stderr_lines_with(call);
        ensure!(traced.iter().any(|line| is_it(&line)), "{call}: {traced:?}");
    }
    for &call in not_let_in {
        let told = finished.stderr_lines_with(&format!("wasock: denied {call} of 127.0.0.1"));
        ensure!(told.len() == 1, "{call}: {told:?}\n{finished}");
    }
    finished.expect_no_stderr("sock_").map(drop)
}
