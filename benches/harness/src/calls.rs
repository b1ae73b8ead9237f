//! What one call of a guest costs, by criterion.
//!
//! The package `benches/calls` is a workspace of its own. It is compiled with the
//! versions of this one, and into the same folder.

use super::report::{figure, mark};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;
use xtask::workspace::{cargo, target_dir, workspace_dir};

/// What a call that does not ask the kernel may cost, in nanoseconds.
const SYNC: f64 = 15.0;
const ASYNC: f64 = 100.0;

/// How long each case runs, in seconds.
const TIMES: [&str; 4] = ["--warm-up-time", "0.3", "--measurement-time", "1.5"];

/// One line that criterion wrote: the memory and the case, and nanoseconds.
#[derive(Clone, Debug, PartialEq)]
struct Timed {
    memory: String,
    kind: String,
    name: String,
    /// The lower bound, the estimate and the upper bound.
    nanoseconds: [f64; 3],
}

impl Timed {
    /// How many calls the case makes in turn.
    fn calls(&self) -> f64 {
        if self.name.contains(" and ") { 2.0 } else { 1.0 }
    }

    fn goal(&self) -> Option<f64> {
        match self.kind.as_str() {
            "sync" => Some(SYNC * self.calls()),
            "async" => Some(ASYNC * self.calls()),
            _ => None,
        }
    }
}

/// The table, as Markdown.
///
/// # Errors
///
/// When the package does not compile, or a call fails.
pub(super) fn table() -> Result<String> {
    eprintln!("calls, by criterion (the first time, Wasmtime is compiled for it)");
    let package = workspace_dir().join("benches/calls");
    // Cargo adds to it what is there for criterion alone.
    fs::copy(workspace_dir().join("Cargo.lock"), package.join("Cargo.lock"))?;
    let mut command = cargo(&["bench", "--bench", "calls", "--manifest-path"]);
    command.arg(package.join("Cargo.toml")).args(["--", "--noplot"]).args(TIMES);
    command.env("CARGO_TARGET_DIR", target_dir()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "the calls failed: {}", String::from_utf8_lossy(&output.stdout));
    let timed = parse(&String::from_utf8_lossy(&output.stdout));
    ensure!(!timed.is_empty(), "criterion tells no times");
    let mut text = String::from(
        "Host calls from a loop in a guest, by criterion: estimate, and the bounds of its 95 % interval. `sync` and \
         `async` calls ask the kernel for nothing here, `system` ones do. What `Wasmtime alone` links does nothing: \
         no host can be below it.\n\n\
         | memory | case | time | goal | |\n|---|---|---|---|---|\n",
    );
    for one in &timed {
        let [low, estimate, high] = one.nanoseconds;
        let goal = one.goal().map_or(String::new(), |goal| format!("at most {goal:.0} ns"));
        let mark = mark(one.goal().map(|goal| estimate <= goal));
        let time = format!("{} ({low:.1}..{high:.1})", figure(estimate, "ns"));
        _ = writeln!(text, "| {} | {}: {} | {time} | {goal} | {mark} |", one.memory, one.kind, one.name);
    }
    Ok(text)
}

/// The times in what criterion writes: the name of a case, on the same line or on the next
/// `time: [low estimate high]`.
fn parse(said: &str) -> Vec<Timed> {
    let mut found = Vec::new();
    let mut name = "";
    for line in said.lines() {
        let Some((before, times)) = line.split_once("time:") else {
            if !line.starts_with(' ') && line.contains('/') {
                name = line.trim();
            }
            continue;
        };
        let name = if before.trim().is_empty() { name } else { before.trim() };
        found.extend(timed(name, times));
    }
    found
}

fn timed(name: &str, times: &str) -> Option<Timed> {
    let (memory, case) = name.split_once('/')?;
    let (kind, case) = case.split_once(": ")?;
    let words: Vec<&str> = times.trim().trim_matches(['[', ']']).split_ascii_whitespace().collect();
    let nanoseconds = |pair: &[&str]| {
        let [number, unit] = pair else { return None };
        let factor = match *unit {
            "ps" => 1e-3,
            "ns" => 1.0,
            "µs" | "us" => 1e3,
            "ms" => 1e6,
            _ => return None,
        };
        Some(number.parse::<f64>().ok()? * factor)
    };
    let times: Vec<f64> = words.chunks(2).map(nanoseconds).collect::<Option<_>>()?;
    let (memory, kind, name) = (memory.to_owned(), kind.to_owned(), case.to_owned());
    Some(Timed { memory, kind, name, nanoseconds: times.try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::{Timed, parse};

    const SAID: &str = "\
plain/sync: futex_wake  time:   [12.111 ns 12.345 ns 12.678 ns]
Found 1 outliers among 100 measurements (1.00%)
  1 (1.00%) high mild
Benchmarking plain/async: fd_write and fd_read of an event descriptor: Warming up for 500 ms
plain/async: fd_write and fd_read of an event descriptor
                        time:   [1.1000 µs 1.2000 µs 1.3000 µs]
                        change: [-1.0% +0.0% +1.0%] (p = 0.50 > 0.05)
";

    #[test]
    fn criterion_is_understood() {
        let timed = |kind: &str, name: &str, nanoseconds| Timed {
            memory: "plain".to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            nanoseconds,
        };
        let expected = [
            timed("sync", "futex_wake", [12.111, 12.345, 12.678]),
            timed("async", "fd_write and fd_read of an event descriptor", [1100.0, 1200.0, 1300.0]),
        ];
        let found = parse(SAID);
        assert_eq!(found, expected);
        let goals: Vec<_> = found.iter().map(Timed::goal).collect();
        assert_eq!(goals, [Some(15.0), Some(200.0)]);
        assert!(parse("nothing of the kind").is_empty());
    }
}
