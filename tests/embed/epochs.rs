//! Ownership of the epoch: what one guest does reaches no other store of an embedder's engine,
//! and an embedder's increment takes effect.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Builder;
use wasmtime::{Engine, Instance, Module, Store, Trap};
use wasock::{Ended, Epochs, Guest, Handle, Signal, Terminated, WasockCtx};

use super::{WAIT_TIMEOUT, plain};

/// Signals itself again and again, and handles it.
const SELF_SIGNALLER: &str = r#"(module
    (import "wasix_32v1" "callback_signal" (func $callback (param i32 i32)))
    (import "wasix_32v1" "proc_signal" (func $send (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "handler")
    (func (export "handler") (param i32))
    (func (export "_start")
        (call $callback (i32.const 0) (i32.const 7))
        (loop $again (drop (call $send (i32.const 1) (i32.const 10))) (br $again))))"#;

/// Computes for as long as its argument says.
const TENANT: &str = r#"(module
    (func (export "compute") (param $left i64)
        (loop $again
            (br_if $again (i64.ne (local.tee $left (i64.sub (local.get $left) (i64.const 1))) (i64.const 0))))))"#;

/// Calls the host again and again, without ever waiting.
const CALLER: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (loop $again (drop (call $now (i32.const 1) (i64.const 1) (i32.const 0))) (br $again))))"#;

fn load(engine: &Engine, text: &str) -> Result<Guest> {
    Ok(Guest::from_bytes(engine, Path::new("guest.wat"), text.as_bytes())?)
}

/// Runs `guest` on this thread; `meanwhile` has its handle on another one.
fn run(
    guest: &Guest,
    meanwhile: impl FnOnce(&Handle) -> Result<()> + Send,
) -> Result<wasmtime::Result<Ended>> {
    let ctx = WasockCtx::builder().arg("guest").build_for_any_module()?;
    let handle = ctx.handle();
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            let done = meanwhile(&handle);
            if done.is_err() {
                handle.terminate();
            }
            done
        });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(guest.run(ctx));
        other.join().ok().context("the other thread panicked")??;
        Ok(ended)
    })
}

fn wait_until(condition: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !condition() {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "waited for too long");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn is_trap(ended: &wasmtime::Result<Ended>, trap: Trap) -> bool {
    ended.as_ref().is_err_and(|error| error.downcast_ref() == Some(&trap))
}

fn is_terminated(ended: &wasmtime::Result<Ended>, why: Terminated) -> bool {
    ended.as_ref().is_err_and(|error| error.downcast_ref() == Some(&why))
}

/// Does it ever see an increment that the embedder did not make?
#[test]
fn a_guest_that_signals_itself_takes_no_epoch_of_a_tenants() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let module = Module::new(&engine, TENANT).map_err(plain)?;
    let ended = run(&load(&engine, SELF_SIGNALLER)?, |handle| {
        wait_until(|| handle.handles_signals())?;
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let tenant = Instance::new(&mut store, &module, &[]).map_err(plain)?;
        let compute = tenant.get_typed_func::<i64, ()>(&mut store, "compute").map_err(plain)?;
        compute.call(&mut store, 100_000_000).map_err(plain)?;
        handle.terminate();
        Ok(())
    })?;
    ensure!(is_terminated(&ended, Terminated::Order), "{ended:?}");
    Ok(())
}

#[test]
fn one_order_of_the_embedders_ends_a_guest_that_signals_itself() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let ended = run(&load(&engine, SELF_SIGNALLER)?, |handle| {
        wait_until(|| handle.handles_signals())?;
        thread::sleep(Duration::from_millis(20));
        engine.increment_epoch();
        wait_until(|| handle.is_ended())
    })?;
    ensure!(is_trap(&ended, Trap::Interrupt), "{ended:?}");
    Ok(())
}

/// No epoch is needed for that.
#[test]
fn a_guest_ends_at_its_next_call_where_the_epoch_is_the_embedders() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    for signal in [None, Some(Signal::Kill)] {
        let ended = run(&load(&engine, CALLER)?, |handle| {
            thread::sleep(Duration::from_millis(20));
            match signal {
                Some(signal) => handle.signal(signal),
                None => handle.terminate(),
            }
            wait_until(|| handle.is_ended())
        })?;
        match signal {
            Some(_) => assert_eq!(ended.map_err(plain)?, Ended { code: 137 }),
            None => ensure!(is_terminated(&ended, Terminated::Order), "{ended:?}"),
        }
    }
    Ok(())
}

#[test]
fn ticks_of_the_embedders_end_nothing_and_let_signals_through() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let guest = Guest::load(&engine, Path::new(guest_tests::SPIN))?.epochs(Epochs::Ticks);
    let is_over = Arc::new(AtomicBool::new(false));
    let ticks = thread::spawn({
        let (engine, is_over) = (engine.clone(), Arc::clone(&is_over));
        move || {
            while !is_over.load(Relaxed) {
                engine.increment_epoch();
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let ended = run(&guest, |handle| {
        thread::sleep(Duration::from_millis(50));
        ensure!(!handle.is_ended(), "a tick ended it");
        handle.signal(Signal::Kill);
        wait_until(|| handle.is_ended())
    });
    is_over.store(true, Relaxed);
    ticks.join().ok().context("the ticks ended")?;
    assert_eq!(ended?.map_err(plain)?, Ended { code: 137 });
    Ok(())
}

/// And an increment there is no order.
#[test]
fn an_order_ends_code_that_computes_where_wasock_has_the_epoch() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let ended = run(&Guest::load(&engine, Path::new(guest_tests::SPIN))?, |handle| {
        thread::sleep(Duration::from_millis(20));
        engine.increment_epoch();
        thread::sleep(Duration::from_millis(20));
        ensure!(!handle.is_ended(), "an increment ended it");
        handle.terminate();
        wait_until(|| handle.is_ended())
    })?;
    ensure!(is_terminated(&ended, Terminated::Order), "{ended:?}");
    Ok(())
}

/// The rate at which a guest can have the epoch incremented is bounded.
#[test]
fn a_guest_that_signals_itself_does_not_race_the_epoch() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let module = Module::new(&engine, TENANT).map_err(plain)?;
    let ended = run(&load(&engine, SELF_SIGNALLER)?, |handle| {
        wait_until(|| handle.handles_signals())?;
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1_000);
        let tenant = Instance::new(&mut store, &module, &[]).map_err(plain)?;
        let compute = tenant.get_typed_func::<i64, ()>(&mut store, "compute").map_err(plain)?;
        // 200 epochs a second are five seconds of this.
        compute.call(&mut store, 100_000_000).map_err(plain)?;
        handle.terminate();
        Ok(())
    })?;
    ensure!(is_terminated(&ended, Terminated::Order), "{ended:?}");
    Ok(())
}
