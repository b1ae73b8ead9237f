//! Gives a guest a listener as a descriptor, as systemd gives one to a service.
//!
//! `cargo run --release --example preopened_listener -- server.wasm`: programs of WASI preview 1 can
//! accept and not listen. They find the listener as descriptor 3, and LISTEN_FDS tells them so.
//! No grant is needed: the guest opens nothing by itself.

use std::env;
use std::net::TcpListener;
use std::path::Path;

use wasock::{Ended, Guest, WasockCtx};

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let module = arguments.next();
    let module =
        module.ok_or_else(|| wasmtime::Error::msg("usage: preopened_listener MODULE [ARGUMENT…]"))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    let ended = serve(Path::new(&module), listener, arguments).await?;
    println!("ended with code {}", ended.code);
    Ok(())
}

/// Runs the guest to its end.
pub(crate) async fn serve(
    module: &Path,
    listener: TcpListener,
    arguments: impl Iterator<Item = String>,
) -> wasmtime::Result<Ended> {
    let engine = Guest::new_engine(&Guest::engine_config())?;
    let guest = Guest::load(&engine, module)?;
    let ctx = WasockCtx::builder()
        .arg("server")
        .args(arguments)
        // The name by which the guest finds it in LISTEN_FDNAMES.
        .preopened_socket("web", listener)?
        .build_for(guest.module())?;
    guest.run(ctx).await
}
