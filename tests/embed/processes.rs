//! A guest with several processes, in a runtime of the embedder's.

use super::plain;
use anyhow::{Result, ensure};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use wasock::{Event, Guest, Signal, WasockCtx};

/// Starts `/bin/child`, waits for it, and ends with its code.
pub(super) const PARENT: &str = r#"
(module
  (import "wasix_32v1" "proc_spawn2" (func $spawn
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_join" (func $join (param i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit2" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "/bin/child")
  (func (export "_start")
    (local $errno i32)
    (local.set $errno (call $spawn (i32.const 16) (i32.const 10)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)))
    (if (local.get $errno) (then (call $exit (i32.add (i32.const 100) (local.get $errno)))))
    ;; Any child.
    (if (call $join (i32.const 72) (i32.const 0) (i32.const 80)) (then (call $exit (i32.const 90))))
    (if (i32.ne (i32.load (i32.const 64)) (i32.load (i32.const 76))) (then (call $exit (i32.const 91))))
    (call $exit (i32.load16_u (i32.const 82)))))
"#;

/// Ends with 7, in an instance of its own.
const CHILD: &str = r#"
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 7))))
"#;

/// Traps.
const BROKEN: &str = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;

/// Computes until it is ended.
const SPINS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;

/// Becomes `/bin/child` in its second thread, while the first one sleeps.
const THREADED: &str = r#"
(module
  (import "wasix_32v1" "thread_spawn_v2" (func $start (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (import "wasix_32v1" "proc_exec3" (func $exec (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit2" (func $exit (param i32)))
  (import "env" "memory" (memory 1 65536 shared))
  (data (i32.const 16) "/bin/child")
  (func (export "wasi_thread_start") (param i32 i32)
    (drop (call $exec (i32.const 16) (i32.const 10) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0)))
    (call $exit (i32.const 92)))
  (func (export "_start")
    (if (call $start (i32.const 0) (i32.const 64)) (then (call $exit (i32.const 93))))
    (drop (call $sleep (i64.const 60000000000)))
    (call $exit (i32.const 94))))
"#;

/// Has a shared memory as large as may be, and ends with 0 if it can grow far.
const LARGE: &str = r#"
(module
  (import "wasix_32v1" "thread_spawn_v2" (func $start (param i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit2" (func $exit (param i32)))
  (import "env" "memory" (memory 1 65536 shared))
  (func (export "wasi_thread_start") (param i32 i32))
  (func (export "_start")
    (call $exit (i32.ne (memory.grow (i32.const 30000)) (i32.const 1)))))
"#;

type Events = Arc<Mutex<Vec<Event>>>;

/// The exit code of the parent of `child`, and what was reported.
fn run(parent: &str, child: &str, own_thread: bool) -> Result<(u32, Vec<Event>)> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("child"), child)?;
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let guest = Guest::from_bytes(&engine, "parent".as_ref(), parent.as_bytes())?.own_thread(own_thread);
    let events = Events::default();
    let seen = Arc::clone(&events);
    let ctx = WasockCtx::builder()
        .exec(folder.path(), "/bin")?
        .observer(move |event: &Event| {
            if let Ok(mut seen) = seen.lock() {
                seen.push(event.clone());
            }
        })
        .build_for(guest.module())?;
    let handle = ctx.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(guest.run(ctx)).map_err(plain)?;
    ensure!(handle.flush_events(super::WAIT_TIMEOUT), "events are missing");
    let events = events.lock().map_or_else(|_| Vec::new(), |seen| seen.clone());
    Ok((ended.code, events))
}

#[test]
fn an_embedder_hears_of_processes() -> Result<()> {
    for own_thread in [false, true] {
        let (code, events) = run(PARENT, CHILD, own_thread)?;
        ensure!(code == 7, "code {code}, {events:?}");
        let [
            Event::Spawned { pid, parent: 1, path: Some(path) },
            Event::Exited { pid: ended, code: 7, signal: None, trap: None },
        ] = &events[..]
        else {
            anyhow::bail!("{events:?}")
        };
        ensure!(pid == ended && path == "/bin/child", "{events:?}");
    }
    Ok(())
}

#[test]
fn an_embedder_signals_one_process() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("child"), SPINS)?;
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let guest = Guest::from_bytes(&engine, "parent".as_ref(), PARENT.as_bytes())?.own_thread(true);
    let (events, received) = super::events();
    let ctx = WasockCtx::builder().exec(folder.path(), "/bin")?.observer(events).build_for(guest.module())?;
    let handle = ctx.handle();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let running = runtime.spawn(async move { guest.run(ctx).await.map_err(plain) });
    let spawned = received.recv_timeout(super::WAIT_TIMEOUT)?;
    let Event::Spawned { pid, .. } = spawned else { anyhow::bail!("{spawned:?}") };
    ensure!(handle.processes() == [1, pid], "{:?}", handle.processes());
    ensure!(!handle.signal_process(pid + 1, Signal::Term), "there is no such process");
    ensure!(handle.signal_process(pid, Signal::Term), "the child is not there");
    let ended = received.recv_timeout(super::WAIT_TIMEOUT)?;
    let is_told = matches!(ended, Event::Exited { code: 143, signal: Some("SIGTERM"), trap: None, .. });
    ensure!(is_told, "{ended:?}");
    let ended = runtime.block_on(running)??;
    ensure!(ended.code == 0 && handle.processes().is_empty(), "{ended:?} {:?}", handle.processes());
    Ok(())
}

#[test]
fn any_thread_may_become_another_program() -> Result<()> {
    let begun = Instant::now();
    let (code, events) = run(THREADED, CHILD, false)?;
    ensure!((code, begun.elapsed() < super::WAIT_TIMEOUT) == (7, true), "code {code}, {events:?}");
    Ok(())
}

#[test]
fn a_program_has_the_memory_of_the_one_before() -> Result<()> {
    let (code, events) = run(THREADED, LARGE, false)?;
    ensure!(code == 0, "code {code}, {events:?}");
    Ok(())
}

#[test]
fn a_trap_of_a_process_is_told() -> Result<()> {
    let (code, events) = run(PARENT, BROKEN, true)?;
    // It has no exit code.
    ensure!(code == 0, "code {code}");
    let told = events.iter().any(|event| {
        matches!(event, Event::Exited { code: 134, signal: Some("SIGABRT"), trap: Some(trap), .. } if trap.contains("unreachable"))
    });
    ensure!(told, "{events:?}");
    Ok(())
}
