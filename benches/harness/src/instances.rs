//! Instances for connections, made and ended in one process, beside Wasmtime alone.

use super::goal::Goal;
use super::instructions::build;
use super::process::{Process, child};
use super::service::mark;
use super::stats::Spread;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;
use xtask::workspace::target_dir;

/// The most that one with a memory of its own may take, in microseconds.
const MOST: f64 = 30.0;

const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// Measures them, and says it as a table.
///
/// # Errors
///
/// Where the bench does not compile or run.
pub(super) fn table() -> Result<String> {
    let mut command = child(&build("instances")?)?;
    command.stdout(Stdio::piped());
    let log = target_dir().join("bench/instances.log");
    let said = Process::start(command, &log)?.finish(WAIT_TIMEOUT)?.stdout;
    let mut text =
        String::from("| what | wasock | Wasmtime alone | ratio | goal | |\n|---|---|---|---|---|---|\n");
    for line in said.lines() {
        let (name, ours, theirs) = medians(line).with_context(|| format!("the bench said {line:?}"))?;
        let goal = if name == "own-memory" { Goal::GuestAtMost(MOST) } else { Goal::None };
        let is_reached = goal.is_reached(Spread { median: ours, min: ours, max: ours }, None);
        let (ratio, goal, mark) = (ours / theirs, goal.text("us"), is_reached.map_or("", mark));
        _ = writeln!(
            text,
            "| median of an instance for a connection, from its context to its end, {} | {ours:.1} us | {theirs:.1} us \
             | {ratio:.2} | {goal} | {mark} |",
            name.replace('-', " ")
        );
    }
    Ok(text)
}

/// `NAME wasock=MEDIAN wasmtime=MEDIAN`.
fn medians(line: &str) -> Option<(&str, f64, f64)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let mut median = |of: &str| words.next()?.strip_prefix(of)?.strip_prefix('=')?.parse().ok();
    Some((name, median("wasock")?, median("wasmtime")?))
}

#[cfg(test)]
mod tests {
    use super::medians;

    #[test]
    fn a_line_has_two_medians() {
        assert_eq!(medians("own-memory wasock=21.50 wasmtime=17.25"), Some(("own-memory", 21.5, 17.25)));
        assert_eq!(medians("own-memory wasock=21.50"), None);
        assert_eq!(medians(""), None);
    }
}
