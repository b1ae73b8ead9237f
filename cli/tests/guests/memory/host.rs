//! What the host holds for a guest: as much as `--max-host-memory`, and then an error number.

use crate::run;
use anyhow::Result;

const TOLD: &str = "the guest was denied memory: the host holds as much for it as --max-host-memory";

fn holds_no_more(case: &str, limit: &str) -> Result<()> {
    let flags = ["--max-fds", "1048576", "--max-host-memory", limit];
    let ended = run().args(flags).args([guest_tests::HOST_MEMORY, case]).succeed()?;
    ended.expect_stderr(TOLD)?.expect_one_line().map(drop)
}

/// L2: the host holds no more for a guest than the limit.
///
/// `EMFILE`, whatever the descriptors stand for.
#[test]
pub(crate) fn host_memory() -> Result<()> {
    for (case, limit) in [("events", "1M"), ("sockets", "2M"), ("pipes", "16M"), ("epolls", "1M")] {
        holds_no_more(case, limit)?;
    }
    Ok(())
}

/// `ENOSPC`, as Linux's max_user_watches.
#[test]
fn an_epoll_has_no_more_entries_than_the_host_may_hold() -> Result<()> {
    holds_no_more("entries", "8M")
}

#[test]
fn entries_that_are_gone_are_given_back() -> Result<()> {
    let flags = ["--max-host-memory", "1M", guest_tests::HOST_MEMORY, "entries_come_and_go"];
    run().args(flags).succeed()?.expect_no_stderr("denied").map(drop)
}

/// A subscription takes no more than the guest's own 48 bytes.
#[test]
fn a_poll_of_more_than_the_host_may_hold_is_refused() -> Result<()> {
    holds_no_more("subscriptions", "3M")
}

#[test]
fn a_high_number_makes_the_table_no_longer_than_it_may_be() -> Result<()> {
    holds_no_more("high_number", "16M")
}

#[test]
fn a_number_of_descriptors_that_no_table_has_is_refused() -> Result<()> {
    for number in ["4294967295", "1048577"] {
        let refused = run().args(["--max-fds", number, guest_tests::HOST_MEMORY, "nothing"]).finish()?;
        refused.expect_code(2)?.expect_stderr("1048576")?;
    }
    run().args(["--max-fds", "1048576", guest_tests::HOST_MEMORY, "nothing"]).succeed().map(drop)
}

#[test]
fn threads_are_charged() -> Result<()> {
    // The first thread is not: 4 others of 128 KiB.
    let flags = ["--max-host-memory", "600K", guest_tests::THREADS_OWN_MEMORY];
    run().args(flags).finish()?.expect_code(4 * 16 + 4)?.expect_stderr(TOLD).map(drop)
}

#[test]
fn a_denial_of_the_host_is_in_the_trace() -> Result<()> {
    let flags = ["--trace", "--max-host-memory", "256K", guest_tests::HOST_MEMORY, "events"];
    run().args(flags).succeed()?.expect_stderr("= EMFILE max-host-memory=262144").map(drop)
}

#[test]
fn a_full_table_is_distinguished_from_the_memory_of_the_host() -> Result<()> {
    // As many events as fit, and no more memory is denied.
    let flags = ["--trace", "--max-fds", "200", guest_tests::HOST_MEMORY, "events"];
    let ended = run().args(flags).succeed()?.expect_stderr("= EMFILE max-fds=200")?;
    ended.expect_stderr("denied a descriptor: it has as many as --max-fds 200 allows").map(drop)
}

#[test]
fn a_host_that_may_hold_nothing_says_so() -> Result<()> {
    let refused = run().args(["--max-host-memory", "0", guest_tests::HOST_MEMORY, "nothing"]).finish()?;
    refused.expect_code(1)?.expect_stderr("more of the host's memory").map(drop)
}
