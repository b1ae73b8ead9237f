//! `--probes`: what an orchestrator and a collector of metrics are answered, and nothing besides.

use super::{WAIT_TIMEOUT, ask, run_on_loopback, wasock};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{HttpClient, Response, Running};
use rustix::process::Signal;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

/// A server of pages with probes at a port of the host's choice.
struct Probed {
    running: Running,
    probes: SocketAddr,
}

impl Probed {
    fn start(flags: &[&str]) -> Result<Self> {
        let command = run_on_loopback().args(["--probes", "127.0.0.1:0"]).args(flags);
        let mut running = command.args([guest_tests::HTTP_SERVER, "127.0.0.1:0"]).start()?;
        let line = running.wait_for_stderr("wasock: probes at ")?;
        let probes = line.rsplit(' ').next().context("no address")?.parse()?;
        Ok(Self { running, probes })
    }

    /// A cluster's own names are in `Host`.
    fn ask(&self, method: &str, path: &str) -> Result<Response> {
        ask(TcpStream::connect(self.probes)?, method, path, "web-5d8f7.web.svc:9000", "")
    }
}

#[test]
fn probes_are_answered_and_nothing_else_is() -> Result<()> {
    let mut probed = Probed::start(&[])?;
    let addr = probed.running.listening()?;
    HttpClient::connect(addr)?.get("/")?;
    // The service learns a moment later that it serves.
    let begun = Instant::now();
    while probed.ask("GET", "/readyz")?.status != 200 {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "not ready");
    }
    for (path, expected) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = probed.ask("GET", path)?;
        ensure!(answer.status == 200 && answer.text() == expected, "{path}: {answer:?}");
    }
    let metrics = probed.ask("GET", "/metrics")?.text();
    ensure!(metrics.lines().any(|line| line.starts_with("wasock_ready 1")), "{metrics}");
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/status", 404),
        ("POST", "/reload", 404),
        ("POST", "/drain", 404),
        ("POST", "/limits", 404),
        ("POST", "/healthz", 405),
    ] {
        let answer = probed.ask(method, path)?;
        ensure!(answer.status == status, "{method} {path}: {answer:?}");
    }
    probed.running.stop().map(drop)
}

#[test]
fn a_service_that_drains_is_healthy_and_not_ready() -> Result<()> {
    let mut probed = Probed::start(&["--drain-timeout", "60s"])?;
    let addr = probed.running.listening()?;
    let mut client = HttpClient::connect(addr)?;
    client.get("/")?;
    probed.running.signal(Signal::TERM)?;
    probed.running.wait_for_stderr("SIGTERM: the connections may end")?;
    ensure!(probed.ask("GET", "/healthz")?.status == 200);
    let answer = probed.ask("GET", "/readyz")?;
    ensure!(answer.status == 503 && answer.text() == "the service drains\n", "{answer:?}");
    // It ends with its last connection.
    drop(client);
    probed.running.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_port_that_is_taken_is_a_sentence() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let at = taken.local_addr()?.to_string();
    let run = run_on_loopback().args(["--probes", &at, guest_tests::HTTP_SERVER, "127.0.0.1:0"]);
    run.finish()?.expect_code(1)?.expect_stderr(&format!("cannot answer probes at {at} (--probes)"))?;
    let run = wasock().args(["run", "--probes", "localhost:9000", guest_tests::HTTP_SERVER]);
    run.finish()?.expect_code(2)?.expect_stderr("there is --admin").map(drop)
}
