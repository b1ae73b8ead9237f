//! Sockets of the embedder, passed to a guest.

use super::{WAIT_TIMEOUT, events, plain, run_async};
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};
use wasmtime::{Engine, Linker, Module, Store};
use wasock::{Address, Event, ListenProfile, WasockCtx};

/// A listener, and a client that expects an echo.
fn listener_and_client() -> Result<(TcpListener, JoinHandle<Result<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let client = client(addr);
    Ok((listener, client))
}

fn client(addr: SocketAddr) -> JoinHandle<Result<()>> {
    thread::spawn(move || {
        let mut stream = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.write_all(b"hello")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer == "hello", "answered {answer:?}");
        Ok(())
    })
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

/// Those of others too, and where the host owns the queue.
#[tokio::test]
async fn l4_a_preopened_listener_takes_so_many_connections_a_second() -> Result<()> {
    for (profile, is_shared) in
        [(ListenProfile::Wasix, false), (ListenProfile::Wasix, true), (ListenProfile::Winsock, false)]
    {
        let (listener, first) = listener_and_client()?;
        let addr = listener.local_addr()?;
        let begun = Instant::now();
        let others: Vec<_> = (0..3).map(|_| client(addr)).collect();
        let builder = WasockCtx::builder().args(["guest", "4"]).accept_rate(2).listen_profile(profile);
        let builder = match is_shared {
            true => builder.preopened_socket("web", listener)?,
            false => builder.preopened_exclusive_socket("web", listener)?,
        };
        run_async(guest_tests::PREOPENED_STD, builder.build_for_any_module()?).await?;
        let took = begun.elapsed();
        others.into_iter().chain([first]).try_for_each(is_served)?;
        // Two at once, and one each half of a second from then on.
        ensure!(took >= Duration::from_millis(900), "4 came in {took:?} ({profile}, {is_shared})");
    }
    Ok(())
}
