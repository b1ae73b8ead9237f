//! Runs a program that need not be trusted.
//!
//! `cargo run --release --example limits -- program.wasm` bounds what it may take, and says which limit
//! ended it.

use std::env;
use std::path::Path;
use std::time::Duration;

use wasock::{Guest, Terminated, WasockCtx, WasockCtxBuilder};

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let module = env::args().nth(1).ok_or_else(|| wasmtime::Error::msg("usage: limits MODULE"))?;
    println!("{}", run(Path::new(&module), limits()).await?);
    Ok(())
}

/// What a program may take.
pub(crate) fn limits() -> WasockCtxBuilder {
    WasockCtx::builder()
        // Of its own: memories and tables, which grow no further.
        .max_memory(256 << 20)
        // Of the host's: descriptors, buffers, waiters. Beyond it calls fail, by ENOMEM or EMFILE.
        .max_host_memory(16 << 20)
        .max_fds(128)
        .max_threads(16)
        .max_connections(64)
        .max_connections_per_peer(8)
        // Its life and its processor time: beyond them it ends.
        .timeout(Duration::from_secs(60))
        .max_cpu_time(Duration::from_secs(10))
}

/// Runs the program to its end; tells how it ended.
pub(crate) async fn run(module: &Path, limits: WasockCtxBuilder) -> wasmtime::Result<String> {
    let engine = Guest::new_engine(&Guest::engine_config())?;
    let guest = Guest::load(&engine, module)?;
    let ctx = limits.arg("program").build_for(guest.module())?;
    match guest.run(ctx).await {
        Ok(ended) => Ok(format!("ended with code {}", ended.code)),
        Err(error) => match error.downcast_ref::<Terminated>() {
            Some(why) => Ok(why.to_string()),
            None => Err(error),
        },
    }
}
