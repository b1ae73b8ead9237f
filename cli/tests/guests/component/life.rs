//! How a component lives and ends: as a module does.

use crate::{run, wasock};
use anyhow::{Result, ensure};
use guest_tests::components::COMPONENT_LIFE;
use rustix::process::Signal;

#[test]
pub(crate) fn component_life() -> Result<()> {
    run()
        .args(["--env", "ONE=1", "--env", "EQUAL=a=b"])
        .env("FROM_THE_HOST", "no")
        .args([COMPONENT_LIFE, "show", "--listen", "with spaces", "ümlaut"])
        .succeed()?
        .expect_stdout(
            "arg 0: show\narg 1: --listen\narg 2: with spaces\narg 3: ümlaut\n\
             env ONE=1\nenv EQUAL=a=b\nafter 2020: true\nslept: true\nrandom: true\n",
        )?
        .expect_stderr("on standard error\n")
        .map(drop)
}

#[test]
fn standard_input_reaches_a_component() -> Result<()> {
    let mut running = run().with_stdin().args([COMPONENT_LIFE, "copy"]).start()?;
    // More than one read takes.
    let text = "0123456789abcdef".repeat(20_000);
    running.write_stdin(text.as_bytes())?;
    let finished = running.finish()?.expect_code(0)?;
    ensure!(finished.stdout == text, "{} bytes came back", finished.stdout.len());
    Ok(())
}

/// An end by `exit(err)` is 1; other codes need the function of WASI 0.2.12 for that.
#[test]
fn exit_codes_of_a_component_pass() -> Result<()> {
    for (how, code) in [("ok", 0), ("fail", 1), ("code", 42)] {
        run().args([COMPONENT_LIFE, how]).finish()?.expect_code(code)?;
    }
    Ok(())
}

#[test]
fn a_trap_of_a_component_has_a_backtrace() -> Result<()> {
    run()
        .args([COMPONENT_LIFE, "trap"])
        .finish()?
        .expect_code(134)?
        .expect_stderr("unreachable")?
        .expect_stderr("the_innermost_function")?
        .expect_stderr("the_function_around_it")?
        .expect_no_stderr("panicked")
        .map(drop)
}

#[test]
fn directories_reach_a_component() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("given"), "given")?;
    let directory = format!("{}::/data", folder.path().display());
    for (flag, write) in [("--dir-ro", "write: Err(PermissionDenied)"), ("--dir", "write: Ok(())")] {
        run()
            .args([flag, &directory, COMPONENT_LIFE, "files"])
            .succeed()?
            .expect_stdout("read: Ok(\"given\")")?
            .expect_stdout(write)?
            .expect_stdout("above: Err(\"refused\")")?;
    }
    ensure!(std::fs::read_to_string(folder.path().join("made"))? == "made", "nothing was written");
    Ok(())
}

#[test]
fn a_signal_ends_a_component_that_computes_or_waits() -> Result<()> {
    for how in ["spin", "sleep"] {
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            let mut running = run().args([COMPONENT_LIFE, how]).start()?;
            running.wait_for_stdout("ready")?;
            running.signal(signal)?;
            running.finish()?.expect_code(code)?;
        }
    }
    Ok(())
}

/// A host that lacks descriptors says what to raise, whatever it is that can't be made.
#[test]
fn a_host_without_descriptors_says_what_to_raise() -> Result<()> {
    for count in 10..=18 {
        let host = run().args(["--no-cache", COMPONENT_LIFE, "ok"]).limit_descriptors(count);
        let finished = host.finish()?.expect_no_stderr("panicked")?;
        let tells = finished.stderr_lines_with("(ulimit -n").len() == 1;
        ensure!(finished.code == Some(0) || tells, "{count} descriptors: {finished}");
    }
    Ok(())
}

#[test]
fn limits_to_time_end_a_component() -> Result<()> {
    for how in ["spin", "sleep"] {
        run()
            .args(["--timeout", "300ms", COMPONENT_LIFE, how])
            .finish()?
            .expect_code(124)?
            .expect_stderr("(--timeout)")?;
    }
    run()
        .args(["--max-cpu-time", "300ms", COMPONENT_LIFE, "spin"])
        .finish()?
        .expect_code(152)?
        .expect_stderr("(--max-cpu-time)")
        .map(drop)
}

#[test]
fn memories_of_a_component_grow_no_further_than_the_limit() -> Result<()> {
    let finished = run().args(["--max-memory", "40M", COMPONENT_LIFE, "grow"]).succeed()?;
    let grown = finished.stdout.trim().trim_start_matches("grew by ").trim_end_matches(" MiB");
    let grown: u32 = grown.parse()?;
    ensure!((10..40).contains(&grown), "{finished}");
    finished.expect_stderr("--max-memory").map(drop)
}

#[test]
fn a_component_starts_anew() -> Result<()> {
    let finished =
        run().args(["--restart", "on-failure", COMPONENT_LIFE, "trap"]).finish()?.expect_code(134)?;
    ensure!(finished.stderr_lines_with("starts anew").len() == 4, "{finished}");
    Ok(())
}

#[test]
fn a_component_is_described() -> Result<()> {
    wasock()
        .args(["inspect", COMPONENT_LIFE])
        .succeed()?
        .expect_stdout("component: a command of WASI 0.2 (wasi:cli/command)\n")?
        .expect_stdout("  wasi:io/streams@0.2")?
        .expect_stdout("missing (the component does not start): 0\n")?
        .expect_stdout("exports: 1\n  wasi:cli/run@0.2")
        .map(drop)
}
