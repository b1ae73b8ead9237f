//! Makes a server of a program that reads its standard input and writes its standard output: each connection has
//! an instance of its own, which ends with it.
//!
//! `cargo run --release --example per_connection -- filter.wasm` serves on 127.0.0.1:8080. A trap of
//! one instance is the end of one connection.

use std::env;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;
use wasock::{Event, Guest, Observer, Service, WasockCtx};

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let module =
        arguments.next().ok_or_else(|| wasmtime::Error::msg("usage: per_connection MODULE [ARGS]"))?;
    let listener = TcpListener::bind("127.0.0.1:8080")?;
    let failed = |event: &Event| {
        if let Event::InstanceFailed { why, .. } = event {
            println!("an instance failed: {why}");
        }
    };
    let (service, guest) = serve(Path::new(&module), listener, arguments, failed)?;
    service.run(guest).await.map(drop)
}

/// A service that makes an instance for each connection of `listener`, as a task of the caller's runtime. At
/// most 100 live at once, for a minute each.
pub(crate) fn serve(
    module: &Path,
    listener: TcpListener,
    arguments: impl IntoIterator<Item = String>,
    observer: impl Observer + 'static,
) -> wasmtime::Result<(Service, Guest)> {
    let mut config = Guest::engine_config();
    // Places for the memories of all instances that may live at once. It is quicker, not needed.
    if let Err(error) = Guest::set_pool(&mut config, module, 100, 64 << 20) {
        println!("instances are made on demand: {error}");
    }
    let engine = Guest::new_engine(&config)?;
    let guest = Guest::load(&engine, module)?;
    let runtime = Handle::current();
    let ctx = WasockCtx::builder()
        .sockets_on(&runtime)
        .arg("filter")
        .args(arguments)
        .max_memory(64 << 20)
        .timeout(Duration::from_secs(60))
        .observer(observer);
    let service = Service::builder(ctx)
        .per_connection(listener)?
        .connections_on(move |task| drop(runtime.spawn(task)))
        .max_instances(100)
        .build()?;
    Ok((service, guest))
}
