//! What clients of a service notice of its reloads and restarts: the guest beside itself, in quiet.

use super::build::Built;
use super::client::{Client, Clients, Values};
use super::process::{Process, free_address};
use super::server::{Service, Side};
use super::stats::median;
use super::workload::Module;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many reloads there are, one a second.
const RELOADS: u32 = 100;
const RELOADS_IN_QUICK: u32 = 10;

/// How long the quiet run takes.
const QUIET: u32 = 10;

/// The p99 of the run with reloads, by that of the quiet one.
const MOST_P99: f64 = 2.0;

/// How often a guest is made to trap.
const TRAPS: usize = 11;

/// The first answer after a trap, in milliseconds.
const MOST_RESTART: f64 = 20.0;

/// How long anything may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// How the clients use their connections.
#[derive(Clone, Copy)]
enum Use {
    Kept,
    OneRequest,
}

/// Measures them, and says it as a table.
///
/// # Errors
///
/// Where a client sees an error, or a reload fails.
pub(super) fn table(built: &Built, clients: Clients, is_quick: bool) -> Result<String> {
    ensure!(clients.wrk, "wrk is not installed");
    let reloads = if is_quick { RELOADS_IN_QUICK } else { RELOADS };
    let mut text =
        String::from("| what | quiet | with reloads | ratio | goal | |\n|---|---|---|---|---|---|\n");
    for (name, how) in
        [("keep-alive, 32 connections", Use::Kept), ("a connection a request, 16 at once", Use::OneRequest)]
    {
        let quiet = run(built, clients, how, None)?;
        let reloaded = run(built, clients, how, Some(reloads))?;
        let p99 = |values: &Values| values.get("p99_us").copied().context("no p99");
        let (quiet_p99, p99) = (p99(&quiet)?, p99(&reloaded)?);
        let ratio = p99 / quiet_p99;
        let (goal, mark) = (format!("at most {MOST_P99}"), mark(ratio <= MOST_P99));
        let name = format!("p99 under {reloads} reloads, one a second: {name}");
        _ = writeln!(text, "| {name} | {quiet_p99:.0} us | {p99:.0} us | {ratio:.2} | {goal} | {mark} |");
        let count = reloaded.get("count").copied().unwrap_or_default();
        _ = writeln!(text, "| requests, and errors among them | | {count:.0}, 0 | | 0 errors | reached |");
    }
    let restart = restart(built)?;
    let goal = format!("at most {MOST_RESTART} ms");
    let mark = mark(restart <= MOST_RESTART);
    _ = writeln!(text, "| from a trap to the first answer | | {restart:.1} ms | | {goal} | {mark} |");
    Ok(text)
}

pub(super) fn mark(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "**missed**" }
}

/// One run of wrk, with so many reloads, or quiet. wrk tells of each connection that is refused or reset,
/// and that is an error here.
fn run(built: &Built, clients: Clients, how: Use, reloads: Option<u32>) -> Result<Values> {
    let address = free_address()?;
    // Beyond the run: whoever keeps a connection keeps it.
    let flags = ["--reload-signal=USR2", "--drain-timeout=1h"];
    let service = flags.iter().fold(Service::http("epoll"), |service, flag| service.with_flag(flag));
    let server = service.start(built, Side::Guest, address)?;
    let clients = Clients { seconds: reloads.unwrap_or(QUIET).saturating_add(1).into(), ..clients };
    let client = match how {
        Use::Kept => clients.wrk(address, 32)?,
        Use::OneRequest => {
            let mut client = clients.wrk(address, 16)?;
            client.command.args(["-H", "Connection: close"]);
            client
        }
    };
    let values = drive(built, client, &server, reloads.unwrap_or(0));
    let values = values.with_context(|| format!("the server said {:?}", server.said()))?;
    server.stop()?;
    Ok(values)
}

fn drive(built: &Built, mut client: Client, server: &Process, reloads: u32) -> Result<Values> {
    client.command.stdout(Stdio::piped());
    let client_runs = Process::start(client.command, &built.folder.log("client"))?;
    let begun = Instant::now();
    for number in 1..=reloads {
        let due = Duration::from_secs(1).saturating_mul(number);
        sleep(due.saturating_sub(begun.elapsed()));
        server.signal(Signal::USR2)?;
        wait_until_it_says(server, &format!("generation {} serves", number + 1))?;
    }
    let finished = client_runs.finish(WAIT_TIMEOUT + Duration::from_secs(QUIET.into()))?;
    (client.read)(&finished.stdout)
}

fn wait_until_it_says(server: &Process, text: &str) -> Result<()> {
    let begun = Instant::now();
    while !server.said().contains(text) {
        if begun.elapsed() > WAIT_TIMEOUT {
            bail!("it does not say {text:?}");
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The median of the times from a trap to the first answer after it, in milliseconds.
fn restart(built: &Built) -> Result<f64> {
    median((0..TRAPS).map(|_| restart_once(built)).collect::<Result<Vec<_>>>()?).context("no restart")
}

/// In a process of its own each time: the next instance starts at once only after a first failure.
fn restart_once(built: &Built) -> Result<f64> {
    let address = free_address()?;
    let service = Service::http("epoll").with_argument("fragile").with_flag("--restart=on-failure");
    let server = service.command(built, Side::Guest, Module::Small, address).start(built, address)?;
    ask(address, "GET")?;
    // It sees the end of its connection at the trap.
    let traps = ask(address, "TRAP");
    ensure!(traps.is_err(), "it did not trap");
    let begun = Instant::now();
    ask(address, "GET")?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    server.stop()?;
    Ok(took)
}

/// Asks for the page by this method, on a connection of its own.
///
/// # Errors
///
/// Where there is no answer.
fn ask(address: SocketAddr, method: &str) -> Result<()> {
    ask_within(address, method, WAIT_TIMEOUT)
}

/// The same, where the answer may take so long.
///
/// # Errors
///
/// Where there is no answer.
pub(super) fn ask_within(address: SocketAddr, method: &str, limit: Duration) -> Result<()> {
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "answered {:?}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// As [`TcpStream::connect`]. While nobody listens there the kernel may give a client that very port: it is
/// connected to itself, which is no service.
pub(super) fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    if stream.local_addr()? == address {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}
