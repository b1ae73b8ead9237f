//! Runs a server guest inside a program of one's own.
//!
//! `cargo run --release --example embed -- server.wasm` grants the guest one thing:
//! to listen on 127.0.0.1, on a port that the system chooses.

use std::env;
use std::path::Path;

use tokio::runtime::Handle;
use wasmtime::{Engine, Linker, Module, Store};
use wasock::{Event, Exit, Observer, WasockCtx};

/// What the store of this embedder holds: wasock's context is one part of it.
struct State {
    wasock: WasockCtx,
}

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let module = env::args().nth(1).ok_or_else(|| wasmtime::Error::msg("usage: embed MODULE"))?;
    let listening = |event: &Event| {
        if let Event::Listening { local, .. } = event {
            println!("listening on {local}");
        }
    };
    serve(Path::new(&module), listening).await
}

/// Runs the guest until it ends. Dropping the future ends it at once.
pub(crate) async fn serve(module: &Path, observer: impl Observer + 'static) -> wasmtime::Result<()> {
    let engine = Engine::default();
    let module = Module::from_file(&engine, module)?;
    let mut linker = Linker::new(&engine);
    wasock::add_to_linker(&mut linker, &module, |state: &mut State| &mut state.wasock)?;

    let wasock = WasockCtx::builder()
        .listen(&"127.0.0.1:0".parse()?)
        .arg("server")
        .arg("127.0.0.1:0")
        .observer(observer)
        // Its sockets need no thread of wasock's: `#[tokio::main]` drives sockets.
        .sockets_on(&Handle::current())
        .build_for(&module)?;

    let mut store = Store::new(&engine, State { wasock });
    store.limiter(|state| state.wasock.limiter());
    let instance = linker.instantiate_async(&mut store, &module).await?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    let ended = start.call_async(&mut store, ()).await;
    // A guest that calls `exit` ends so.
    if let Some(exit) = ended.as_ref().err().and_then(|error| error.downcast_ref::<Exit>()) {
        println!("ended with code {}", exit.0);
        return Ok(());
    }
    ended
}
