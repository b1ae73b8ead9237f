//! Limits of time, and calls that would take long.

use super::{run, run_on_loopback};
use anyhow::Result;
use guest_tests::{Client, Wasock};

/// Runs `guest` to its end by a limit.
fn ends_by(host: Wasock, guest: &str, code: i32, sentence: &str) -> Result<()> {
    let ended = host.arg(guest).finish()?.expect_code(code)?;
    ended.expect_stderr(sentence)?.expect_no_stderr("trapped")?;
    Ok(())
}

fn by_cpu_time(guest: &str) -> Result<()> {
    let sentence = "wasock: the guest was ended: it has used the 200ms of processor time that it may use \
                    (--max-cpu-time)\n";
    ends_by(run().args(["--max-cpu-time", "200ms"]), guest, 152, sentence)
}

fn by_timeout(guest: &str) -> Result<()> {
    let sentence = "wasock: the guest was ended: it has run for 200ms, as long as it may (--timeout)\n";
    ends_by(run().args(["--timeout", "200ms"]), guest, 124, sentence)
}

/// L3: a guest that computes is ended by both limits to its time.
#[test]
pub(crate) fn time_computing() -> Result<()> {
    by_cpu_time(guest_tests::TIME_COMPUTING)?;
    by_timeout(guest_tests::TIME_COMPUTING)
}

#[test]
pub(crate) fn time_calling() -> Result<()> {
    by_cpu_time(guest_tests::TIME_CALLING)?;
    by_timeout(guest_tests::TIME_CALLING)
}

#[test]
fn a_guest_that_computes_alone_is_ended_by_both_limits() -> Result<()> {
    by_cpu_time(guest_tests::SPIN)?;
    by_timeout(guest_tests::SPIN)
}

/// L3: a guest that waits is ended by its timeout.
///
/// A guest that waits uses no processor time.
#[test]
pub(crate) fn time_waiting() -> Result<()> {
    by_timeout(guest_tests::TIME_WAITING)?;
    let sentence = "it has run for 500ms, as long as it may (--timeout)\n";
    let limits = ["--max-cpu-time", "100ms", "--timeout", "500ms"];
    ends_by(run().args(limits), guest_tests::TIME_WAITING, 124, sentence)
}

/// L3: a timeout ends every thread.
///
/// Its threads compute, sleep, and wait at a futex and in the memory.
#[test]
fn a_timeout_ends_every_thread() -> Result<()> {
    let host = run().args(["--timeout", "200ms", guest_tests::THREADS_LIFE]);
    ends_by(host, "hang", 124, "(--timeout)\n")
}

#[test]
fn a_timeout_closes_the_connections_of_a_server() -> Result<()> {
    for server in [guest_tests::EVENT_ECHO, guest_tests::THREADS_ECHO] {
        let mut host = run_on_loopback().args(["--timeout", "1s", server]).start()?;
        let mut client = Client::connect(host.listening()?)?;
        client.say("hello")?;
        client.hears("hello")?;
        host.finish()?.expect_code(124)?.expect_stderr("(--timeout)\n")?;
        client.is_gone()?;
    }
    Ok(())
}

#[test]
fn a_program_that_ends_in_time_has_its_own_code() -> Result<()> {
    let limits = ["--timeout", "1h", "--max-cpu-time", "1h"];
    run().args(limits).args([guest_tests::THREADS_LIFE, "exit"]).finish()?.expect_code(7)?;
    Ok(())
}

#[test]
fn a_wrong_time_is_reported_in_one_line() -> Result<()> {
    for flag in ["--timeout", "--max-cpu-time"] {
        for wrong in ["10", "ten", "0s", "-1s", "5s1m", "1.5s"] {
            let told = run().arg(format!("{flag}={wrong}")).arg(guest_tests::SPIN).finish()?;
            let told = told.expect_code(2)?.expect_one_line()?;
            told.expect_stderr(flag)?.expect_stderr("as in 500ms, 10s, 2m or 1h30m")?;
        }
    }
    Ok(())
}

/// One poll is ended by its own clock, however often it names an epoll.
#[test]
pub(crate) fn poll_of_one_epoll() -> Result<()> {
    run().arg(guest_tests::POLL_OF_ONE_EPOLL).succeed()?;
    Ok(())
}
