//! Runs a server as a service: a new module takes the place of the old one without losing a client, and
//! the end lets connections end.
//!
//! `cargo run --release --example service -- server.wasm` serves on 127.0.0.1:8080; SIGHUP reads
//! `server.wasm` again, SIGTERM drains and ends.

use std::env;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use wasock::{Event, Guest, Observer, Restart, Service, WasockCtx};

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let module = env::args().nth(1).ok_or_else(|| wasmtime::Error::msg("usage: service MODULE"))?;
    let module = Path::new(&module);
    let service = service("127.0.0.1:8080", |event: &Event| {
        if let Event::Listening { local, .. } = event {
            println!("listening on {local}");
        }
    })?;
    let (mut hup, mut term) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    let running = service.run(load(module)?);
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => return ended.map(|ended| println!("ended with code {}", ended.code)),
            _ = hup.recv() => {
                let service = service.clone();
                let guest = load(module);
                // The service goes on meanwhile: what becomes of a reload is known a moment later.
                tokio::spawn(async move {
                    match reload(&service, guest).await {
                        Ok(generation) => println!("generation {generation} serves"),
                        Err(error) => println!("the running program goes on: {error}"),
                    }
                });
            }
            _ = term.recv() => service.drain(),
        }
    }
}

/// A service whose guests listen at `address`. A failing one is started anew, and one that is replaced may go on
/// with its connections for 20 seconds.
pub(crate) fn service(address: &str, observer: impl Observer + 'static) -> wasmtime::Result<Service> {
    let ctx = WasockCtx::builder().listen(&address.parse()?).args(["server", address]).observer(observer);
    let service = Service::builder(ctx).restart(Restart::OnFailure).drain_timeout(Duration::from_secs(20));
    Ok(service.build()?)
}

/// A module in an engine of its own: each generation has one, which goes with its last instance.
pub(crate) fn load(module: &Path) -> wasmtime::Result<Guest> {
    let engine = Guest::new_engine(&Guest::engine_config())?;
    Ok(Guest::load(&engine, module)?)
}

/// Puts `guest` in the place of what runs. Where it does not load, or does not serve, nothing changes.
pub(crate) async fn reload(service: &Service, guest: wasmtime::Result<Guest>) -> wasmtime::Result<u32> {
    Ok(service.reload(guest?).await?)
}
