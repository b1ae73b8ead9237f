//! Limits of time, long calls, and what the end of a guest costs its host.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use wasmtime::Engine;
use wasock::{Ended, Event, Guest, Handle, Terminated, WasockCtx, WasockCtxBuilder};

use super::{WAIT_TIMEOUT, events, plain, run_alone};

/// Begins by a write, fills half a gigabyte with random bytes, and ends with 9.
const RANDOM: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 8192)
    (func (export "_start")
        (drop (call $random (i32.const 0) (i32.const 0x20000000)))
        (call $exit (i32.const 9))))"#;

/// Adds nothing to an event descriptor, 64 million times in one call, and ends with 9.
const COUNTER: &str = r#"(module
    (import "wasix_32v1" "fd_event" (func $event (param i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 8193)
    (data (i32.const 16) "\00\00\01\00\00\00\00\20")
    (func (export "_start")
        (drop (call $event (i64.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $write (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 32)))
        (call $exit (i32.const 9))))"#;

/// A thread waits near the end of a memory of 2 GiB, forever, and the first thread with it.
const LARGE_WAIT: &str = r#"(module
    (import "env" "memory" (memory 32768 32768 shared))
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (func $wait
        (loop $again
            (drop (memory.atomic.wait32 (i32.const 0x70000000) (i32.const 0) (i64.const -1)))
            (br $again)))
    (func (export "wasi_thread_start") (param i32 i32) (call $wait))
    (func (export "_start")
        (drop (call $spawn (i32.const 0)))
        (call $wait)))"#;

/// Asks for eight random bytes.
const EIGHT: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (drop (call $random (i32.const 0) (i32.const 8)))))"#;

/// Has another thread do that.
const EIGHT_IN_A_THREAD: &str = r#"(module
    (import "env" "memory" (memory 1 1 shared))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (func (export "wasi_thread_start") (param i32 i32) (drop (call $random (i32.const 0) (i32.const 8))))
    (func (export "_start")
        (drop (call $spawn (i32.const 0)))
        (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1)))))"#;

fn load(engine: &Engine, text: &str) -> Result<Guest> {
    Ok(Guest::from_bytes(engine, Path::new("guest.wat"), text.as_bytes())?)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn run(text: &str, ctx: WasockCtxBuilder) -> Result<wasmtime::Result<Ended>> {
    let guest = load(&Guest::new_engine(&Guest::engine_config()).map_err(plain)?, text)?;
    Ok(runtime()?.block_on(guest.run(ctx.build_for_any_module()?)))
}

fn is_terminated(ended: &wasmtime::Result<Ended>, why: Terminated) -> bool {
    ended.as_ref().is_err_and(|error| error.downcast_ref() == Some(&why))
}

/// The call is given up in the midst: otherwise the guest would come to its own end.
#[test]
fn a_call_that_takes_long_is_given_up_at_the_end_of_the_time() -> Result<()> {
    let limit = Duration::from_millis(100);
    for call in [RANDOM, COUNTER] {
        let ended = run(call, WasockCtx::builder().timeout(limit))?;
        ensure!(is_terminated(&ended, Terminated::Timeout(limit)), "{ended:?}\n{call}");
        let ended = run(call, WasockCtx::builder().max_cpu_time(limit))?;
        ensure!(is_terminated(&ended, Terminated::CpuTime(limit)), "{ended:?}\n{call}");
    }
    Ok(())
}

/// It leaves the executor's thread to others.
#[test]
fn a_call_that_takes_long_is_dropped_with_its_future() -> Result<()> {
    for call in [RANDOM, COUNTER] {
        let guest = load(&Engine::new(&Guest::engine_config()).map_err(plain)?, call)?;
        let ctx = WasockCtx::builder().build_for_any_module()?;
        let limit = Duration::from_millis(50);
        let ended = runtime()?.block_on(async { tokio::time::timeout(limit, guest.run(ctx)).await });
        ensure!(ended.is_err(), "the call was not given up: {ended:?}\n{call}");
    }
    Ok(())
}

/// The processor time that this process has used.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Starts [`LARGE_WAIT`], waits until both of its threads are there, and gives up its future.
fn drop_large_wait(runtime: &Runtime) -> Result<(Handle, std::sync::mpsc::Receiver<Event>)> {
    let guest = load(&Guest::new_engine(&Guest::engine_config()).map_err(plain)?, LARGE_WAIT)?;
    let (observer, events) = events();
    let ctx = WasockCtx::builder().observer(observer).build_for_any_module()?;
    let handle = ctx.handle();
    runtime.block_on(async {
        let mut run = Box::pin(guest.run(ctx));
        let begun = Instant::now();
        while threads_called("guest-").len() < 2 {
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "its threads do not start");
            let early = tokio::time::timeout(Duration::from_millis(2), run.as_mut()).await;
            ensure!(early.is_err(), "it waits for ever: {early:?}");
        }
        // They begin to wait in the memory, which is not visible from outside.
        let early = tokio::time::timeout(Duration::from_millis(300), run.as_mut()).await;
        ensure!(early.is_err(), "it waits for ever: {early:?}");
        anyhow::Ok(())
    })?;
    Ok((handle, events))
}

