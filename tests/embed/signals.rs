//! Signals from an embedder, and in stores of an embedder's own.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Builder;
use wasmtime::{Engine, Linker, Module, Store};
use wasock::{Ended, Guest, Handle, Signal, Terminated, WasockCtx, WasockCtxBuilder};

use super::{events, granted, listening, plain};

/// Runs a guest on this thread; `meanwhile` has its handle on another one, once it
/// listens if it does.
fn run(
    engine: &Engine,
    guest: &str,
    ctx: WasockCtxBuilder,
    meanwhile: impl FnOnce(&Handle) -> Result<()> + Send,
) -> Result<wasmtime::Result<Ended>> {
    let guest = Guest::load(engine, Path::new(guest))?;
    let ctx = ctx.build_for_any_module()?;
    let handle = ctx.handle();
    thread::scope(|scope| {
        let other = scope.spawn(move || meanwhile(&handle));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(guest.run(ctx));
        other.join().ok().context("the other thread panicked")??;
        Ok(ended)
    })
}

/// As [`run`], for a guest that listens.
fn serve(guest: &str, meanwhile: impl FnOnce(&Handle) -> Result<()> + Send) -> Result<Ended> {
    let (observer, events) = events();
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let ended = run(&engine, guest, granted()?.observer(observer), move |handle| {
        listening(&events)?;
        meanwhile(handle)
    })?;
    ended.map_err(plain)
}

#[test]
fn a_guest_with_a_handler_handles_it() -> Result<()> {
    let ended = serve(guest_tests::SIGNAL_SERVER, |handle| {
        ensure!(handle.handles_signals(), "it has a handler");
        handle.signal(Signal::Hup);
        handle.signal(Signal::Term);
        Ok(())
    })?;
    assert_eq!(ended, Ended { code: 0 });
    Ok(())
}

#[test]
fn without_a_handler_the_default_action_counts() -> Result<()> {
    for (signal, code) in [(Signal::Term, 143), (Signal::Usr1, 138), (Signal::Kill, 137)] {
        let ended = serve(guest_tests::EVENT_ECHO, |handle| {
            ensure!(!handle.handles_signals(), "it has no handler");
            for nothing in [Signal::Winch, Signal::Chld, Signal::Stop, Signal::Cont] {
                handle.signal(nothing);
            }
            handle.signal(signal);
            Ok(())
        })?;
        assert_eq!(ended, Ended { code });
    }
    Ok(())
}

/// On a thread of the embedder's executor, whose reactor may be what the handler would wait for.
#[test]
fn a_handler_in_the_midst_of_running_code_has_what_is_ready() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let ctx = granted()?.connect(&"127.0.0.1:*".parse()?).args(["signal_handlers", "ask", "compute"]);
    let ended = run(&engine, guest_tests::SIGNAL_HANDLERS, ctx, |_| Ok(()))?;
    assert_eq!(ended.map_err(plain)?, Ended { code: 0 });
    Ok(())
}

const DISPOSITIONS: &str = r#"(module
    (import "wasix_32v1" "proc_signals_sizes_get" (func $count (param i32) (result i32)))
    (import "wasix_32v1" "proc_signals_get" (func $get (param i32) (result i32)))
    (import "wasix_32v1" "proc_signal" (func $send (param i32 i32) (result i32)))
    (import "wasix_32v1" "epoll_create" (func (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $count (i32.const 0)))
        (if (i32.ne (i32.load (i32.const 0)) (i32.const 3)) (then unreachable))
        (drop (call $get (i32.const 16)))
        ;; HUP and CHLD are ignored, and PIPE, as always.
        (if (i32.ne (i32.load (i32.const 16)) (i32.const 0x01110101)) (then unreachable))
        (if (i32.ne (i32.load16_u (i32.const 20)) (i32.const 0x010d)) (then unreachable))
        (drop (call $send (i32.const 1) (i32.const 1)))
        (drop (call $send (i32.const 1) (i32.const 17)))
        (drop (call $send (i32.const 1) (i32.const 2)))
        unreachable))"#;

