//! The limits to memory in a store of an embedder's own.

use std::sync::mpsc::channel;
use std::time::Duration;

use wasmtime::{Engine, Instance, Module, Store};
use wasock::observe::Limit;
use wasock::{Event, WasockCtx};

const PATIENCE: Duration = Duration::from_secs(20);

const MODULE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#;

#[test]
fn a_store_of_ones_own_has_the_limit_of_its_guest() -> wasmtime::Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, MODULE)?;
    let (sender, receiver) = channel();
    let observer = move |event: &Event| _ = sender.send(event.clone());
    let builder = WasockCtx::builder().max_memory(3 * 65536).observer(observer);
    let ctx = builder.build().map_err(wasmtime::Error::new)?;
    let mut store = Store::new(&engine, ctx);
    store.limiter(|ctx| ctx.limiter());
    let instance = Instance::new(&mut store, &module, &[])?;
    let grow = instance.get_typed_func::<(), i32>(&mut store, "grow")?;
    for expected in [1, 2, -1, -1] {
        assert_eq!(grow.call(&mut store, ())?, expected);
    }
    assert_eq!(store.data_mut().limiter().used(), 3 * 65536);
    let told = receiver.recv_timeout(PATIENCE);
    assert_eq!(told, Ok(Event::MemoryDenied { limit: Limit::Memory, most: 3 * 65536 }));
    Ok(())
}

#[test]
fn a_start_beyond_the_limit_fails() -> wasmtime::Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, MODULE)?;
    let ctx = WasockCtx::builder().max_memory(65535).build().map_err(wasmtime::Error::new)?;
    let mut store = Store::new(&engine, ctx);
    store.limiter(|ctx| ctx.limiter());
    assert!(Instance::new(&mut store, &module, &[]).is_err());
    Ok(())
}

/// A limiter of the embedder's own may stand in its place.
#[test]
fn without_the_limiter_nothing_is_limited() -> wasmtime::Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, MODULE)?;
    let ctx = WasockCtx::builder().max_memory(0).build().map_err(wasmtime::Error::new)?;
    let mut store = Store::new(&engine, ctx);
    assert!(Instance::new(&mut store, &module, &[]).is_ok());
    Ok(())
}
