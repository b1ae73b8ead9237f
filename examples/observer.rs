//! Counts what a guest does on the network, and prints what it was refused.
//!
//! `cargo run --release --example observer -- server.wasm` prints one line an event. The guest never
//! waits for an observer: events come to it on a thread of its own, those of one listener in order.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use wasock::observe::Escaped;
use wasock::{Ended, Event, Guest, Observer, WasockCtx};

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let module = env::args().nth(1).ok_or_else(|| wasmtime::Error::msg("usage: observer MODULE"))?;
    let counts = Arc::new(Counts::default());
    let ended = serve(Path::new(&module), Printer(Arc::clone(&counts))).await?;
    println!("ended with code {} after {} connections", ended.code, counts.accepted.load(Relaxed));
    Ok(())
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) closed: AtomicU64,
}

/// Prints each event, and counts connections.
pub(crate) struct Printer(pub(crate) Arc<Counts>);

impl Observer for Printer {
    fn observe(&self, event: &Event) {
        match event {
            Event::Listening { local, result: Ok(capacity), .. } => {
                println!("listening on {local}, {capacity} may wait");
            }
            Event::Accepted { peer, .. } => {
                self.0.accepted.fetch_add(1, Relaxed);
                println!("accepted {peer}");
            }
            Event::Closed { .. } => {
                self.0.closed.fetch_add(1, Relaxed);
            }
            // Names in it are the guest's and its peers' own: they must not act on a terminal.
            other => println!("{}", Escaped(&format!("{other:?}"))),
        }
    }

    /// Events of single connections are many: they are made only where they are wanted.
    fn wants_connections(&self) -> bool {
        true
    }
}

/// Runs the guest to its end.
pub(crate) async fn serve(module: &Path, observer: impl Observer + 'static) -> wasmtime::Result<Ended> {
    let engine = Guest::new_engine(&Guest::engine_config())?;
    let guest = Guest::load(&engine, module)?;
    let ctx = WasockCtx::builder()
        .listen(&"127.0.0.1:0".parse()?)
        .args(["server", "127.0.0.1:0"])
        .observer(observer)
        .build_for(guest.module())?;
    guest.run(ctx).await
}
