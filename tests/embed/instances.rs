//! Several instances, and several observers, of one embedder.

use super::{WAIT_TIMEOUT, events, granted, plain};
use anyhow::{Result, ensure};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{Engine, Linker, Module, Store};
use wasock::observe::TraceLine;
use wasock::{Event, Guest, Observer, WasockCtx};

/// Names a file that is not there by the text of this instance: the trace shows whose memory
/// was read. Then has its own number of arguments written, and returns it.
fn names(text: &str, exported: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "{text}")
  {exported}
  (func (export "run") (result i32)
    (drop (call $unlink (i32.const 9) (i32.const 64) (i32.const 3)))
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (i32.load (i32.const 0))))"#
    )
}

/// The lines of a trace.
fn traced() -> (Arc<Mutex<Vec<String>>>, impl Fn(&TraceLine<'_>) + Send + Sync) {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&lines);
    (lines, move |line: &TraceLine<'_>| {
        sink.lock().unwrap_or_else(PoisonError::into_inner).push(line.arguments.to_owned());
    })
}

/// Each of three instances in one store reads and writes its own memory, whether the context
/// has learnt of the module or not, and also where they are of different modules.
#[tokio::test]
async fn a_call_sees_the_memory_of_its_own_instance() -> Result<()> {
    for learns in [false, true] {
        let engine = Engine::default();
        let mut linker: Linker<WasockCtx> = Linker::new(&engine);
        let (lines, sink) = traced();
        let ctx = WasockCtx::builder().args(["program", "argument"]).trace(sink).build_for_any_module()?;
        let mut store = Store::new(&engine, ctx);
        // Different modules, then one module twice.
        let texts = [names("AAA", ""), names("BBB", r#"(func (export "more"))"#), names("AAA", "")];
        for text in &texts {
            let module = Module::new(&engine, text).map_err(plain)?;
            // One linker is for all of them.
            wasock::add_to_linker(&mut linker, &module, |ctx| ctx).map_err(plain)?;
            if learns {
                store.data_mut().adapt_to(&module);
            }
        }
        for text in &texts {
            let module = Module::new(&engine, text).map_err(plain)?;
            for _ in 0..2 {
                let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
                let run = instance.get_typed_func::<(), i32>(&mut store, "run").map_err(plain)?;
                let count = run.call_async(&mut store, ()).await.map_err(plain)?;
                ensure!(count == 2, "{count} arguments were written to this instance");
            }
        }
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let named: Vec<&str> = lines.iter().filter_map(|line| line.split('"').nth(1)).collect();
        ensure!(named == ["AAA", "AAA", "BBB", "BBB", "AAA", "AAA"], "{named:?}, learns: {learns}");
    }
    Ok(())
}

/// An embedder's own store has one thread: a program that starts another one gets an error.
#[tokio::test]
async fn threads_in_a_store_of_the_embedder_are_not_supported() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    let text = r#"(module
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (memory (export "memory") 1 1 shared)
        (func (export "wasi_thread_start") (param i32 i32))
        (func (export "run") (result i32) (call $spawn (i32.const 7))))"#;
    let module = Module::new(&engine, text).map_err(plain)?;
    wasock::add_to_linker(&mut linker, &module, |ctx| ctx).map_err(plain)?;
    let mut ctx = WasockCtx::builder().build_for_any_module()?;
    ctx.adapt_to(&module);
    let mut store = Store::new(&engine, ctx);
    store.set_epoch_deadline(1);
    let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").map_err(plain)?;
    // ENOTSUP, the first time and every time.
    for _ in 0..3 {
        ensure!(run.call_async(&mut store, ()).await.map_err(plain)? == -58);
    }
    Ok(())
}

/// Panics at every event.
struct Panics {
    inline: bool,
    heard: Arc<AtomicU32>,
}

impl Observer for Panics {
    fn observe(&self, event: &Event) {
        self.heard.fetch_add(1, SeqCst);
        assert_eq!(format!("{event:?}"), "", "as the test wants it");
    }

    fn inline(&self) -> bool {
        self.inline
    }
}

/// A guest does not feel that an observer or a trace sink panics.
#[tokio::test]
async fn a_panic_of_an_observer_stays_with_it() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    // Is denied, twice: two events, two lines.
    let text = r#"(module
        (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
        (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "\01\00\50\00\7f\00\00\01")
        (func (export "_start")
            (drop (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 0)))
            (drop (call $bind (i32.load (i32.const 0)) (i32.const 64)))
            (call $exit (call $bind (i32.load (i32.const 0)) (i32.const 64)))))"#;
    for inline in [false, true] {
        let heard = Arc::new(AtomicU32::new(0));
        let observer = Panics { inline, heard: Arc::clone(&heard) };
        let sink = |line: &TraceLine<'_>| assert_eq!(line.name, "", "as the test wants it");
        let ctx = WasockCtx::builder().observer(observer).trace(sink).build_for_any_module()?;
        let handle = ctx.handle();
        let module = Module::new(&engine, text).map_err(plain)?;
        let ended = Guest::from_module(module).run(ctx).await.map_err(plain)?;
        // EACCES
        ensure!(ended.code == 2, "it ended with {ended:?}");
        handle.flush_events(WAIT_TIMEOUT);
        ensure!(heard.load(SeqCst) > 0, "it heard of nothing");
    }
    Ok(())
}

/// What the embedder defines in the linker that it gives is called, beside what the host has
/// and instead of it.
#[tokio::test]
async fn a_guest_runs_with_functions_of_the_embedder() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let text = r#"(module
        (import "embedder" "seven" (func $seven (result i32)))
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start") (call $exit (i32.add (call $seven) (call $yield)))))"#;
    let guest = Guest::from_module(Module::new(&engine, text).map_err(plain)?);
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    linker.func_wrap("embedder", "seven", || 7_i32).map_err(plain)?;
    linker.func_wrap("wasi_snapshot_preview1", "sched_yield", || 35_i32).map_err(plain)?;
    let (observer, _events) = events();
    let ctx = granted()?.observer(observer).build_for_any_module()?;
    let ended = guest.run_with(&linker, ctx).await.map_err(plain)?;
    ensure!(ended.code == 42, "it ended with {ended:?}");
    // Without them it can't run.
    ensure!(guest.run(granted()?.build_for_any_module()?).await.is_err());
    Ok(())
}

/// The same for a guest whose threads have stores of their own.
#[tokio::test]
async fn threads_of_a_guest_have_the_functions_of_the_embedder() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    // The thread counts by the embedder's function, and reports in its own memory.
    let text = r#"(module
        (import "env" "memory" (memory 1 1 shared))
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "embedder" "seven" (func $seven (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (func (export "wasi_thread_start") (param i32 i32)
            (i32.store (i32.const 0) (call $seven))
            (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
        (func (export "_start")
            (drop (call $spawn (i32.const 0)))
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
            (call $exit (i32.load (i32.const 0)))))"#;
    let guest = Guest::from_module(Module::new(&engine, text).map_err(plain)?);
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    linker.func_wrap("embedder", "seven", || 7_i32).map_err(plain)?;
    let ended = guest.run_with(&linker, granted()?.build_for_any_module()?).await.map_err(plain)?;
    ensure!(ended.code == 7, "it ended with {ended:?}");
    Ok(())
}
