//! Sockets of the embedder's, handed to a guest.

use super::{PATIENCE, plain, run_async};
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Handle};
use wasmtime::{Engine, Linker, Module, Store};
use wasock::WasockCtx;

/// A listener, and a client who expects an echo.
fn listener_and_client() -> Result<(TcpListener, JoinHandle<Result<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"hello")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer == "hello", "answered {answer:?}");
        Ok(())
    });
    Ok((listener, client))
}

fn is_served(client: JoinHandle<Result<()>>) -> Result<()> {
    client.join().ok().context("the client panicked")?
}

#[tokio::test]
async fn on_the_embedders_runtime_and_on_another() -> Result<()> {
    for runtime in [Some(Handle::current()), None] {
        let (listener, client) = listener_and_client()?;
        let builder = WasockCtx::builder().arg("guest").arg("1").preopened_socket("web", listener)?;
        let builder = match &runtime {
            Some(runtime) => builder.preopened_sockets_on(runtime),
            None => builder,
        };
        run_async(guest_tests::PREOPENED_STD, builder.build()?).await?;
        is_served(client)?;
    }
    Ok(())
}

#[test]
fn where_the_guest_stops_the_embedders_runtime() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (listener, client) = listener_and_client()?;
    runtime.block_on(async {
        let engine = Engine::default();
        let module = Module::from_file(&engine, guest_tests::PREOPENED_STD).map_err(plain)?;
        let mut linker: Linker<WasockCtx> = Linker::new(&engine);
        wasock::add_to_linker_blocking(&mut linker, |ctx| ctx).map_err(plain)?;
        let ctx = WasockCtx::builder().arg("guest").arg("1").preopened_socket("web", listener)?.build()?;
        let mut store = Store::new(&engine, ctx);
        let instance = linker.instantiate(&mut store, &module).map_err(plain)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(plain)?;
        start.call(&mut store, ()).map_err(plain)
    })?;
    is_served(client)
}

#[test]
fn what_is_no_listener_and_no_connection_is_refused() -> Result<()> {
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let refused = WasockCtx::builder().preopened_socket("dns", datagrams).err().context("it was taken")?;
    ensure!(refused.to_string().contains("expected a listener or a connection"), "{refused}");
    Ok(())
}