/// The threads of this process whose names begin so, from Linux.
fn threads_called(start: &str) -> Vec<String> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let names = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")));
    names.flatten().filter(|name| name.starts_with(start)).collect()
}

#[test]
fn the_end_of_a_guest_costs_little_however_large_its_memory_is() -> Result<()> {
    run_alone("time::alone_the_end_of_a_guest_with_a_large_memory")
}

#[test]
#[ignore = "counts the processor time of the process: run alone, by the test above"]
fn alone_the_end_of_a_guest_with_a_large_memory() -> Result<()> {
    let runtime = runtime()?;
    let before = processor_time();
    let (handle, events) = drop_large_wait(&runtime)?;
    let left = loop {
        if let Event::ThreadsLeftBehind { count } = events.recv_timeout(WAIT_TIMEOUT)? {
            break count;
        }
    };
    ensure!(left == 2 && handle.threads_left_behind() == 2, "{left} threads were left behind");
    ensure!(handle.is_ended(), "it has not ended");
    // A search for them would still be running now.
    std::thread::sleep(Duration::from_secs(1));
    let used = processor_time() - before;
    ensure!(used < Duration::from_millis(700), "the end took {used:?} of processor time");
    Ok(())
}

#[test]
fn a_guest_that_can_not_be_woken_holds_no_runtime_up() -> Result<()> {
    run_alone("time::alone_the_drop_of_a_runtime")
}

#[test]
#[ignore = "has threads that stay: run alone, by the test above"]
fn alone_the_drop_of_a_runtime() -> Result<()> {
    for _ in 0..2 {
        let runtime = runtime()?;
        let _ended = drop_large_wait(&runtime)?;
        drop(runtime);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let _ended = drop_large_wait(&runtime)?;
        drop(runtime);
    }
    Ok(())
}

/// Both threads wait where nothing reaches them, and `run` returns all the same.
#[test]
fn a_guest_whose_threads_all_wait_in_the_memory_is_ended() -> Result<()> {
    run_alone("time::alone_the_end_of_threads_in_the_memory")
}

#[test]
#[ignore = "has threads that stay: run alone, by the test above"]
fn alone_the_end_of_threads_in_the_memory() -> Result<()> {
    let limit = Duration::from_millis(200);
    let ended = run(LARGE_WAIT, WasockCtx::builder().timeout(limit))?;
    ensure!(is_terminated(&ended, Terminated::Timeout(limit)), "{ended:?}");
    Ok(())
}

/// Randomness that fails in the worst way.
struct Broken;

impl rand::TryRng for Broken {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        std::panic::resume_unwind(Box::new("broken"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        std::panic::resume_unwind(Box::new("broken"))
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
        std::panic::resume_unwind(Box::new("broken"))
    }
}

#[test]
fn a_panic_of_the_hosts_ends_the_guest_with_a_sentence() -> Result<()> {
    for guest in [EIGHT, EIGHT_IN_A_THREAD] {
        let ended = run(guest, WasockCtx::builder().random(Broken))?;
        let why = ended.as_ref().err().and_then(|error| error.downcast_ref::<Terminated>()).copied();
        let why = why.with_context(|| format!("{ended:?}"))?;
        ensure!(matches!(why, Terminated::HostPanic(_)), "{why:?}");
        ensure!(why.exit_code() == 70 && why.to_string().contains("the host failed"), "{why}");
    }
    Ok(())
}
