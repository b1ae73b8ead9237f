//! Runs a guest that starts threads.
//!
//! `cargo run --release --example threads -- server.wasm`: each thread of the guest needs a store, an
//! instance and a thread of the host. `Guest::run` makes them, shares the memory that the
//! module imports, and ends all of them when one of them ends the program.

use std::env;
use std::path::Path;

use wasock::{Ended, Guest, WasockCtx};

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let module = arguments.next().ok_or_else(|| wasmtime::Error::msg("usage: threads MODULE [ARGUMENT…]"))?;
    let ended = run(Path::new(&module), arguments).await?;
    println!("ended with code {}", ended.code);
    Ok(())
}

/// Runs the guest to its end.
pub(crate) async fn run(module: &Path, arguments: impl Iterator<Item = String>) -> wasmtime::Result<Ended> {
    // A guest in `memory.atomic.wait`, or one that computes, is ended through the epoch of its
    // engine. In an engine of wasock's that is wasock's business; see `Guest::epochs` for others.
    let engine = Guest::new_engine(&Guest::engine_config())?;
    let guest = Guest::load(&engine, module)?;
    let ctx = WasockCtx::builder()
        .listen(&"127.0.0.1:*".parse()?)
        .arg("server")
        .args(arguments)
        // One more than that is EAGAIN to the guest.
        .max_threads(64)
        .build_for(guest.module())?;
    guest.run(ctx).await
}