#[tokio::test]
async fn what_the_operator_ignores_is_ignored() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let guest = Guest::from_bytes(&engine, Path::new("dispositions"), DISPOSITIONS.as_bytes())?;
    let ctx = WasockCtx::builder();
    let ctx = ctx.ignore_signal(Signal::Hup).ignore_signal(Signal::Chld).ignore_signal(Signal::Hup);
    let ended = guest.run(ctx.build_for_any_module()?).await.map_err(plain)?;
    assert_eq!(ended, Ended { code: 130 });
    Ok(())
}

/// Signals for one guest interrupt the code of others on the engine, and no more.
#[test]
fn a_guest_that_computes_is_ended_by_its_own_signals_alone() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let computing = WasockCtx::builder().arg("spin");
    let ended = run(&engine, guest_tests::SPIN, computing, |handle| {
        for _ in 0..3 {
            let other = WasockCtx::builder().arg("handlers").arg("none").arg("compute");
            let handled = run(&engine, guest_tests::SIGNAL_HANDLERS, other, |_| Ok(()))?;
            assert_eq!(handled.map_err(plain)?, Ended { code: 0 });
        }
        ensure!(!handle.is_ended(), "it was ended by another one's signals");
        handle.signal(Signal::Kill);
        Ok(())
    })?;
    assert_eq!(ended.map_err(plain)?, Ended { code: 137 });
    Ok(())
}

/// A handler in the midst of running code that never ends is ended by the embedder.
#[test]
fn an_order_ends_a_handler_that_computes() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let ctx = WasockCtx::builder().arg("handlers").arg("loop").arg("compute_for_operator");
    let ended = run(&engine, guest_tests::SIGNAL_HANDLERS, ctx, |handle| {
        while !handle.handles_signals() {
            thread::sleep(Duration::from_millis(2));
        }
        handle.signal(Signal::Usr1);
        thread::sleep(Duration::from_millis(50));
        handle.terminate();
        Ok(())
    })?;
    assert!(ended.is_err_and(|error| error.downcast_ref() == Some(&Terminated::Order)));
    Ok(())
}

/// A guest that sleeps until a signal of the clock has come five times.
const SLEEPER: &str = r#"(module
    (import "wasix_32v1" "callback_signal" (func $callback (param i32 i32)))
    (import "wasix_32v1" "proc_raise_interval" (func $interval (param i32 i64 i32) (result i32)))
    (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "handler")
    (global $count (mut i32) (i32.const 0))
    (func (export "handler") (param i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (drop (call $sleep (i64.const 1000))))
    (func (export "_start")
        (call $callback (i32.const 0) (i32.const 7))
        (drop (call $interval (i32.const 14) (i64.const 2000000) (i32.const 1)))
        (loop $again
            ;; INTR
            (if (i32.ne (call $sleep (i64.const -1)) (i32.const 27)) (then unreachable))
            (br_if $again (i32.lt_u (global.get $count) (i32.const 5))))))"#;

#[test]
fn a_blocking_store_delivers_at_calls_that_wait() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, SLEEPER).map_err(plain)?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    wasock::add_to_linker_blocking(&mut linker, &module, |ctx| ctx).map_err(plain)?;
    let mut store = Store::new(&engine, WasockCtx::builder().build_for_any_module()?);
    let instance = linker.instantiate(&mut store, &module).map_err(plain)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(plain)?;
    start.call(&mut store, ()).map_err(plain)
}

#[tokio::test]
async fn an_async_store_delivers_at_calls_that_wait() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, SLEEPER).map_err(plain)?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    wasock::add_to_linker(&mut linker, &module, |ctx| ctx).map_err(plain)?;
    let mut store = Store::new(&engine, WasockCtx::builder().build_for_any_module()?);
    let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(plain)?;
    start.call_async(&mut store, ()).await.map_err(plain)
}
