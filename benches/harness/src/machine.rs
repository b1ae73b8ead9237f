//! The machine: what it is, and how busy it is.

use super::build::COMMAND;
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How many processors this machine has.
pub(super) fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64
}

/// The time that all processors together were busy, since the machine was started.
pub(super) fn busy() -> Result<Duration> {
    busy_in(&fs::read_to_string("/proc/stat")?)
}

fn busy_in(stat: &str) -> Result<Duration> {
    let line = stat.lines().find(|line| line.starts_with("cpu ")).context("no sum in /proc/stat")?;
    let numbers: Vec<u64> =
        line.split_ascii_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
    // "user nice system idle iowait irq softirq steal guest guest_nice" - proc_stat(5); the
    // last two are in the first two already.
    let busy = numbers.iter().take(8).enumerate().filter(|(place, _)| !matches!(place, 3 | 4));
    let ticks: u64 = busy.map(|(_, ticks)| ticks).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Lines about the machine, the compiler and the commit.
pub(super) fn description(workspace: &Path) -> Vec<(&'static str, String)> {
    let cpu = field(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default(), "model name");
    let memory = field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal");
    let kernel = said(workspace, "uname", &["-s", "-r"]);
    let mut commit = said(workspace, "git", &["rev-parse", "--short=12", "HEAD"]);
    if !said(workspace, "git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() {
        commit += ", with changes that are not committed";
    }
    let mut lines = vec![
        ("processor", format!("{cpu}, {} cores", processors())),
        ("memory", memory),
        ("system", kernel),
        ("compiler", said(workspace, "rustc", &["--version"])),
        ("commit", commit),
        ("date", said(workspace, "date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
    ];
    lines.extend(
        env::var(COMMAND).ok().map(|command| ("measured", format!("{command}, which is not of this tree"))),
    );
    lines
}

/// The value behind the first line of that name.
fn field(text: &str, name: &str) -> String {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.find(|(key, _)| key.trim() == name);
    found.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// What a command says; nothing where it fails.
fn said(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let stdout = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{busy_in, field};
    use anyhow::Result;
    use std::time::Duration;

    #[test]
    fn idle_time_is_not_busy() -> Result<()> {
        let stat = "cpu  100 10 50 9999 999 5 15 20 7 7\ncpu0 1 2 3 4\n";
        let second = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(busy_in(stat)?, Duration::from_secs_f64(200.0 / second));
        Ok(())
    }

    #[test]
    fn fields_have_names() {
        assert_eq!(field("model\t: 7\nmodel name\t: A b\n", "model name"), "A b");
        assert_eq!(field("", "model name"), "unknown");
    }
}
