//! Programs with threads that put their stacks aside: a copy has one thread, and each thread jumps within itself.

use super::asyncify::rewritten;
use super::run;
use anyhow::Result;
use guest_tests::{Finished, Wasock, asyncified};
use std::fs;

fn finish(case: &str, with: impl Fn(Wasock) -> Wasock) -> Result<Option<Finished>> {
    let Some(program) = rewritten(asyncified::THREADED_FORKS)? else { return Ok(None) };
    Ok(Some(with(run()).args([program, case]).finish()?))
}

fn holds(case: &str) -> Result<()> {
    let Some(finished) = finish(case, |run| run)? else { return Ok(()) };
    finished.expect_code(0)?.expect_stdout("holds\n")?.expect_no_stderr("panicked").map(drop)
}

#[test]
pub(crate) fn threaded_forks() -> Result<()> {
    holds("forks")
}

#[test]
fn a_copy_of_another_thread_ends_where_that_returns() -> Result<()> {
    holds("of-thread")
}

#[test]
fn two_threads_make_copies_at_once() -> Result<()> {
    holds("both")
}

#[test]
fn there_is_no_copy_while_a_thread_waits_in_the_memory() -> Result<()> {
    let Some(finished) = finish("waits", |run| run)? else { return Ok(()) };
    finished
        .expect_code(0)?
        .expect_stdout("holds\n")?
        .expect_stderr("can't copy its process (fork): one of its other threads does not stand still")
        .map(drop)
}

#[test]
fn a_thread_is_a_child_and_the_others_go_on() -> Result<()> {
    holds("vforks")
}

#[test]
fn a_child_of_a_thread_executes_a_program() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::copy(guest_tests::TOOLS, folder.path().join("fail"))?;
    let granted = format!("{}::/bin", folder.path().display());
    let Some(finished) = finish("exec", |run| run.args(["--exec", &granted]))? else { return Ok(()) };
    finished.expect_code(0)?.expect_stdout("holds\n")?.expect_no_stderr("panicked").map(drop)
}

#[test]
fn each_thread_jumps_within_itself() -> Result<()> {
    holds("jumps")
}

#[test]
fn a_jump_to_a_place_of_another_thread_ends_the_guest() -> Result<()> {
    let Some(finished) = finish("foreign", |run| run)? else { return Ok(()) };
    finished.expect_code(134)?.expect_stderr("a place of its stack that there is not").map(drop)
}
