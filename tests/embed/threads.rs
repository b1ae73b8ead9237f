//! Guests with threads in an embedder's process: nothing of them is left behind.

use std::path::Path;
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasock::{Ended, Guest, WasockCtx};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Guests here have threads with these names, and their tests take turns.
static TURNS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn guest_threads() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")));
    names.flatten().filter(|name| name.starts_with("guest-")).count()
}

async fn none_is_left() -> wasmtime::Result<()> {
    let begun = Instant::now();
    while guest_threads() > 0 {
        wasmtime::ensure!(begun.elapsed() < WAIT_TIMEOUT, "{} threads are left", guest_threads());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

fn life(engine: &Engine, case: &str) -> wasmtime::Result<(Guest, WasockCtx)> {
    let guest = Guest::load(engine, Path::new(guest_tests::THREADS_LIFE)).map_err(wasmtime::Error::new)?;
    let ctx =
        WasockCtx::builder().args(["life", case]).build_for_any_module().map_err(wasmtime::Error::new)?;
    Ok((guest, ctx))
}

#[tokio::test]
async fn nothing_is_left_running_after_the_end() -> wasmtime::Result<()> {
    let _turn = TURNS.lock().await;
    let engine = Guest::new_engine(&Guest::engine_config())?;
    for (case, code) in [("return", 0), ("exit", 7), ("visit", 7)] {
        let (guest, ctx) = life(&engine, case)?;
        let handle = ctx.handle();
        assert_eq!(guest.run(ctx).await?, Ended { code }, "{case}");
        none_is_left().await?;
        assert!(handle.is_ended(), "{case}");
    }
    let (guest, ctx) = life(&engine, "trap")?;
    assert!(guest.run(ctx).await.is_err_and(|error| error.is::<wasmtime::WasmBacktrace>()));
    none_is_left().await
}

#[tokio::test]
async fn a_dropped_run_ends_every_thread() -> wasmtime::Result<()> {
    let _turn = TURNS.lock().await;
    let engine = Guest::new_engine(&Guest::engine_config())?;
    let (guest, ctx) = life(&engine, "hang")?;
    let mut run = Box::pin(guest.run(ctx));
    while guest_threads() < 6 {
        let early = tokio::time::timeout(Duration::from_millis(5), run.as_mut()).await;
        assert!(early.is_err(), "it waits for ever");
    }
    drop(run);
    none_is_left().await
}

/// Ending the threads of one guest leaves another one of the same engine alone.
#[tokio::test]
async fn the_end_of_one_guest_is_not_anothers() -> wasmtime::Result<()> {
    let _turn = TURNS.lock().await;
    let engine = Guest::new_engine(&Guest::engine_config())?;
    let (contending, ctx) = life(&engine, "contend")?;
    let contending = tokio::spawn(async move { contending.run(ctx).await });
    for _ in 0..5 {
        let (returning, ctx) = life(&engine, "return")?;
        assert_eq!(returning.run(ctx).await?, Ended { code: 0 });
    }
    assert_eq!(contending.await.map_err(wasmtime::Error::new)??, Ended { code: 0 });
    none_is_left().await
}

/// An embedder's own increment of the epoch still ends a guest.
#[tokio::test]
async fn an_epoch_of_the_embedders_ends_a_guest_with_threads() -> wasmtime::Result<()> {
    let _turn = TURNS.lock().await;
    let engine = Engine::new(&Guest::engine_config())?;
    let (guest, ctx) = life(&engine, "hang")?;
    let mut run = Box::pin(guest.run(ctx));
    while guest_threads() < 6 {
        let early = tokio::time::timeout(Duration::from_millis(5), run.as_mut()).await;
        assert!(early.is_err(), "it waits for ever");
    }
    engine.increment_epoch();
    let ended = tokio::time::timeout(WAIT_TIMEOUT, run).await.map_err(wasmtime::Error::new)?;
    assert!(ended.is_err_and(|error| error.downcast_ref() == Some(&wasmtime::Trap::Interrupt)));
    none_is_left().await
}

/// Returns when its other thread computes, and that one never ends.
const COMPUTING: &str = r#"(module
    (import "env" "memory" (memory 1 1 shared))
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
    (func (export "wasi_thread_start") (param i32 i32)
        (i32.atomic.store (i32.const 0) (i32.const 1))
        (loop $again (br $again)))
    (func (export "_start")
        (drop (call $spawn (i32.const 0)))
        (loop $again
            (drop (call $sleep (i64.const 1000000)))
            (br_if $again (i32.eqz (i32.atomic.load (i32.const 0)))))))"#;

/// Where the epoch is the embedder's, nothing of wasock stops code that computes: the guest
/// ends without it, and the embedder's next increment ends it.
#[tokio::test]
async fn threads_that_compute_end_at_the_next_epoch_of_the_embedders() -> wasmtime::Result<()> {
    let _turn = TURNS.lock().await;
    let engine = Engine::new(&Guest::engine_config())?;
    let guest = Guest::from_bytes(&engine, Path::new("computing.wat"), COMPUTING.as_bytes());
    let guest = guest.map_err(wasmtime::Error::new)?;
    let ctx = WasockCtx::builder().build_for_any_module().map_err(wasmtime::Error::new)?;
    let handle = ctx.handle();
    assert_eq!(guest.run(ctx).await?, Ended { code: 0 });
    assert!(handle.is_ended());
    let left = handle.threads_left_behind();
    wasmtime::ensure!(left > 0 && guest_threads() > 0, "{left} threads were left behind");
    engine.increment_epoch();
    none_is_left().await?;
    assert_eq!(handle.threads_left_behind(), 0);
    Ok(())
}
