//! The load generator: a client of its own process, so that what it uses of the machine
//! can be told from what the server uses.
//!
//! One thread and one epoll, and as few calls as the work allows: it must not be what is
//! measured. `bench-harness __load KIND ADDR NAME=VALUE…` writes one line of `name=value` pairs.
//! The names are those of [`Options`].

mod bulk;
mod churn;
mod exchange;
mod mostly_idle;
mod paced;
mod turns;

use crate::stats::percentile;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Does what the arguments after `__load` say.
///
/// # Errors
///
/// When the server ends a connection too early, or the arguments say nothing.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let kind = arguments.next().context("no kind of load")?;
    let address = arguments.next().context("no address")?;
    let options = Options { address: address.parse().context(address)?, named: named(arguments)? };
    let measured = match kind.as_str() {
        "turns" => turns::run(&options),
        "paced" => paced::run(&options),
        "send" => bulk::send(&options),
        "receive" => bulk::receive(&options),
        "churn" => churn::run(&options),
        "mostly-idle" => mostly_idle::run(&options),
        _ => bail!("no such load: {kind}"),
    };
    println!("{}", measured?.line());
    Ok(())
}

/// What is asked for.
struct Options {
    address: SocketAddr,
    named: BTreeMap<String, String>,
}

impl Options {
    fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.named.get(name).with_context(|| format!("{name} is missing"))?;
        text.parse().ok().with_context(|| format!("{name}={text}"))
    }

    fn seconds(&self) -> Result<Duration> {
        Duration::try_from_secs_f64(self.number("seconds")?).context("seconds")
    }

    fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    fn text(&self, name: &str) -> &str {
        self.named.get(name).map_or("", String::as_str)
    }
}

/// Pairs of `name=value`, as they stand in arguments and in what this program answers.
///
/// # Errors
///
/// When one has no `=`.
pub(super) fn named<T: AsRef<str>>(pairs: impl Iterator<Item = T>) -> Result<BTreeMap<String, String>> {
    let mut named = BTreeMap::new();
    for pair in pairs {
        let pair = pair.as_ref();
        let (name, value) = pair.split_once('=').with_context(|| format!("{pair} has no ="))?;
        named.insert(name.to_owned(), value.to_owned());
    }
    Ok(named)
}

/// What was seen.
struct Measured {
    begun: Instant,
    /// How much was done: exchanges, connections, bytes.
    count: u64,
    /// How long each took, in nanoseconds.
    times: Vec<u64>,
}

impl Measured {
    fn begin() -> Self {
        Self { begun: Instant::now(), count: 0, times: Vec::with_capacity(1 << 20) }
    }

    /// One of them is done, which was begun `since`.
    fn done(&mut self, since: Instant) {
        self.count += 1;
        self.times.push(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }

    fn line(mut self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.times.sort_unstable();
        let microseconds = |share| percentile(&self.times, share).map_or(f64::NAN, |time| time / 1e3);
        format!(
            "count={} seconds={seconds:.6} rate={:.3} p50_us={:.3} p99_us={:.3}",
            self.count,
            self.count as f64 / seconds,
            microseconds(500),
            microseconds(990),
        )
    }
}
