//! Processes: to start them, to wait for them, to become another program.

use super::families::leaves_nothing;
use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Client, Finished, Wasock};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The folders of a guest: that of its files, and that of its programs.
struct Folders {
    files: tempfile::TempDir,
    programs: tempfile::TempDir,
}

impl Folders {
    fn new() -> Result<Self> {
        let folders = Self { files: tempfile::tempdir()?, programs: tempfile::tempdir()? };
        fs::create_dir(folders.files.path().join("below"))?;
        fs::copy(guest_tests::PROCESSES, folders.files.path().join("program"))?;
        let programs = folders.programs.path();
        fs::copy(guest_tests::PROCESSES, programs.join("processes"))?;
        fs::create_dir(programs.join("below"))?;
        fs::write(programs.join("broken"), b"\0asm\x01\0\0\0broken")?;
        fs::write(programs.join("library"), b"(module)")?;
        fs::write(programs.join("plain"), b"echo hello\n")?;
        fs::write(programs.join("script"), b"#!/bin/processes show\nand more\n")?;
        fs::write(programs.join("circle"), b"#!/bin/circle\n")?;
        fs::write(programs.join("lost"), b"#! /bin/missing\n")?;
        symlink(folders.files.path().join("program"), programs.join("outside"))?;
        Ok(folders)
    }

    /// `host` with both.
    fn granted(&self, host: Wasock) -> Wasock {
        let as_path = |path: &Path, name: &str| format!("{}::{name}", path.display());
        host.args(["--env", "HOST=1", "--dir", &as_path(self.files.path(), "/")])
            .args(["--exec", &as_path(self.programs.path(), "/bin")])
            .arg(guest_tests::PROCESSES)
    }
}

fn holds(case: &str) -> Result<Finished> {
    let folders = Folders::new()?;
    folders.granted(run()).arg(case).succeed()?.expect_stdout("holds\n")
}

#[test]
pub(crate) fn processes() -> Result<()> {
    holds("waits").map(drop)
}

#[test]
fn a_process_kills_another_one() -> Result<()> {
    holds("kills").map(drop)
}

#[test]
fn a_parent_hears_of_the_end_of_its_child() -> Result<()> {
    holds("hears").map(drop)
}

#[test]
fn descriptors_and_signals_of_a_child_are_prepared() -> Result<()> {
    holds("prepares").map(drop)
}

#[test]
fn a_marked_descriptor_is_closed_when_a_program_begins() -> Result<()> {
    holds("closes").map(drop)
}

#[test]
fn a_program_becomes_another_one() -> Result<()> {
    holds("becomes").map(drop)
}

#[test]
fn arguments_and_environment_arrive_as_they_were_passed() -> Result<()> {
    holds("strings")?.expect_stdout("/bin/processes|show|x A=1\n").map(drop)
}

#[test]
fn what_is_no_program_is_not_executed() -> Result<()> {
    holds("mistakes")?.expect_stderr("no --exec grant covers it")?.expect_stderr("/bin/library").map(drop)
}

#[test]
fn a_script_is_executed_by_its_interpreter() -> Result<()> {
    holds("scripts").map(drop)
}

#[test]
fn the_children_of_one_that_has_ended_go_to_the_first() -> Result<()> {
    holds("orphans").map(drop)
}

#[test]
fn a_thread_is_a_child_for_a_while() -> Result<()> {
    holds("vfork").map(drop)
}

#[test]
fn there_are_no_more_processes_than_there_may_be() -> Result<()> {
    let folders = Folders::new()?;
    for most in ["2", "17"] {
        let host = folders.granted(run().args(["--max-processes", most]));
        host.args(["bomb", most]).succeed()?.expect_stdout("holds\n")?;
    }
    Ok(())
}

#[test]
fn a_thousand_children_leave_nothing_behind() -> Result<()> {
    let folders = Folders::new()?;
    leaves_nothing(folders.granted(run().with_stdin()).args(["many", "1000"]))
}

