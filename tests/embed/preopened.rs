//! Sockets of the embedder, passed to a guest.

use super::{WAIT_TIMEOUT, events, plain, run_async};
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Handle};
use wasmtime::{Engine, Linker, Module, Store};
use wasock::{Address, Event, WasockCtx};

/// A listener, and a client that expects an echo.
fn listener_and_client() -> Result<(TcpListener, JoinHandle<Result<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
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
        run_async(guest_tests::PREOPENED_STD, builder.build_for_any_module()?).await?;
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
        wasock::add_to_linker_blocking(&mut linker, &module, |ctx| ctx).map_err(plain)?;
        let ctx = WasockCtx::builder()
            .arg("guest")
            .arg("1")
            .preopened_socket("web", listener)?
            .build_for_any_module()?;
        let mut store = Store::new(&engine, ctx);
        let instance = linker.instantiate(&mut store, &module).map_err(plain)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(plain)?;
        start.call(&mut store, ()).map_err(plain)
    })?;
    is_served(client)
}

#[test]
fn what_is_neither_listener_nor_connection_is_refused() -> Result<()> {
    let fresh = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)?;
    let refused = WasockCtx::builder().preopened_socket("web", fresh).err().context("it was taken")?;
    ensure!(refused.to_string().contains("expected a listener, a connection"), "{refused}");
    Ok(())
}

/// A name that the guest does not have is the host's in events, and none to the guest.
#[tokio::test]
async fn a_listener_with_a_name_is_events() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path)?;
    let at = path.clone();
    let client = thread::spawn(move || {
        let mut stream = UnixStream::connect(at)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.write_all(b"hello")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer == "hello", "answered {answer:?}");
        Ok(())
    });
    let (observer, events) = events();
    let builder = WasockCtx::builder().args(["guest", "1"]).observer(observer);
    let builder = builder.unix_unlink(true).preopened_exclusive_socket("web", listener)?;
    run_async(guest_tests::PREOPENED_STD, builder.build_for_any_module()?).await?;
    is_served(client)?;
    let mut told = Vec::new();
    for event in events.iter() {
        match event {
            Event::Listening { fd: 3, local, result: Ok(_), .. } => told.push(("listening", local, None)),
            Event::Accepted { listener: 3, local, peer, .. } => told.push(("accepted", local, Some(peer))),
            Event::Closed { local, peer, .. } => told.push(("closed", local, peer)),
            _ => {}
        }
    }
    let whats: Vec<_> = told.iter().map(|(what, ..)| *what).collect();
    ensure!(whats == ["listening", "accepted", "closed", "closed"], "{told:?}");
    for (what, local, peer) in &told {
        ensure!(local.path() == path.to_str(), "{what} at {local}");
        ensure!(peer.as_ref().is_none_or(|peer| matches!(peer, Address::Unix(_)) && peer.path().is_none()));
    }
    ensure!(!path.exists(), "its name is left");
    Ok(())
}
