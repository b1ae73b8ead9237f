//! The limits to memory in a store of an embedder's own.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::time::Duration;

use wasmtime::{Engine, Instance, Module, ResourceLimiter, Store};
use wasock::observe::Limit;
use wasock::{Event, Guest, WasockCtx};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

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
    let ctx = builder.build_for_any_module().map_err(wasmtime::Error::new)?;
    let mut store = Store::new(&engine, ctx);
    store.limiter(|ctx| ctx.limiter());
    let instance = Instance::new(&mut store, &module, &[])?;
    let grow = instance.get_typed_func::<(), i32>(&mut store, "grow")?;
    for expected in [1, 2, -1, -1] {
        assert_eq!(grow.call(&mut store, ())?, expected);
    }
    assert_eq!(store.data_mut().memory_used(), 3 * 65536);
    let told = receiver.recv_timeout(WAIT_TIMEOUT);
    assert_eq!(told, Ok(Event::MemoryDenied { limit: Limit::Memory, most: 3 * 65536 }));
    Ok(())
}

#[test]
fn a_start_beyond_the_limit_fails() -> wasmtime::Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, MODULE)?;
    let ctx = WasockCtx::builder().max_memory(65535).build_for_any_module().map_err(wasmtime::Error::new)?;
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
    let ctx = WasockCtx::builder().max_memory(0).build_for_any_module().map_err(wasmtime::Error::new)?;
    let mut store = Store::new(&engine, ctx);
    assert!(Instance::new(&mut store, &module, &[]).is_ok());
    Ok(())
}

/// An embedder's own limiter is asked by [`Guest::run`], once for each store, and what it
/// refuses is not charged.
#[tokio::test]
async fn a_limiter_of_the_embedder_is_called_for_each_store() -> wasmtime::Result<()> {
    struct Own(Arc<AtomicU32>);
    impl ResourceLimiter for Own {
        fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
            self.0.fetch_add(1, SeqCst);
            Ok(desired <= 2 * 65536)
        }

        fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
            Ok(desired <= 10)
        }
    }
    // Its own memory grows to two pages and no further, its table to ten elements.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (table $table 10 20 funcref)
        (func (export "_start")
            (call $exit (i32.add
                (i32.add (memory.grow (i32.const 1)) (i32.mul (i32.const 10) (memory.grow (i32.const 1))))
                (i32.mul (i32.const 100) (table.grow $table (ref.null func) (i32.const 1)))))))"#;
    let engine = Engine::new(&Guest::engine_config())?;
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let builder = WasockCtx::builder().resource_limiter(move || Own(Arc::clone(&counter)));
    let ctx = builder.build_for_any_module().map_err(wasmtime::Error::new)?;
    let ended = Guest::from_module(Module::new(&engine, text)?).run(ctx).await?;
    // 1, then -10 and -100.
    assert_eq!(ended.code.cast_signed(), -109);
    assert_eq!(asked.load(SeqCst), 3);
    Ok(())
}
