//! Writes what a service has counted in the text form that monitoring systems read.
//!
//! `cargo run --release --example metrics -- server.wasm` prints it every ten seconds. The host counts by
//! itself; the observer adds what changes in both directions, here the connections that are open.

use std::env;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use wasock::observe::{Escaped, Metrics};
use wasock::{Event, Guest, Observer, Service, WasockCtx};

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let module = env::args().nth(1).ok_or_else(|| wasmtime::Error::msg("usage: metrics MODULE"))?;
    let open = Open::default();
    let (service, guest) = service(Path::new(&module), open.clone())?;
    let running = service.run(guest);
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => return ended.map(drop),
            () = tokio::time::sleep(Duration::from_secs(10)) => println!("{}", text(&service.metrics(), &open)),
        }
    }
}

/// How many connections are open. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Open(pub(crate) Arc<AtomicI64>);

impl Observer for Open {
    fn observe(&self, event: &Event) {
        match event {
            Event::Accepted { .. } => drop(self.0.fetch_add(1, Relaxed)),
            Event::Closed { peer: Some(_), .. } => drop(self.0.fetch_sub(1, Relaxed)),
            _ => {}
        }
    }

    /// Events of single connections are made only where they are wanted.
    fn wants_connections(&self) -> bool {
        true
    }
}

/// A service, and what it runs.
pub(crate) fn service(
    module: &Path,
    observer: impl Observer + 'static,
) -> wasmtime::Result<(Service, Guest)> {
    let engine = Guest::new_engine(&Guest::engine_config())?;
    let guest = Guest::load(&engine, module)?;
    let ctx = WasockCtx::builder()
        .listen(&"127.0.0.1:0".parse()?)
        .args(["server", "127.0.0.1:0"])
        .observer(observer);
    Ok((Service::builder(ctx).build()?, guest))
}

/// As OpenMetrics has it.
pub(crate) fn text(metrics: &Metrics, open: &Open) -> String {
    let mut text = String::new();
    let mut counter = |name: &str, labels: &str, value: u64| {
        // A text in memory takes all that is written.
        _ = writeln!(text, "{name}_total{labels} {value}");
    };
    for listener in &metrics.listeners {
        // A Unix path is the guest's own text.
        let label = format!("{{listener=\"{}\"}}", Escaped(&listener.local));
        counter("guest_accepted_connections", &label, listener.accepted);
        counter("guest_refused_connections", &label, listener.refused());
    }
    counter("guest_restarts", "", metrics.restarts);
    counter("guest_received_bytes", "", metrics.received_bytes);
    counter("guest_sent_bytes", "", metrics.sent_bytes);
    text + &format!("guest_open_connections {}\n# EOF\n", open.0.load(Relaxed))
}
