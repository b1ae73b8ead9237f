//! What the libraries of compilers import beside WASI.

use super::{run, wasock};
use anyhow::{Result, ensure};
use std::fs;

/// The message is the guest's to choose, and escaped; the program ends as by a trap.
#[test]
pub(crate) fn assemblyscript_abort() -> Result<()> {
    let abort = |way| run().args([guest_tests::ASSEMBLYSCRIPT_ABORT, way]).finish()?.expect_code(134);
    let finished = abort("message")?;
    let said = "wasock: the guest trapped: abort: out of \\u{1b}\u{df}\\nl in ap.ts(12:3)";
    finished.expect_stderr(said)?.expect_stderr("backtrace")?;
    // What is not in the memory is left out.
    abort("wild")?.expect_stderr("wasock: the guest trapped: abort\n")?;
    abort("null")?.expect_stderr("wasock: the guest trapped: abort\n").map(drop)
}

/// A message may have as many characters as the memory holds, and each may take six on a terminal.
#[test]
fn a_long_message_of_an_abort_is_cut() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("long.wat");
    let text = r"\1b\00".repeat(30_000);
    fs::write(
        &path,
        format!(
            r#"(module
                (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
                (memory (export "memory") 1)
                (data (i32.const 4) "\60\ea\00\00{text}")
                (func (export "_start") (call $abort (i32.const 8) (i32.const 8) (i32.const 1) (i32.const 2))))"#
        ),
    )?;
    let finished = run().arg(&path).finish()?.expect_code(134)?;
    let line = finished.stderr.lines().next().unwrap_or_default();
    ensure!(line.starts_with(r"wasock: the guest trapped: abort: \u{1b}\u{1b}"), "{line}");
    ensure!(line.ends_with("..(1:2)") && line.len() < 1400, "{} bytes: {line}", line.len());
    Ok(())
}

#[test]
fn a_trace_of_assemblyscript_is_written_to_standard_error() -> Result<()> {
    let finished = run().args([guest_tests::ASSEMBLYSCRIPT_ABORT, "trace"]).succeed()?;
    finished.expect_stderr("trace: ap.ts 1.5, -2\ntrace:  1, 2, 3, 4, 5\ntrace: \n")?;
    let traced = run().args(["--trace", guest_tests::ASSEMBLYSCRIPT_ABORT, "trace"]).succeed()?;
    traced.expect_stderr("trace(message=0x140, count=2, a0=1.5, a1=-2, a2=9, a3=9, a4=9) = 0").map(drop)
}

#[test]
fn a_seed_of_assemblyscript_is_another_one_each_time() -> Result<()> {
    run().args([guest_tests::ASSEMBLYSCRIPT_ABORT, "seed"]).succeed().map(drop)
}

#[test]
pub(crate) fn emscripten_growth() -> Result<()> {
    run().arg(guest_tests::EMSCRIPTEN_GROWTH).succeed()?.expect_stdout("ok\n").map(drop)
}

#[test]
fn inspect_names_what_compilers_import() -> Result<()> {
    let inspected = wasock().args(["inspect", guest_tests::ASSEMBLYSCRIPT_ABORT]).succeed()?;
    inspected
        .expect_stdout("supported: 4\n  env.abort\n  env.trace\n  env.seed\n")?
        .expect_stdout("missing (the module does not start): 0")
        .map(drop)
}

/// Other compilers mean something else by these names, and other names are unknown.
#[test]
fn other_imports_from_env_are_a_clear_error() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("other.wat");
    fs::write(
        &path,
        r#"(module
            (import "env" "abort" (func))
            (import "env" "console.log" (func (param i32)))
            (import "env" "seed" (func (result f64)))
            (memory (export "memory") 1)
            (func (export "_start")))"#,
    )?;
    let path = path.display().to_string();
    let finished = run().arg(&path).finish()?.expect_code(1)?;
    finished
        .expect_stderr("the module imports what this host does not have:")?
        .expect_stderr("\n  env.abort (a function)\n  env.console.log (a function)\n")?;
    let inspected = wasock().args(["inspect", &path]).finish()?;
    inspected.expect_stdout("missing (the module does not start): 2\n  env.abort\n  env.console.log")?;
    Ok(())
}
