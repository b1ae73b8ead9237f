//! The memory that the process of the host has at most, whatever its guest does, from Linux.

use crate::hostile::peak_memory_kib;
use crate::run;
use anyhow::{Context, Result, ensure};
use guest_tests::Wasock;

/// What measuring is worth: the allocator keeps some of what is freed, and pages are whole.
const SLACK_KIB: u64 = 12 * 1024;

/// The most memory that the process had until its guest said that it is done.
fn peak(command: Wasock) -> Result<u64> {
    let mut running = command.with_stdin().start()?;
    running.wait_for_stdout("done")?;
    let peak = peak_memory_kib(running.id()).context("no peak")?;
    running.finish()?.expect_code(0)?;
    Ok(peak)
}

/// With as many MiB as the host may hold for the guest.
fn with_limits(host_mib: u64) -> Wasock {
    let limit = format!("{host_mib}M");
    run().args(["--max-fds", "1048576", "--max-memory", "64M", "--max-host-memory", &limit])
}

/// Not more than one and a half of what the host may hold, and `guest_kib` of the guest's own.
fn stays_within(host_mib: u64, guest: &[&str], guest_kib: u64) -> Result<()> {
    let base = peak(with_limits(host_mib).args([guest_tests::HOST_MEMORY, "nothing"]))?;
    let peak = peak(with_limits(host_mib).args(guest))?;
    let most = base + host_mib * 1024 * 3 / 2 + guest_kib + SLACK_KIB;
    ensure!(peak <= most, "{guest:?}: {peak} KiB, and {most} may be; {base} without the attack");
    Ok(())
}

#[test]
fn the_host_stays_within_its_memory_whatever_descriptors_stand_for() -> Result<()> {
    for case in ["events", "pipes", "epolls", "high_number"] {
        stays_within(16, &[guest_tests::HOST_MEMORY, case], 2048)?;
    }
    Ok(())
}

#[test]
fn the_host_stays_within_its_memory_with_many_entries_of_epolls() -> Result<()> {
    for case in ["entries", "entries_come_and_go"] {
        stays_within(8, &[guest_tests::HOST_MEMORY, case], 1024)?;
    }
    Ok(())
}

/// Each of 16 threads asks for 65,536 subscriptions at once.
#[test]
pub(crate) fn threads_poll_many() -> Result<()> {
    stays_within(16, &[guest_tests::THREADS_POLL_MANY], 100 * 64)
}

#[test]
pub(crate) fn memory_grow_touched() -> Result<()> {
    stays_within(16, &[guest_tests::MEMORY_GROW_TOUCHED], 64 * 1024)
}
