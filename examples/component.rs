//! Runs a component whose sockets are wasock's, beside a `WasiCtx` of one's own for everything else.
//!
//! `cargo run --example component -- server.wasm 127.0.0.1:8080`

use std::path::{Path, PathBuf};

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Error, Result, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasock::{Event, WasockCtx, WasockCtxView, WasockView};

/// What the store holds: both contexts work on one table of resources.
struct State {
    wasi: WasiCtx,
    wasock: WasockCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasockView for State {
    fn wasock(&mut self) -> WasockCtxView<'_> {
        WasockCtxView { ctx: &mut self.wasock, table: &mut self.table }
    }
}

/// Runs the component until it ends; `on_event` hears where it listens.
pub(crate) async fn serve(
    component: &Path,
    listen: &str,
    on_event: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<bool> {
    let engine = Engine::default();
    let component = Component::from_file(&engine, component)?;

    let mut linker: Linker<State> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    // wasock's sockets take the place of those.
    linker.allow_shadowing(true);
    wasock::add_to_component_linker(&mut linker)?;
    linker.allow_shadowing(false);

    let wasock = WasockCtx::builder().listen(&listen.parse()?).observer(on_event).build_for_any_module()?;
    let wasi = WasiCtx::builder().inherit_stdio().args(&["server", listen]).build();
    let mut store = Store::new(&engine, State { wasi, wasock, table: ResourceTable::new() });
    store.limiter(|state| state.wasock.limiter());
    let command = Command::instantiate_async(&mut store, &component, &linker).await?;
    Ok(command.wasi_cli_run().call_run(&mut store).await?.is_ok())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let component: PathBuf = arguments.next().ok_or_else(|| Error::msg("expected a component"))?.into();
    let listen = arguments.next().ok_or_else(|| Error::msg("expected an address to listen on"))?;
    let is_well = serve(&component, &listen, |event| eprintln!("{event:?}")).await?;
    std::process::exit(i32::from(!is_well));
}
