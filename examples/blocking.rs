//! Runs a server guest on a thread of one's own, without an executor.
//!
//! `cargo run --release --example blocking -- server.wasm`: each call of the guest that waits
//! stops this thread, as it would stop a program's. Another thread may end the guest meanwhile.

use std::env;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use wasmtime::{Engine, Linker, Module, Store};
use wasock::{Address, Event, Handle, WasockCtx};

fn main() -> wasmtime::Result<()> {
    let module = env::args().nth(1).ok_or_else(|| wasmtime::Error::msg("usage: blocking MODULE"))?;
    let server = Server::start(Path::new(&module))?;
    println!("listening on {}", server.address);
    server.thread.join().unwrap_or_else(|_| Err(wasmtime::Error::msg("the thread of the guest panicked")))
}

/// A guest on its thread.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: Address,
    /// Ends it, signals it.
    #[allow(dead_code, reason = "a program that is more than an example has a use for it")]
    pub(crate) handle: Handle,
    pub(crate) thread: JoinHandle<wasmtime::Result<()>>,
}

impl Server {
    /// Starts the guest, and waits until it listens.
    pub(crate) fn start(module: &Path) -> wasmtime::Result<Self> {
        let engine = Engine::default();
        let module = Module::from_file(&engine, module)?;
        let mut linker: Linker<WasockCtx> = Linker::new(&engine);
        wasock::add_to_linker_blocking(&mut linker, &module, |ctx| ctx)?;

        let (sender, listening) = mpsc::channel();
        let observer = move |event: &Event| {
            if let Event::Listening { local, .. } = event {
                // The second listener is not waited for.
                _ = sender.send(local.clone());
            }
        };
        let ctx = WasockCtx::builder()
            .listen(&"127.0.0.1:0".parse()?)
            .args(["server", "127.0.0.1:0"])
            .observer(observer)
            .build_for(&module)?;
        let handle = ctx.handle();

        let mut store = Store::new(&engine, ctx);
        store.limiter(|ctx| ctx.limiter());
        let thread = thread::spawn(move || {
            let instance = linker.instantiate(&mut store, &module)?;
            instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
        });
        match first(&listening) {
            Some(address) => Ok(Self { address, handle, thread }),
            // The observer went with the guest.
            None => Err(wasmtime::Error::msg("the guest ended before it listened")),
        }
    }
}

fn first(listening: &Receiver<Address>) -> Option<Address> {
    listening.recv().ok()
}
