//! Guests that mean harm: an answer or a trap, never a broken host.

use super::run_on_loopback;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

/// How many threads drive `wild_pointers`, each with every n-th call.
const SHARES: usize = 4;

#[test]
pub(crate) fn wild_pointers() -> Result<()> {
    let list = run_on_loopback().arg(guest_tests::WILD_POINTERS).succeed()?;
    let calls: Vec<&str> = list.stdout.lines().collect();
    ensure!(calls.len() > 80, "only {} calls", calls.len());
    std::thread::scope(|scope| {
        let shares: Vec<_> = (0..SHARES)
            .map(|share| {
                let calls = calls.iter().skip(share).step_by(SHARES);
                scope.spawn(move || calls.clone().try_for_each(|call| survives(call)))
            })
            .collect();
        shares.into_iter().try_for_each(|share| share.join().ok().context("a panic")?)
    })
}

/// Makes `call` with every wild argument.
fn survives(call: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut first = 0;
    loop {
        let finished = run_on_loopback()
            .arg("--dir")
            .arg(format!("{}::/", folder.path().display()))
            .args([guest_tests::WILD_POINTERS, call, &first.to_string()])
            .finish()?;
        ensure!(!finished.stderr.contains("panicked"), "{call} broke the host\n{finished}");
        match finished.code {
            Some(0) => {
                finished.expect_stdout("done")?;
                return Ok(());
            }
            Some(134) => first = last_case(&finished.stdout)? + 1,
            _ => ensure!(false, "{call}: neither an answer nor a trap\n{finished}"),
        }
    }
}

/// The number of the case that a trap ended.
fn last_case(stdout: &str) -> Result<usize> {
    let line = stdout.lines().last().context("a trap before the first case")?;
    let number = line.strip_prefix("case ").and_then(|rest| rest.split(':').next());
    Ok(number.with_context(|| format!("no case: {line:?}"))?.parse()?)
}

#[test]
pub(crate) fn iovecs_million() -> Result<()> {
    const LIMIT_KIB: u64 = 512 * 1024;
    let mut running = run_on_loopback().with_stdin().arg(guest_tests::IOVECS_MILLION).start()?;
    running.wait_for_stdout("through")?;
    if let Some(peak) = peak_memory_kib(running.id()) {
        ensure!(peak < LIMIT_KIB, "the host took {peak} KiB");
    }
    running.finish()?.expect_code(0).map(drop)
}

/// The most memory that a process had in use; Linux tells.
pub(crate) fn peak_memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
