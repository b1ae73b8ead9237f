//! A guest on a thread of its own: nothing of the embedder's waits for its code.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{sleep, timeout};
use wasmtime::{Engine, Linker, Module};
use wasock::{Ended, Guest, Terminated, WasockCtx, WasockCtxBuilder};

use super::{WAIT_TIMEOUT, events, granted, listening, plain};

/// Computes for ever.
const COMPUTES: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "_start") (loop $again (br $again))))"#;

/// Sleeps for ever: a day at a time.
const SLEEPS: &str = r#"(module
    (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (loop $again (drop (call $sleep (i64.const 86400000000000))) (br $again))))"#;

/// Sleeps for a moment, then exits with 7.
const EXITS: &str = r#"(module
    (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (call $exit (i32.add (i32.const 7)
            (i32.or (call $sleep (i64.const 1000000)) (call $yield))))))"#;

fn load(engine: &Engine, text: &str) -> Result<Guest> {
    Ok(Guest::from_module(Module::new(engine, text).map_err(plain)?).own_thread(true))
}

fn why(ended: wasmtime::Result<Ended>) -> Option<Terminated> {
    ended.err()?.downcast_ref().copied()
}

/// On the one thread of the runtime, where the guest would leave no time for anything else.
#[tokio::test]
async fn code_that_computes_leaves_the_runtime_free() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    for text in [COMPUTES, SLEEPS] {
        let guest = load(&engine, text)?;
        let ctx = WasockCtx::builder().build_for_any_module()?;
        let handle = ctx.handle();
        let meanwhile = async {
            sleep(Duration::from_millis(20)).await;
            ensure!(!handle.is_ended());
            handle.terminate();
            Ok(())
        };
        let both = async { tokio::join!(guest.run(ctx), meanwhile) };
        let (ended, meanwhile) = timeout(WAIT_TIMEOUT, both).await?;
        meanwhile?;
        ensure!(why(ended) == Some(Terminated::Order));
        ensure!(handle.threads_left_behind() == 0);
    }
    Ok(())
}

#[tokio::test]
async fn its_end_is_reported() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let guest = load(&engine, EXITS)?;
    // The guest is run as often as one likes.
    for _ in 0..3 {
        let ended = timeout(WAIT_TIMEOUT, guest.run(granted()?.build_for_any_module()?)).await?;
        ensure!(ended.map_err(plain)? == Ended { code: 7 });
    }
    let traps = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;
    let trapped = load(&engine, traps)?.run(granted()?.build_for_any_module()?).await;
    ensure!(trapped.is_err_and(|error| error.is::<wasmtime::WasmBacktrace>()));
    Ok(())
}

/// Of both, whether it waits or computes.
#[tokio::test]
async fn its_limits_hold() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let limit = Duration::from_millis(60);
    let run = async |text, ctx: WasockCtxBuilder| -> Result<Option<Terminated>> {
        let guest = load(&engine, text)?;
        Ok(why(timeout(WAIT_TIMEOUT, guest.run(ctx.build_for_any_module()?)).await?))
    };
    for text in [COMPUTES, SLEEPS] {
        let ended = run(text, WasockCtx::builder().timeout(limit)).await?;
        ensure!(ended == Some(Terminated::Timeout(limit)), "{ended:?}");
    }
    let ended = run(COMPUTES, WasockCtx::builder().max_cpu_time(limit)).await?;
    ensure!(ended == Some(Terminated::CpuTime(limit)), "{ended:?}");
    // Sleep is no processor time.
    let both = WasockCtx::builder().max_cpu_time(limit).timeout(8 * limit);
    let ended = run(SLEEPS, both).await?;
    ensure!(ended == Some(Terminated::Timeout(8 * limit)), "{ended:?}");
    Ok(())
}

