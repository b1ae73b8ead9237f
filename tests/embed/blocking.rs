//! The blocking linker, on every kind of thread an embedder may have.

use super::{events, expect_ok, granted, listening, plain};
use anyhow::{Context as _, Result};
use std::thread;
use tokio::runtime::Builder;
use wasmtime::{Engine, Linker, Module, Store};
use wasock::{Observer, WasockCtx};

/// Runs the guest of one connection on this thread.
fn run_blocking(observer: impl Observer + 'static) -> Result<()> {
    let engine = Engine::default();
    let module = Module::from_file(&engine, guest_tests::MEMORY_EXPORTED_PLAIN).map_err(plain)?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    wasock::add_to_linker_blocking(&mut linker, &module, |ctx| ctx).map_err(plain)?;
    let mut store = Store::new(&engine, granted()?.observer(observer).build_for_any_module()?);
    let instance = linker.instantiate(&mut store, &module).map_err(plain)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(plain)?;
    start.call(&mut store, ()).map_err(plain)
}

/// Runs `guest`, and is its one client from another thread.
fn served(guest: impl FnOnce(Box<dyn Observer>) -> Result<()>) -> Result<()> {
    let (observer, events) = events();
    let client = thread::spawn(move || expect_ok(listening(&events)?));
    guest(Box::new(observer))?;
    client.join().ok().context("the client panicked")?
}

/// An observer in a box, which the builder takes as a closure.
fn unboxed(observer: Box<dyn Observer>) -> impl Observer {
    move |event: &wasock::Event| observer.observe(event)
}

#[test]
fn outside_of_a_runtime() -> Result<()> {
    served(|observer| run_blocking(unboxed(observer)))
}

#[test]
fn on_a_blocking_thread_of_a_runtime() -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    served(|observer| {
        runtime.block_on(async { tokio::task::spawn_blocking(|| run_blocking(unboxed(observer))).await? })
    })
}

#[test]
fn in_a_task_of_a_runtime_of_many_threads() -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    served(|observer| {
        runtime.block_on(async { tokio::spawn(async { run_blocking(unboxed(observer)) }).await? })
    })
}

#[test]
fn in_a_runtime_of_one_thread() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    served(|observer| runtime.block_on(async { run_blocking(unboxed(observer)) }))
}

#[test]
fn in_a_runtime_without_drivers() -> Result<()> {
    let runtime = Builder::new_current_thread().build()?;
    served(|observer| runtime.block_on(async { run_blocking(unboxed(observer)) }))
}
