//! Threads that share epolls, event descriptors and polls: nothing is lost, nothing hangs.
//!
//! The programs account for every message, and end with an error where nothing moves any
//! more. To look for what is rare: run these a hundred times.

use super::run_on_loopback;
use anyhow::{Context, Result};

/// The same seeds in each run; which thread is quicker differs.
const SEEDS: [&str; 3] = ["1", "2", "3"];

fn loses_nothing(program: &str, way: &str, told: &str) -> Result<()> {
    for seed in SEEDS {
        // `poll` has 1536 descriptors.
        let ended = run_on_loopback().args(["--max-fds", "2000", program, way, seed]).succeed();
        ended.and_then(|ended| ended.expect_stderr(told)).with_context(|| format!("{way} {seed}"))?;
    }
    Ok(())
}

fn stress(program: &str) -> Result<()> {
    loses_nothing(program, "epoll", "messages arrived")?;
    loses_nothing(program, "bells", "hops")?;
    loses_nothing(program, "poll", "all of 6144 messages arrived")
}

#[test]
pub(crate) fn threaded_stress() -> Result<()> {
    stress(guest_tests::THREADED_STRESS)
}

#[test]
pub(crate) fn threaded_stress_v1() -> Result<()> {
    stress(guest_tests::THREADED_STRESS_V1)
}
