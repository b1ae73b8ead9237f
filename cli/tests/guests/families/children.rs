//! Programs of every kind as children: those that the older call starts, components, programs with threads.

use super::{Folders, leaves_nothing};
use crate::run;
use anyhow::Result;
use guest_tests::Wasock;
use guest_tests::components::COMPONENT_LIFE;
use std::fs;

#[test]
pub(crate) fn program_starter() -> Result<()> {
    let folders = Folders::new()?;
    let host = folders.granted(run().with_stdin()).args([guest_tests::PROGRAM_STARTER, "old"]);
    host.arg("/bin/processes").succeed()?.expect_stdout("holds\n").map(drop)
}

/// `how` a component is started, with these arguments.
fn component(folders: &Folders, host: Wasock, how: &str, args: &[&str]) -> Result<Wasock> {
    fs::copy(COMPONENT_LIFE, folders.programs.path().join("life"))?;
    Ok(folders.granted(host).args([guest_tests::PROGRAM_STARTER, how]).args(args))
}

#[test]
fn a_component_is_a_child() -> Result<()> {
    let folders = Folders::new()?;
    let ends = |args: &[&str]| component(&folders, run(), "start", args)?.succeed();
    ends(&["/bin/life", "show", "an argument"])?
        .expect_stdout("arg 0: show\narg 1: an argument\n")?
        .expect_stderr("on standard error\n")?
        .expect_stdout("ended by 1, code 0, signal 0\n")?;
    ends(&["/bin/life", "fail"])?.expect_stdout("ended by 1, code 1, signal 0\n")?;
    ends(&["/bin/life", "code"])?.expect_stdout("ended by 1, code 42, signal 0\n")?;
    ends(&["/bin/life", "trap"])?
        .expect_stderr("of the guest trapped: ")?
        .expect_stdout("ended by 2, code 0, signal 6\n")
        .map(drop)
}

#[test]
fn a_component_takes_the_place_of_a_program() -> Result<()> {
    let folders = Folders::new()?;
    component(&folders, run(), "become", &["/bin/life", "code"])?.finish()?.expect_code(42).map(drop)
}

#[test]
fn a_component_reads_what_its_parent_leaves_it() -> Result<()> {
    let folders = Folders::new()?;
    let mut host = component(&folders, run().with_stdin(), "start", &["/bin/life", "copy"])?.start()?;
    host.write_stdin(b"through the parent's input\n")?;
    host.finish()?.expect_code(0)?.expect_stdout("through the parent's input\nended by 1, code 0").map(drop)
}

#[test]
fn a_component_is_ended_by_a_signal() -> Result<()> {
    let folders = Folders::new()?;
    for way in ["sleep", "spin"] {
        let mut host = component(&folders, run().with_stdin(), "end", &["/bin/life", way])?.start()?;
        host.wait_for_stdout("ready")?;
        host.write_stdin(b"\n")?;
        host.finish()?.expect_code(0)?.expect_stdout("ended by 2, code 0, signal 15\n")?;
    }
    Ok(())
}

/// A program with threads, started with this argument.
fn threaded(host: Wasock, how: &str, case: &str) -> Result<(Folders, Wasock)> {
    let folders = Folders::new()?;
    fs::copy(guest_tests::THREADS_LIFE, folders.programs.path().join("threads"))?;
    let host = folders.granted(host).args([guest_tests::PROGRAM_STARTER, how, "/bin/threads", case]);
    Ok((folders, host))
}

/// All its threads end with it, and the guest goes on.
#[test]
fn a_program_with_threads_is_a_child() -> Result<()> {
    for (case, ended) in [
        ("return", "ended by 1, code 0, signal 0\n"),
        ("exit", "ended by 1, code 7, signal 0\n"),
        ("trap", "ended by 2, code 0, signal 6\n"),
    ] {
        let (_folders, host) = threaded(run(), "start", case)?;
        host.succeed()?.expect_stdout(ended)?;
    }
    let (_folders, host) = threaded(run().with_stdin(), "end", "hang")?;
    let mut host = host.start()?;
    host.write_stdin(b"\n")?;
    host.finish()?.expect_code(0)?.expect_stdout("ended by 2, code 0, signal 15\n")?;
    let (_folders, host) = threaded(run(), "become", "exit")?;
    host.finish()?.expect_code(7).map(drop)
}

/// Starts children whose first action duplicates a descriptor that another thread opens and closes all the while.
const RACES: &str = r#"
(module
  (import "wasix_32v1" "thread_spawn_v2" (func $start (param i32 i32) (result i32)))
  (import "wasix_32v1" "proc_spawn2" (func $spawn
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_join" (func $join (param i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_dup" (func $dup (param i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit2" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "env" "memory" (memory 1 16 shared))
  (data (i32.const 16) "/bin/child")
  ;; dup2(fd=20, src=4)
  (data (i32.const 256) "\01\00\00\00\14\00\00\00\04\00\00\00")
  (data (i32.const 640) "begins\n\00ends\n")
  (func $pause (param $text i32) (param $len i32)
    (i32.store (i32.const 600) (local.get $text))
    (i32.store (i32.const 604) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 600) (i32.const 1) (i32.const 608)))
    (i32.store (i32.const 600) (i32.const 700))
    (i32.store (i32.const 604) (i32.const 64))
    (drop (call $read (i32.const 0) (i32.const 600) (i32.const 1) (i32.const 608))))
  (func (export "wasi_thread_start") (param i32 i32)
    (loop $again
      (if (i32.eqz (call $dup (i32.const 1) (i32.const 512)))
        (then (drop (call $close (i32.load (i32.const 512))))))
      (br_if $again (i32.eqz (i32.atomic.load (i32.const 1024))))))
  (func (export "_start") (local $errno i32) (local $left i32)
    (if (call $start (i32.const 0) (i32.const 64)) (then (call $exit (i32.const 90))))
    (local.set $left (i32.const 220))
    (loop $again
      (local.set $errno (call $spawn (i32.const 16) (i32.const 10)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 256) (i32.const 1)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)))
      (if (i32.eqz (local.get $errno))
        (then
          ;; Any child.
          (i32.store (i32.const 72) (i32.const 0))
          (if (call $join (i32.const 72) (i32.const 0) (i32.const 80)) (then (call $exit (i32.const 91)))))
        ;; EBADF
        (else (if (i32.ne (local.get $errno) (i32.const 8)) (then (call $exit (i32.const 92))))))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (if (i32.eq (local.get $left) (i32.const 200)) (then (call $pause (i32.const 640) (i32.const 7))))
      (br_if $again (local.get $left)))
    (i32.atomic.store (i32.const 1024) (i32.const 1))
    (call $pause (i32.const 648) (i32.const 5))
    (call $exit (i32.const 0))))
"#;

#[test]
fn descriptors_that_another_thread_closes_while_a_child_begins_leave_nothing_behind() -> Result<()> {
    let folders = Folders::new()?;
    fs::write(folders.programs.path().join("child"), r#"(module (func (export "_start")))"#)?;
    let path = folders.programs.path().join("races.wat");
    fs::write(&path, RACES)?;
    leaves_nothing(folders.granted(run().with_stdin()).arg(path))
}