#[test]
fn a_program_serves_each_connection() -> Result<()> {
    let folders = Folders::new()?;
    let mut host = folders.granted(run_on_loopback()).args(["serves", "3"]).start()?;
    let line = host.wait_for_stdout("serving on ")?;
    let addr = line.split(' ').next_back().context("no address")?.trim().parse()?;
    let mut clients = (0..3).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
    for (index, client) in clients.iter_mut().enumerate() {
        let message = format!("client {index}");
        client.say(&message)?;
        client.hears(&message)?;
    }
    for client in &mut clients {
        client.finish()?;
        client.hears_the_end()?;
    }
    host.finish()?.expect_code(0)?.expect_stdout("holds\n").map(drop)
}

#[test]
fn the_end_of_the_first_process_ends_the_others() -> Result<()> {
    let folders = Folders::new()?;
    let mut host = folders.granted(run().with_stdin()).arg("goes").start()?;
    let begun = Instant::now();
    while host.is_running()? {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "it goes on: {}", host.stdout());
        std::thread::sleep(Duration::from_millis(10));
    }
    let finished = host.finish()?.expect_code(0)?.expect_stdout("goes\n")?;
    ensure!(!finished.stdout.contains("the parent"), "{finished}");
    Ok(())
}

#[test]
fn orphans_are_kept_until_they_end_or_something_ends_the_guest() -> Result<()> {
    let folders = Folders::new()?;
    let mut host = folders.granted(run().with_stdin().args(["--orphans", "keep"])).arg("goes").start()?;
    host.wait_for_stdout("goes")?;
    ensure!(host.is_running()?, "it ended with its first process");
    host.stop().map(drop)
}

#[test]
fn nothing_is_executed_without_a_grant() -> Result<()> {
    let folders = Folders::new()?;
    let dir = format!("{}::/", folders.files.path().display());
    let host = run().args(["--dir", &dir, guest_tests::PROCESSES, "waits"]);
    host.finish()?
        .expect_code(1)?
        .expect_stderr("no --exec grant covers it")?
        .expect_stderr("--exec")
        .map(drop)
}

/// A guest chooses how often it asks for what is no program, or is none for this host, and whether its children trap.
#[test]
fn failures_of_many_processes_are_a_few_lines() -> Result<()> {
    let programs = tempfile::tempdir()?;
    let folder = programs.path();
    fs::write(folder.join("strange"), r#"(module (import "nobody" "x" (func)) (func (export "_start")))"#)?;
    fs::write(folder.join("trap"), r#"(module (func (export "_start") unreachable))"#)?;
    let asking = |name: &str| {
        let length = name.len();
        format!(
            r#"(module
                (import "wasix_32v1" "proc_spawn2"
                    (func $spawn (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
                (import "wasix_32v1" "proc_join" (func $join (param i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 64) "{name}")
                (func (export "_start") (local $count i32)
                    (loop
                        (drop (call $spawn (i32.const 64) (i32.const {length}) (i32.const 64) (i32.const {length})
                            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)))
                        (drop (call $join (i32.const 24) (i32.const 0) (i32.const 40)))
                        (local.set $count (i32.add (local.get $count) (i32.const 1)))
                        (br_if 0 (i32.lt_u (local.get $count) (i32.const 300))))))"#
        )
    };
    let cases = [
        (
            "/bin/strange",
            "the guest can't execute /bin/strange: the module imports what this host does not have: nobody.x",
        ),
        ("/bin/trap", "of the guest trapped: wasm trap: wasm `unreachable`"),
    ];
    let module = tempfile::tempdir()?;
    let path = module.path().join("asking.wat");
    for (name, said) in cases {
        fs::write(&path, asking(name))?;
        let begin = Instant::now();
        let exec = format!("{}::/bin", folder.display());
        let finished = run().args(["--exec", &exec]).arg(&path).succeed()?.expect_stderr(said)?;
        // Ten in a second.
        let most = 10 * (begin.elapsed().as_secs() + 2);
        let lines = u64::try_from(finished.stderr.lines().filter(|line| line.contains(said)).count())?;
        ensure!(lines <= most, "{lines} lines, {most} expected: {finished}");
    }
    Ok(())
}
