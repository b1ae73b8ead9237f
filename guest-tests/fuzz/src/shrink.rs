//! Makes a guest that goes wrong as short as it can be. Each attempt is a process of its own,
//! for a host that hangs cannot be looked at from within.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::guest::Fuzzed;
use crate::jobs::run_alone;
use crate::options::Options;
use crate::watch::count_panics;

/// How long an attempt may take before it counts as a hang.
const HANG: Duration = Duration::from_secs(20);

/// How long shrinking may take.
const BUDGET: Duration = Duration::from_secs(180);

/// How often a guest is run before it counts as well: clients and threads differ.
const ATTEMPTS: usize = 3;

const FAULT_CODE: i32 = 4;

/// Runs the operations of `guest` alone whose numbers `keep` has: a child of [`reproduce`].
pub(crate) fn run_kept(options: &Options, guest: u64, keep: &Path) -> Result<ExitCode> {
    count_panics();
    let mut case = Fuzzed::new(options.seed, guest);
    let kept: Vec<usize> =
        fs::read_to_string(keep)?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    case.keep(&kept);
    match run_alone(&case, options.seed)? {
        None => Ok(ExitCode::SUCCESS),
        Some(fault) => {
            println!("{fault}");
            Ok(ExitCode::from(FAULT_CODE as u8))
        }
    }
}

/// Runs guest `guest` again and again with less and less, and writes the shortest one that
/// still fails as a module.
pub(crate) fn reproduce(options: &Options, guest: u64) -> Result<ExitCode> {
    let case = Fuzzed::new(options.seed, guest);
    let folder = tempfile::tempdir()?;
    let attempt = |kept: &[usize]| fails(options, guest, kept, folder.path());
    let all: Vec<usize> = (0..case.op_count()).collect();
    println!("fuzz: guest {guest} of seed {}: {}", options.seed, case.describe());
    let Some(fault) = attempt(&all)? else {
        println!("fuzz: alone, it does not fail in {ATTEMPTS} attempts");
        return Ok(ExitCode::SUCCESS);
    };
    println!("fault: {fault}");
    let kept = if options.shrinks { minimal(all, Instant::now() + BUDGET, attempt)? } else { all };
    let mut case = case;
    case.keep(&kept);
    fs::write(&options.wat, case.wat(&fault)).with_context(|| options.wat.display().to_string())?;
    println!("fuzz: {} operations are left, in {}", kept.len(), options.wat.display());
    Ok(ExitCode::FAILURE)
}

/// The fault of the guest with these operations alone.
fn fails(options: &Options, guest: u64, kept: &[usize], folder: &Path) -> Result<Option<String>> {
    let keep = folder.join("keep");
    let numbers: Vec<String> = kept.iter().map(ToString::to_string).collect();
    fs::write(&keep, numbers.join(" "))?;
    for _ in 0..ATTEMPTS {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--seed", &options.seed.to_string(), "--guest", &guest.to_string(), "--keep"])
            .arg(&keep)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if begun.elapsed() > HANG {
                child.kill()?;
                child.wait()?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let output = child.wait_with_output()?;
        match status {
            None => return Ok(Some("it does not come back".into())),
            Some(status) if status.success() => {}
            Some(status) if status.code() == Some(FAULT_CODE) => {
                return Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
            }
            Some(status) => return Ok(Some(format!("the process ended with {status}"))),
        }
    }
    Ok(None)
}

/// Delta debugging: leaves out halves, then quarters and so on, as long as what is left fails.
fn minimal(
    mut kept: Vec<usize>,
    end: Instant,
    mut attempt: impl FnMut(&[usize]) -> Result<Option<String>>,
) -> Result<Vec<usize>> {
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let before = kept.len();
        while at < kept.len() {
            if Instant::now() > end {
                return Ok(kept);
            }
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(kept.len()));
            if attempt(&fewer)?.is_some() {
                kept = fewer;
            } else {
                at += size;
            }
        }
        // Single ones until none can be left out.
        if size == 1 && kept.len() == before {
            break;
        }
        size = if size == 1 { 1 } else { size / 2 };
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut attempts = 0;
        let kept = minimal((0..1000).collect(), end, |kept| {
            attempts += 1;
            Ok([7, 500, 999].iter().all(|number| kept.contains(number)).then(String::new))
        })?;
        assert_eq!(kept, [7, 500, 999]);
        assert!(attempts < 200, "{attempts}");
        Ok(())
    }
}
