//! Programs of every generation: what each imports, what it gets, and how
//! `wasock inspect` names it.

use super::{run, run_on_loopback, wasock};
use anyhow::{Result, ensure};
use guest_tests::{Finished, Wasock};
use std::fs;

/// `wasock run` with a folder that has a folder `below`.
fn in_folder(folder: &tempfile::TempDir) -> Result<Wasock> {
    fs::create_dir(folder.path().join("below"))?;
    Ok(run_on_loopback().args(["--dir", &format!("{}::/", folder.path().display())]))
}

#[test]
pub(crate) fn process_calls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // What the host refuses is nothing that an operator must know.
    in_folder(&folder)?
        .arg(guest_tests::PROCESS_CALLS)
        .finish()?
        .expect_code(7)?
        .expect_no_stderr("proc_fork")
        .map(drop)
}

#[test]
fn a_program_that_can_become_no_other_one_ends() -> Result<()> {
    // ENOENT; and EINVAL, for an environment that is none.
    for (call, code) in [("exec", 44), ("exec2", 28)] {
        run().args([guest_tests::PROCESS_CALLS, call]).finish()?.expect_code(code)?;
    }
    Ok(())
}

#[test]
fn a_jump_up_the_stack_traps() -> Result<()> {
    run()
        .args([guest_tests::PROCESS_CALLS, "jump"])
        .finish()?
        .expect_code(134)?
        .expect_stderr("longjmp")?
        .expect_no_stderr("panicked")
        .map(drop)
}

#[test]
fn a_refused_call_is_traced() -> Result<()> {
    let folder = tempfile::tempdir()?;
    in_folder(&folder)?
        .args(["--trace", guest_tests::PROCESS_CALLS])
        .finish()?
        .expect_code(7)?
        .expect_stderr("proc_fork(copy_memory=1) = ENOTSUP")?
        .expect_stderr("proc_snapshot() = ENOTSUP")?
        .expect_stderr("proc_exit2(code=7) = ?")
        .map(drop)
}

#[test]
pub(crate) fn unstable() -> Result<()> {
    let folder = tempfile::tempdir()?;
    in_folder(&folder)?.arg(guest_tests::UNSTABLE).succeed().map(drop)
}

#[test]
pub(crate) fn generation_first() -> Result<()> {
    let finished = run_on_loopback().arg(guest_tests::GENERATION_FIRST).succeed()?;
    // What only that generation had is named, once.
    for name in ["callback_reactor", "bus_close", "ws_connect", "http_status"] {
        let lines = finished.stderr_lines_with(name);
        ensure!(lines.len() == 1, "{name} is named {} times\n{finished}", lines.len());
    }
    finished.expect_no_stderr("proc_join").map(drop)
}

#[test]
pub(crate) fn exceptions() -> Result<()> {
    run().arg(guest_tests::EXCEPTIONS).succeed()?;
    run()
        .args([guest_tests::EXCEPTIONS, "u"])
        .finish()?
        .expect_code(134)?
        .expect_stderr("thrown Wasm exception")?
        .expect_stderr("throws")?
        .expect_no_stderr("panicked")
        .map(drop)
}

fn inspected(program: &str) -> Result<Finished> {
    wasock().args(["inspect", program]).succeed()
}

#[test]
fn inspect_names_the_generation_and_why() -> Result<()> {
    inspected(guest_tests::GENERATION_FIRST)?
        .expect_stdout("WASIX, generation 1 (May 2022 to March 2023): it imports wasix_32v1.proc_join\n")?
        .expect_stdout("threads: it may start some\n")?
        .expect_stdout("refused (answer ENOTSUP): 0\n")?;
    inspected(guest_tests::THREADS_ECHO)?
        .expect_stdout("WASIX, generation 2 (since May 2023): it imports ")?;
    inspected(guest_tests::PROCESS_CALLS)?
        .expect_stdout(
            "WASIX, generation 2 with additions (since July 2025): it imports wasix_32v1.reflect_signature\n",
        )?
        .expect_stdout("refused (answer ENOTSUP): 13\n  wasix_32v1.")?;
    inspected(guest_tests::SPIN)?.expect_stdout("dialect: WASI preview 1\n")?;

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wat");
    let cases = [
        (
            r#"(import "wasix_32v1" "fd_close" (func (param i32) (result i32)))
               (import "wasix_32v1" "proc_join" (func (param i32 i32 i32) (result i32)))"#,
            "WASIX, generation 1, late (March to May 2023): it imports wasix_32v1.proc_join\n",
        ),
        (
            r#"(import "wasix_32v1" "sock_open" (func (param i32 i32 i32 i32) (result i32)))"#,
            "WASIX, generation 2 (since May 2023): nothing that it imports says otherwise\n",
        ),
        (
            r#"(import "wasi_unstable" "fd_close" (func (param i32) (result i32)))"#,
            "WASI snapshot 0 (wasi_unstable)\n",
        ),
    ];
    for (imports, expected) in cases {
        fs::write(&path, format!(r#"(module {imports} (memory (export "memory") 1))"#))?;
        inspected(&path.display().to_string())?
            .expect_stdout(expected)?
            .expect_stdout("missing (the module does not start): 0\n")?;
    }
    Ok(())
}

/// WASIX for memories of 64 bits is another dialect, which is told and not served.
#[test]
fn a_program_of_wasix_64v1_is_told_what_it_needs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("wide.wat");
    fs::write(
        &path,
        r#"(module
            (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
            (import "wasix_64v1" "sock_open" (func (param i32 i32 i32 i64) (result i32)))
            (memory (export "memory") i64 1)
            (func (export "_start")))"#,
    )?;
    let path = path.display().to_string();
    let finished = run().arg(&path).finish()?.expect_code(1)?;
    ensure!(
        finished.stderr
            == "wasock: the module imports what this host does not have:\n  wasix_64v1.sock_open (a function)\n  \
                wasix_64v1 is for memories of 64 bits: build the program for those of 32 bits\n",
        "{finished}"
    );
    inspected(&path)?
        .expect_stdout(
            "dialect: WASIX for memories of 64 bits, which this host does not serve: it imports wasix_64v1.sock_open\n",
        )?
        .expect_stdout("missing (the module does not start): 1\n  wasix_64v1.sock_open\n")
        .map(drop)
}
