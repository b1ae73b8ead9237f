//! Programs that put their own stack aside and restore it: `setjmp` and `longjmp`, `fork` and `vfork`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, bail, ensure};
use guest_tests::{Finished, Running, Wasock, asyncified};

/// A program that `wasm-opt` has rewritten. Where there is none the test says so and ends well, but not where
/// all that is needed must be there.
pub(crate) fn rewritten(program: Option<&'static str>) -> Result<Option<&'static str>> {
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

fn forks_hold(case: &str, with: impl Fn(Wasock) -> Wasock) -> Result<()> {
    let Some(finished) = finish(asyncified::FORKS, case, with)? else { return Ok(()) };
    finished.expect_code(0)?.expect_stdout("holds")?.expect_no_stderr("panicked").map(drop)
}

#[test]
pub(crate) fn forks() -> Result<()> {
    let Some(finished) = finish(asyncified::FORKS, "fork", |run| run)? else { return Ok(()) };
    finished.expect_code(0)?.expect_stdout("child\n")?.expect_stdout("parent\n").map(drop)
}

#[test]
fn a_child_in_its_parents_memory_ends_and_the_parent_goes_on() -> Result<()> {
    forks_hold("vfork", |run| run)
}

#[test]
fn a_copy_has_every_frame_of_its_parent() -> Result<()> {
    ["deep", "generations"].into_iter().try_for_each(|case| forks_hold(case, |run| run))
}

#[test]
fn children_are_many() -> Result<()> {
    forks_hold("many", |run| run)
}

#[test]
fn a_fork_bomb_reaches_the_limit_of_processes() -> Result<()> {
    let Some(finished) = finish(asyncified::FORKS, "limit", |run| run)? else { return Ok(()) };
    finished.expect_code(0)?.expect_stdout("children 63")?.expect_stdout("holds").map(drop)
}

#[test]
fn a_child_jumps_to_what_its_parent_has_prepared() -> Result<()> {
    forks_hold("jump", |run| run)
}

#[test]
fn a_child_that_traps_is_its_own_affair() -> Result<()> {
    forks_hold("traps", |run| run)
}

#[test]
fn a_handler_of_a_signal_does_not_fork() -> Result<()> {
    let Some(finished) = finish(asyncified::FORKS, "handler", |run| run)? else { return Ok(()) };
    finished
        .expect_code(0)?
        .expect_stdout("holds")?
        .expect_stderr("can't copy its process (fork): it asks for that in the handler of a signal")
        .map(drop)
}

#[test]
fn a_copy_has_descriptors_of_its_own() -> Result<()> {
    forks_hold("descriptors", |run| run)
}

#[test]
fn a_copy_saves_what_its_parent_goes_on_to_change() -> Result<()> {
    forks_hold("save", |run| run)
}

/// Asks the server for `path`, over a connection of its own.
fn ask(address: SocketAddr, path: &str) -> Result<String> {
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    client.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    // A process that ends resets what it has not read.
    let _reset = client.read_to_string(&mut answer);
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn server(shape: &str) -> Result<Option<(Running, SocketAddr)>> {
    let Some(program) = rewritten(asyncified::FORKING_SERVER)? else { return Ok(None) };
    let mut server = run_on_loopback().args([program, shape]).start()?;
    let address = server.listening()?;
    Ok(Some((server, address)))
}

#[test]
pub(crate) fn forking_server() -> Result<()> {
    let Some((server, address)) = server("connections")? else { return Ok(()) };
    let mut numbers = BTreeSet::new();
    for _ in 0..200 {
        let number = ask(address, "/number")?;
        ensure!(!number.is_empty() && number != "1", "{number:?} is no child");
        numbers.insert(number);
    }
    ensure!(numbers.len() == 200, "{} numbers", numbers.len());
    server.stop().map(drop)
}

#[test]
fn workers_of_one_listener_are_started_anew() -> Result<()> {
    let Some((server, address)) = server("workers")? else { return Ok(()) };
    for _ in 0..20 {
        let _gone = ask(address, "/end")?;
        let number: u32 = ask(address, "/number")?.parse().context("a number")?;
        ensure!(number > 1, "the first process has answered");
    }
    server.stop().map(drop)
}