/// The embedder goes on at once, and the thread ends a moment later: in a call that waits, and in
/// code that computes.
#[tokio::test]
async fn a_dropped_run_ends_it() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    for text in [COMPUTES, SLEEPS] {
        let guest = load(&engine, text)?;
        let ctx = WasockCtx::builder().build_for_any_module()?;
        let handle = ctx.handle();
        ensure!(timeout(Duration::from_millis(20), guest.run(ctx)).await.is_err(), "it ended early");
        let gone = async {
            while !handle.is_ended() || handle.threads_left_behind() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(WAIT_TIMEOUT, gone).await?;
    }
    Ok(())
}

/// A server's waits are the thread's own; what it can't watch itself the runtime drives.
#[tokio::test]
async fn a_server_serves() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let path = std::path::Path::new(guest_tests::HTTP_SERVER);
    for mode in ["poll", "epoll"] {
        let guest = Guest::load(&engine, path)?.own_thread(true);
        let (observer, heard) = events();
        let builder = granted()?.args(["http_server", "127.0.0.1:0", mode]).observer(observer);
        let ctx = builder.sockets_on(&tokio::runtime::Handle::current()).build_for(guest.module())?;
        let handle = ctx.handle();
        let client = tokio::task::spawn_blocking(move || -> Result<()> {
            let address = listening(&heard)?;
            let mut client = guest_tests::HttpClient::connect(address)?;
            for _ in 0..3 {
                client.get("/")?;
            }
            handle.terminate();
            Ok(())
        });
        let ended = timeout(WAIT_TIMEOUT, guest.run(ctx)).await?;
        client.await??;
        ensure!(why(ended) == Some(Terminated::Order));
    }
    Ok(())
}

/// A module that imports a function of the embedder's runs where the future is polled, for the function may
/// be async. So does each of its threads, on a thread of its own.
#[tokio::test]
async fn an_async_function_of_the_embedder_is_called_all_the_same() -> Result<()> {
    const ALONE: &str = r#"(module
        (import "embedder" "seven" (func $seven (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start") (call $exit (call $seven))))"#;
    const THREADED: &str = r#"(module
        (import "env" "memory" (memory 1 1 shared))
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "embedder" "seven" (func $seven (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (func (export "wasi_thread_start") (param i32 i32) (call $exit (call $seven)))
        (func (export "_start")
            (drop (call $spawn (i32.const 0)))
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#;
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    let seven = async || {
        tokio::task::yield_now().await;
        7_i32
    };
    linker.func_wrap_async("embedder", "seven", move |_, ()| Box::new(seven())).map_err(plain)?;
    for text in [ALONE, THREADED] {
        let guest = load(&engine, text)?;
        let run = guest.run_with(&linker, granted()?.build_for_any_module()?);
        let ended = timeout(WAIT_TIMEOUT, run).await?.map_err(plain).context(text)?;
        ensure!(ended == Ended { code: 7 }, "{ended:?}");
    }
    Ok(())
}

/// As deep as the engine allows, and no deeper: the stack is that of the host's thread.
#[tokio::test]
async fn its_stack_is_as_large_as_the_engine_allows() -> Result<()> {
    // Some bytes of stack a call.
    const RECURSES: &str = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (memory (export "memory") 1)
        (func $deeper (param $left i32) (result i32)
            (if (result i32) (i32.eqz (local.get $left))
                (then (call $yield))
                (else (i32.add (local.get $left)
                    (call $deeper (i32.sub (local.get $left) (i32.const 1)))))))
        (func (export "_start") (drop (call $deeper (i32.const DEPTH)))))"#;
    for (stack, depth, fits) in [(64 << 10, 100, true), (64 << 10, 100_000, false), (16 << 20, 100_000, true)]
    {
        let mut config = Guest::engine_config();
        Guest::set_max_stack(&mut config, stack);
        let engine = Guest::new_engine(&config).map_err(plain)?;
        let guest = load(&engine, &RECURSES.replace("DEPTH", &depth.to_string()))?;
        let ended = guest.run(granted()?.build_for_any_module()?).await;
        let is_overflow =
            ended.as_ref().is_err_and(|error| error.downcast_ref() == Some(&wasmtime::Trap::StackOverflow));
        ensure!(ended.is_ok() == fits && is_overflow != fits, "{depth} calls in {stack}: {ended:?}");
    }
    Ok(())
}
