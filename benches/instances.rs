//! How long it takes to make and end an instance for one connection, with its context, beside Wasmtime alone:
//! `cargo bench --bench instances`. Both are made in turn, in one process, of one module and from pools of the same kind.
//!
//! A line is `NAME wasock=MEDIAN wasmtime=MEDIAN`, in microseconds.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use wasmtime::{Engine, Error, Linker, MemoryType, Module, Result, SharedMemory, Store};
use wasock::internals::ConnectionInstances;
use wasock::{Guest, WasockCtx};

/// How many are made of each, besides those that warm up.
const INSTANCES: usize = 4000;

const WARM_UP: usize = 500;

/// How many may live at once, for the sizes of the pools.
const PLACES: u32 = 64;

/// A small program with a memory of its own, of which it uses some.
const OWN_MEMORY: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 4)
    (table 8 funcref)
    (data (i32.const 1024) "some data")
    (func (export "_start") (i32.store (i32.const 2048) (i32.const 1))))"#;

/// The same with threads, of which it starts none: its memory comes from no pool.
const SHARED_MEMORY: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi" "thread-spawn" (func (param i32) (result i32)))
    (import "env" "memory" (memory 4 16 shared))
    (export "memory" (memory 0))
    (table 8 funcref)
    (data (i32.const 1024) "some data")
    (func (export "wasi_thread_start") (param i32 i32))
    (func (export "_start") (i32.store (i32.const 2048) (i32.const 1))))"#;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (name, text) in [("own-memory", OWN_MEMORY), ("shared-memory", SHARED_MEMORY)] {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("module.wat");
        std::fs::write(&path, text)?;
        let (wasock, wasmtime) = runtime.block_on(times(&path))?;
        println!("{name} wasock={wasock:.2} wasmtime={wasmtime:.2}");
    }
    Ok(())
}

/// An engine with a pool for the module at `path`, where that can have one.
fn engine(path: &Path) -> Result<Engine> {
    let mut config = Guest::engine_config();
    let _on_demand = Guest::set_pool(&mut config, path, PLACES, 64 << 20);
    Guest::new_engine(&config)
}

/// The medians of both.
async fn times(path: &Path) -> Result<(f64, f64)> {
    let guest = Guest::load(&engine(path)?, path).map_err(Error::new)?;
    let instances = ConnectionInstances::new(guest, WasockCtx::builder()).await?;
    let plain = Plain::new(&engine(path)?, path)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + INSTANCES {
        let connection = instances.connection().map_err(Error::new)?;
        let our = timed(instances.serve(connection)).await?;
        let their = timed(plain.run_one()).await?;
        if number >= WARM_UP {
            ours.push(our);
            theirs.push(their);
        }
    }
    Ok((median(ours), median(theirs)))
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<Duration> {
    let begun = Instant::now();
    work.await?;
    Ok(begun.elapsed())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// The module by Wasmtime alone, with host functions that do nothing.
struct Plain {
    module: Module,
    linker: Linker<()>,
    memory: Option<MemoryType>,
}

impl Plain {
    fn new(engine: &Engine, path: &Path) -> Result<Self> {
        let module = Module::from_file(engine, path)?;
        let mut linker = Linker::new(engine);
        linker.func_wrap("wasi_snapshot_preview1", "fd_write", |_: i32, _: i32, _: i32, _: i32| 0_i32)?;
        linker.func_wrap("wasi", "thread-spawn", |_: i32| -1_i32)?;
        let memory = module.imports().find_map(|import| import.ty().memory().cloned());
        Ok(Self { module, linker, memory })
    }

    async fn run_one(&self) -> Result<()> {
        let engine = self.module.engine();
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = match &self.memory {
            // Each has a memory of its own, and so a linker.
            Some(memory) => {
                let memory = SharedMemory::new(engine, memory.clone())?;
                let mut linker = self.linker.clone();
                linker.define(&store, "env", "memory", memory)?;
                linker.instantiate_async(&mut store, &self.module).await?
            }
            None => self.linker.instantiate_async(&mut store, &self.module).await?,
        };
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call_async(&mut store, ()).await
    }
}
