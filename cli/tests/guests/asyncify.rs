//! Programs that put their own stack aside and restore it: `setjmp` and `longjmp`.

use super::run;
use anyhow::{Result, bail};
use guest_tests::{Finished, Wasock, asyncified};
use std::fs;

/// A program that `wasm-opt` has rewritten. Where there is none the test says so and ends well, but not where
/// all that is needed must be there.
fn rewritten(program: Option<&'static str>) -> Result<Option<&'static str>> {
    const MISSING: &str = "no wasm-opt of Binaryen (Debian: apt-get install binaryen)";
    if program.is_none() {
        if std::env::var_os("CI").is_some() {
            bail!(MISSING);
        }
        eprintln!("passed over: {MISSING}");
    }
    Ok(program)
}

/// Runs a case of the program, if there is one.
fn finish(
    program: Option<&'static str>,
    case: &str,
    with: impl Fn(Wasock) -> Wasock,
) -> Result<Option<Finished>> {
    let Some(program) = rewritten(program)? else { return Ok(None) };
    Ok(Some(with(run()).args([program, case]).finish()?))
}

fn jumps_hold(case: &str) -> Result<()> {
    let Some(finished) = finish(asyncified::JUMPS, case, |run| run)? else { return Ok(()) };
    finished.expect_code(0)?.expect_stdout("holds").map(drop)
}

fn jumps_end(case: &str, sentence: &str, with: impl Fn(Wasock) -> Wasock) -> Result<()> {
    let Some(finished) = finish(asyncified::JUMPS, case, with)? else { return Ok(()) };
    finished.expect_code(134)?.expect_stderr(sentence)?.expect_no_stderr("panicked").map(drop)
}

#[test]
pub(crate) fn jumps() -> Result<()> {
    ["values", "deep", "places"].into_iter().try_for_each(jumps_hold)
}

#[test]
fn a_loop_that_prepares_to_jump_takes_bounded_memory() -> Result<()> {
    // A checkpoint for each of its rounds would take some 4 MiB.
    let limit = |run: Wasock| run.args(["--max-host-memory", "2M"]);
    let Some(finished) = finish(asyncified::JUMPS, "loop", limit)? else { return Ok(()) };
    finished.expect_code(0)?.expect_stdout("holds").map(drop)
}

#[test]
fn a_handler_jumps_out() -> Result<()> {
    jumps_hold("handler")
}

#[test]
fn a_handler_jumps_out_of_code_that_makes_no_call() -> Result<()> {
    jumps_hold("interrupted")
}

#[test]
fn a_handler_jumps_within_itself() -> Result<()> {
    jumps_hold("inside")
}

#[test]
fn a_jump_to_a_place_that_there_is_not_ends_the_guest() -> Result<()> {
    ["forged", "returned", "handler-returned"]
        .into_iter()
        .try_for_each(|case| jumps_end(case, "a place of its stack that there is not", |run| run))
}

#[test]
fn a_stack_that_is_too_deep_to_be_put_aside_ends_the_guest() -> Result<()> {
    jumps_end("too-deep", "too deep to be put aside", |run| run.args(["--max-stack", "32M"]))
}

#[test]
fn places_that_the_host_has_no_memory_for_are_refused() -> Result<()> {
    let limit = |run: Wasock| run.args(["--max-host-memory", "1M"]);
    let Some(finished) = finish(asyncified::JUMPS, "many", limit)? else { return Ok(()) };
    finished.expect_code(0)?.expect_stdout("holds").map(drop)
}

#[test]
fn the_trace_has_a_line_for_each_return_of_a_checkpoint() -> Result<()> {
    let Some(finished) = finish(asyncified::JUMPS, "values", |run| run.arg("--trace"))? else {
        return Ok(());
    };
    finished
        .expect_code(0)?
        .expect_stderr("= 0 value=0")?
        .expect_stderr("= 0 value=5")?
        .expect_stderr("value=1) = ?")
        .map(drop)
}

/// Each would have the host call the guest anew, within the call before.
#[test]
fn calls_while_the_stack_is_moving_end_the_guest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("between.wat");
    for at in ["start_unwind", "stop_unwind", "stop_rewind"] {
        let control = |name: &str, parameter: &str| {
            let call = if name == at { "(call $check)" } else { "" };
            format!("(func (export \"asyncify_{name}\") {parameter} {call})")
        };
        let controls = [
            control("start_unwind", "(param i32)"),
            control("stop_unwind", ""),
            control("start_rewind", "(param i32)"),
            control("stop_rewind", ""),
        ]
        .concat();
        fs::write(
            &path,
            format!(
                r#"(module
                    (import "wasix_32v1" "stack_checkpoint" (func $checkpoint (param i32 i32) (result i32)))
                    (memory (export "memory") 2)
                    (global (export "__stack_pointer") (mut i32) (i32.const 65536))
                    (func $check (drop (call $checkpoint (i32.const 1024) (i32.const 1056))))
                    {controls}
                    (func (export "_start") (call $check)))"#
            ),
        )?;
        run().arg(&path).finish()?.expect_code(134)?.expect_stderr(
            "wasock: the guest trapped: the guest made a call while its stack was being put aside",
        )?;
    }
    Ok(())
}
