//! The clients: what drives a server, and what it says about it.

use super::load::named;
use super::process::{child, own_load};
use super::workload::Drive;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// What a run says, by name: `rate` a second, how many (`count`), times in `us`.
pub(super) type Values = BTreeMap<String, f64>;

/// Which clients this machine has, and for how long they work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clients {
    pub(super) wrk: bool,
    pub(super) ab: bool,
    pub(super) seconds: f64,
}

/// How what a client says is read.
pub(super) type Reading = fn(&str) -> Result<Values>;

/// A client's command, and how to read what it says.
pub(super) struct Client {
    pub(super) command: Command,
    pub(super) read: Reading,
}

impl Clients {
    /// The client of a drive; a half load needs its `rate`.
    pub(super) fn client(&self, drive: &Drive, address: SocketAddr, rate: f64) -> Result<Client> {
        let seconds = format!("seconds={}", self.seconds);
        let load = |kind: &str, options: &[String]| -> Result<Client> {
            let arguments = [vec![kind.to_owned(), address.to_string()], options.to_vec()].concat();
            Ok(Client { command: own_load(&arguments)?, read: load_values })
        };
        let payload = |payload: &str| format!("payload={payload}");
        let several = |connections: usize| format!("connections={connections}");
        match *drive {
            Drive::Http { connections } if self.wrk => self.wrk(address, connections),
            Drive::Http { connections } => load("turns", &[several(connections), seconds, payload("http")]),
            Drive::Churn { connections } if self.ab => self.ab(address, connections),
            Drive::Churn { connections } => {
                load("churn", &[several(connections), seconds, payload("http-close")])
            }
            Drive::Connect { connections, is_burst } => {
                let mut options = vec![several(connections), seconds, payload("http-close")];
                options.extend(is_burst.then(|| "burst=yes".to_owned()));
                load("churn", &options)
            }
            Drive::Send => load("send", &[seconds]),
            Drive::Receive => load("receive", &[seconds]),
            Drive::HalfLoad { connections } => {
                load("paced", &[several(connections), seconds, payload("64"), format!("rate={rate:.0}")])
            }
            Drive::MostlyIdle { idle, active, payload: what } => {
                let connections = [format!("idle={idle}"), format!("active={active}")];
                load("mostly-idle", &[connections.as_slice(), &[seconds, payload(what)]].concat())
            }
            Drive::Start { .. } => bail!("a start has no client of its own"),
        }
    }

    /// As many echoes as the server can do: half of it is the half load.
    pub(super) fn full_load(&self, connections: usize, address: SocketAddr) -> Result<Client> {
        let seconds = format!("seconds={}", self.seconds.min(1.0));
        let arguments =
            ["turns".to_owned(), address.to_string(), format!("connections={connections}"), seconds];
        let arguments = [arguments.as_slice(), &["payload=64".to_owned()]].concat();
        Ok(Client { command: own_load(&arguments)?, read: load_values })
    }

    pub(super) fn wrk(&self, address: SocketAddr, connections: usize) -> Result<Client> {
        let mut command = child(Path::new("wrk"))?;
        command.args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{}s", self.whole_seconds()),
            "--latency",
        ]);
        command.arg(format!("http://{address}/"));
        Ok(Client { command, read: wrk_values })
    }

    fn ab(&self, address: SocketAddr, connections: usize) -> Result<Client> {
        let seconds = self.whole_seconds();
        // The time ends it. It has a place for the outcome of each request, so the number
        // is not just any.
        let requests = seconds * 200_000;
        let mut command = child(Path::new("ab"))?;
        command.args(["-q", "-r", "-t", &seconds.to_string(), "-n", &requests.to_string()]);
        command.args(["-c", &connections.to_string(), &format!("http://{address}/")]);
        Ok(Client { command, read: ab_values })
    }

    /// These two know no others, and 0 is none.
    fn whole_seconds(&self) -> u64 {
        std::time::Duration::try_from_secs_f64(self.seconds.ceil()).map_or(1, |time| time.as_secs().max(1))
    }
}

/// How what this program says is read, where it is one that is known here.
pub(super) fn reading_of(program: &str) -> Option<Reading> {
    match program.rsplit('/').next()? {
        "wrk" => Some(wrk_values),
        "ab" => Some(ab_values),
        _ => None,
    }
}

/// What our own client says.
pub(super) fn load_values(said: &str) -> Result<Values> {
    let line = said.lines().last().context("the client says nothing")?;
    let pairs = named(line.split_ascii_whitespace())?;
    let number = |(name, value): (String, String)| -> Result<_> { Ok((name, value.parse()?)) };
    pairs.into_iter().map(number).collect()
}

