//! Runs a component as the command does not, for `cargo xtask bench` to compare with:
//! `component HOST FILE ADDRESS ARGUMENT...`, with one of these hosts:
//!
//! * `wasmtime`: `wasmtime_wasi` whole, in an engine, a runtime and a store as `wasmtime run -Sinherit-network` makes them,
//!   with `-Sp3` for a component of WASI 0.3.
//! * `wasock`: this library, as the command uses it, with a grant to listen at the address.
//! * `wasock-with-async`: the same in an engine that has the async functions of the component model, which a
//!   component of WASI 0.2 does not need.

use std::path::Path;

use tokio::runtime::Builder;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Error, Result, Store};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView, p2, p3};
use wasock::{Guest, WasockCtx};

fn main() -> Result<()> {
    // Cargo adds `--bench`, which says nothing here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [host, file, guest @ ..] = arguments.as_slice() else {
        println!("component wasmtime|wasock|wasock-with-async FILE ADDRESS [ARGUMENT...]");
        return Ok(());
    };
    let file = Path::new(file);
    match host.as_str() {
        "wasmtime" => Builder::new_multi_thread().enable_all().build()?.block_on(wasmtime(file, guest)),
        "wasock" => Builder::new_current_thread().enable_all().build()?.block_on(wasock(file, guest, false)),
        "wasock-with-async" => {
            Builder::new_current_thread().enable_all().build()?.block_on(wasock(file, guest, true))
        }
        host => Err(Error::msg(format!("there is no host {host}"))),
    }
}

/// What the store of Wasmtime's own run holds.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

async fn wasmtime(file: &Path, arguments: &[String]) -> Result<()> {
    // As it is by default, the async functions are there whether the component has some or not.
    let engine = Engine::default();
    let component = Component::from_file(&engine, file)?;
    let mut linker: Linker<State> = Linker::new(&engine);
    p2::add_to_linker_async(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    let mut wasi = WasiCtx::builder();
    wasi.inherit_stdio().inherit_network().allow_tcp(true).arg(file.to_string_lossy()).args(arguments);
    let mut store = Store::new(&engine, State { wasi: wasi.build(), table: ResourceTable::new() });
    let ended = match p3::bindings::CommandPre::new(linker.instantiate_pre(&component)?) {
        Ok(command) => {
            let command = command.instantiate_async(&mut store).await?;
            let run = store.run_concurrent(async |store| command.wasi_cli_run().call_run(store).await);
            run.await.flatten()
        }
        Err(_) => {
            let command = p2::bindings::Command::instantiate_async(&mut store, &component, &linker).await?;
            command.wasi_cli_run().call_run(&mut store).await
        }
    };
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(())) => Err(I32Exit(1).into()),
        Err(error) => Err(error),
    }
}

async fn wasock(file: &Path, arguments: &[String], has_async: bool) -> Result<()> {
    let mut config: Config = Guest::engine_config();
    config.concurrency_support(has_async);
    let guest = Guest::load(&Guest::new_engine(&config)?, file)?.own_thread(true);
    let mut builder = WasockCtx::builder().arg(file.to_string_lossy()).args(arguments.iter().cloned());
    if let Some(address) = arguments.first() {
        builder = builder.listen(&address.parse()?);
    }
    let ctx = builder.sockets_on(&tokio::runtime::Handle::current()).build_for(guest.module())?;
    match guest.run(ctx).await?.code {
        0 => Ok(()),
        code => Err(Error::msg(format!("the guest ended with {code}"))),
    }
}
