//! Sockets that the embedder keeps a clone of.

use super::{WAIT_TIMEOUT, plain};
use anyhow::{Context as _, Result, ensure};
use rustix::fs::{OFlags, fcntl_getfl};
use std::net::{TcpListener, TcpStream};
use wasmtime::{Engine, Linker, Module, Store};
use wasock::{Exit, WasockCtx};

/// Four contexts have clones of one blocking listener: all of them wait, each gets a
/// connection, and the embedder's own is blocking again when the last of them is gone.
#[tokio::test]
async fn contexts_on_clones_of_one_listener() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let engine = Engine::default();
    let module = Module::from_file(&engine, guest_tests::PREOPENED_ACCEPT).map_err(plain)?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    wasock::add_to_linker(&mut linker, &module, |ctx| ctx).map_err(plain)?;
    let mut guests = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let ctx =
            WasockCtx::builder().preopened_socket("it", listener.try_clone()?)?.build_for_any_module()?;
        let (linker, module) = (linker.clone(), module.clone());
        let mut store = Store::new(&engine, ctx);
        guests.spawn(async move {
            let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(plain)?;
            let ended = start.call_async(&mut store, ()).await.err().context("it did not exit")?;
            let exit = ended.downcast_ref::<Exit>().context("no exit")?;
            ensure!(exit.0 == 0, "accept answered {}", exit.0);
            anyhow::Ok(())
        });
    }
    // Each of them gets to its accept.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    ensure!(guests.try_join_next().is_none(), "one did not wait");
    let mut clients = Vec::new();
    while !guests.is_empty() {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
        let ended = tokio::time::timeout(WAIT_TIMEOUT, guests.join_next()).await;
        ended.context("none of them got it")?.context("there is none")???;
        let is_nonblocking = fcntl_getfl(&listener)?.contains(OFlags::NONBLOCK);
        ensure!(is_nonblocking || guests.len() < 4, "accept needs it");
    }
    ensure!(!fcntl_getfl(&listener)?.contains(OFlags::NONBLOCK), "the mode is left changed");
    Ok(())
}
