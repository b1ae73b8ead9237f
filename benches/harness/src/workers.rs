//! Two workers beside one, of a server whose requests compute: so the client is no limit.

use super::process::free_address;
use super::run::Runner;
use super::server::{Service, Side};
use super::service::mark;
use super::stats::Spread;
use super::workload::{Drive, Module};
use anyhow::{Context, Result};
use std::fmt::Write as _;

/// The rate of two, by that of one.
const LEAST_RATE: f64 = 1.7;

/// The processor time of a request with two, by that with one.
const MOST_TIME: f64 = 1.05;

/// A connection for each request: a worker takes the next one when it is done with the last.
const DRIVE: Drive = Drive::Connect { connections: 16, is_burst: false };

/// One run.
#[derive(Clone, Copy)]
struct Figures {
    /// Requests a second.
    rate: f64,
    /// The server's processor time of one, in microseconds.
    time: f64,
}

/// Measures so many rounds, in turn, and says them as a table.
///
/// # Errors
///
/// Where a run fails.
pub(super) fn table(runner: &Runner<'_>, rounds: usize) -> Result<String> {
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        pairs.push((run(runner, 1)?, run(runner, 2)?));
    }
    let spread = |of: fn(&(Figures, Figures)) -> f64| Spread::of(pairs.iter().map(of)).context("no figure");
    let (one, two) = (spread(|(one, _)| one.rate)?, spread(|(_, two)| two.rate)?);
    let rate = spread(|(one, two)| two.rate / one.rate)?;
    let mut text =
        String::from("| what | 1 worker | 2 workers | ratio | | goal | |\n|---|---|---|---|---|---|---|\n");
    _ = writeln!(
        text,
        "| requests that compute for some 2 ms, a connection each, 16 at once | {:.0} /s | {:.0} /s | {:.2} | {:.2} to \
         {:.2} | at least {LEAST_RATE:.2} | {} |",
        one.median,
        two.median,
        rate.median,
        rate.min,
        rate.max,
        mark(rate.median >= LEAST_RATE)
    );
    let (one, two) = (spread(|(one, _)| one.time)?, spread(|(_, two)| two.time)?);
    let time = spread(|(one, two)| two.time / one.time)?;
    _ = writeln!(
        text,
        "| the server's processor time of one | {:.1} us | {:.1} us | {:.3} | {:.3} to {:.3} | at most {MOST_TIME:.2} | {} |",
        one.median,
        two.median,
        time.median,
        time.min,
        time.max,
        mark(time.median <= MOST_TIME)
    );
    Ok(text)
}

fn run(runner: &Runner<'_>, workers: u32) -> Result<Figures> {
    let address = free_address()?;
    let service =
        Service::http("epoll").with_argument("computing").with_flag(&format!("--workers={workers}"));
    let invocation = service.command(runner.built, Side::Guest, Module::Small, address);
    let values = runner.run_at(address, &invocation, &DRIVE, 0.0)?.values;
    let value = |name: &str| values.get(name).copied().with_context(|| format!("no {name}"));
    Ok(Figures { rate: value("rate")?, time: value("server_us")? })
}