/// What `wrk --latency` says.
fn wrk_values(said: &str) -> Result<Values> {
    let mut values = Values::new();
    for line in said.lines().map(str::trim) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["Requests/sec:", rate] => _ = values.insert("rate".to_owned(), rate.parse()?),
            ["50%", time] => _ = values.insert("p50_us".to_owned(), wrk_time(time)?),
            ["99%", time] => _ = values.insert("p99_us".to_owned(), wrk_time(time)?),
            [count, "requests", "in", ..] => _ = values.insert("count".to_owned(), count.parse()?),
            ["Socket", "errors:", ..] | ["Non-2xx", ..] => bail!("wrk: {line}"),
            _ => {}
        }
    }
    if !values.contains_key("rate") {
        bail!("wrk tells no rate: {said}");
    }
    Ok(values)
}

/// A time such as `1.20ms`, in microseconds.
fn wrk_time(text: &str) -> Result<f64> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic()).with_context(|| text.to_owned())?;
    let (number, unit) = text.split_at(split);
    let microseconds = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => bail!("{text} is no time"),
    };
    Ok(number.parse::<f64>()? * microseconds)
}

/// What `ab` says.
fn ab_values(said: &str) -> Result<Values> {
    let mut values = Values::new();
    for line in said.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let first = value.split_ascii_whitespace().next().unwrap_or_default();
        match name.trim() {
            "Requests per second" => _ = values.insert("rate".to_owned(), first.parse()?),
            "Complete requests" => _ = values.insert("count".to_owned(), first.parse()?),
            "Failed requests" | "Non-2xx responses" if first != "0" => bail!("ab: {line}"),
            _ => {}
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // In milliseconds, and whole ones: too coarse but for what is slow.
        if let ["99%", time, ..] = words.as_slice() {
            values.insert("p99_us".to_owned(), time.parse::<f64>()? * 1e3);
        }
    }
    if !values.contains_key("rate") {
        bail!("ab tells no rate: {said}");
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::{ab_values, load_values, wrk_time, wrk_values};
    use anyhow::Result;

    const WRK: &str = "\
Running 1s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   350.20us  101.00us   3.11ms   91.11%
    Req/Sec    92.31k     3.21k   97.00k    72.73%
  Latency Distribution
     50%  333.00us
     75%  380.00us
     90%  430.00us
     99%    1.20ms
  101234 requests in 1.10s, 9.75MB read
Requests/sec:  92030.91
Transfer/sec:      8.86MB
";

    #[test]
    fn wrk_is_understood() -> Result<()> {
        let values = wrk_values(WRK)?;
        assert_eq!(values.get("rate"), Some(&92_030.91));
        assert_eq!(values.get("count"), Some(&101_234.0));
        assert_eq!(values.get("p50_us"), Some(&333.0));
        assert_eq!(values.get("p99_us"), Some(&1200.0));
        Ok(())
    }

    #[test]
    fn errors_of_wrk_are_errors() {
        let with_errors = format!("{WRK}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(wrk_values(&with_errors).is_err());
        assert!(wrk_values(&format!("{WRK}  Non-2xx or 3xx responses: 4\n")).is_err());
        assert!(wrk_values("unable to connect to 127.0.0.1:1 Connection refused\n").is_err());
    }

    #[test]
    fn times_of_wrk_have_units() -> Result<()> {
        assert_eq!(wrk_time("2.50us")?, 2.5);
        assert_eq!(wrk_time("1.00s")?, 1e6);
        assert_eq!(wrk_time("0.10m")?, 6e6);
        assert!(wrk_time("17").is_err());
        assert!(wrk_time("3h").is_err());
        Ok(())
    }

    const AB: &str = "\
Server Port:            8080

Concurrency Level:      16
Time taken for tests:   2.000 seconds
Complete requests:      29694
Failed requests:        0
Total transferred:      3682056 bytes
Requests per second:    14847.10 [#/sec] (mean)
Time per request:       1.078 [ms] (mean)

Percentage of the requests served within a certain time (ms)
  50%      1
  99%      2
 100%     11 (longest request)
";

    #[test]
    fn ab_is_understood() -> Result<()> {
        let values = ab_values(AB)?;
        assert_eq!(values.get("rate"), Some(&14_847.10));
        assert_eq!(values.get("count"), Some(&29_694.0));
        assert_eq!(values.get("p99_us"), Some(&2000.0));
        Ok(())
    }

    #[test]
    fn errors_of_ab_are_errors() {
        assert!(ab_values(&AB.replace("Failed requests:        0", "Failed requests:        7")).is_err());
        assert!(ab_values("apr_socket_connect(): Connection refused (111)\n").is_err());
    }

    #[test]
    fn our_own_is_understood() -> Result<()> {
        let values = load_values("ready\ncount=10 seconds=2.0 rate=5.0 p50_us=NaN p99_us=7.25\n")?;
        assert_eq!(values.get("rate"), Some(&5.0));
        assert_eq!(values.get("p99_us"), Some(&7.25));
        assert!(load_values("").is_err());
        assert!(load_values("count=many").is_err());
        Ok(())
    }
}
