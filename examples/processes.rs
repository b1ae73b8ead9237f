//! Runs a guest that starts other programs, and ends those that live too long.
//!
//! `cargo run --release --example processes -- ./bin shell.wasm` lets the guest execute what is in `./bin`, under `/bin`. All
//! processes are the guest's: its policy and its limits are one for all, and its future ends with its first process.

use std::env;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasock::{Ended, Event, Guest, Handle, Signal, WasockCtx};

/// How long a process of the guest may live.
const LONGEST_LIFE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(programs), Some(module)) = (arguments.next(), arguments.next()) else {
        return Err(wasmtime::Error::msg("usage: processes PROGRAMS MODULE"));
    };
    let ended = run(programs.as_ref(), module.as_ref(), LONGEST_LIFE).await?;
    println!("the first process ended with code {}", ended.code);
    Ok(())
}

/// Runs the guest to the end of its first process.
pub(crate) async fn run(programs: &Path, module: &Path, longest: Duration) -> wasmtime::Result<Ended> {
    let engine = Guest::new_engine(&Guest::engine_config())?;
    let guest = Guest::load(&engine, module)?;
    let handle = Arc::new(OnceLock::new());
    let known = Arc::clone(&handle);
    let runtime = tokio::runtime::Handle::current();
    let ctx = WasockCtx::builder()
        .exec(programs, "/bin")?
        .max_processes(16)
        .observer(move |event: &Event| match event {
            Event::Spawned { pid, parent, path } => {
                println!("process {pid}, a child of {parent}: {}", path.as_deref().unwrap_or("a copy of it"));
                if let Some(handle) = known.get().cloned() {
                    drop(runtime.spawn(end_later(handle, *pid, longest)));
                }
            }
            Event::Exited { pid, code, signal, .. } => {
                println!("process {pid} ended with code {code}{}", signal.map_or("", |_| ", by a signal"));
            }
            _ => {}
        })
        .build_for(guest.module())?;
    _ = handle.set(ctx.handle());
    guest.run(ctx).await
}

/// Ends a process as `kill` would.
async fn end_later(handle: Handle, pid: u32, after: Duration) {
    tokio::time::sleep(after).await;
    // One that has ended by itself is gone; its number is not given to another one soon.
    if handle.signal_process(pid, Signal::Term) {
        println!("process {pid} is told to end; there are {:?}", handle.processes());
    }
}
