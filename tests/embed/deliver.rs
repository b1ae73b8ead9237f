//! Events for a guest in a store of the embedder's own.

use super::{WAIT_TIMEOUT, events, granted, listening, listening_async, plain};
use anyhow::{Context as _, Result, anyhow, ensure};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use wasmtime::{Engine, Instance, Linker, Module, Store};
use wasock::observe::Closed;
use wasock::{Ended, Event, Observer, WasockCtx};

/// What an embedder keeps in its store.
struct Data {
    wasock: WasockCtx,
    name: &'static str,
}

fn data(observer: impl Observer + 'static) -> Result<Data> {
    Ok(Data { wasock: granted()?.arg("guest").observer(observer).build_for_any_module()?, name: "mine" })
}

fn linker(
    module: &Module,
    add: impl Fn(&mut Linker<Data>, &Module, fn(&mut Data) -> &mut WasockCtx) -> wasmtime::Result<()>,
) -> Result<Linker<Data>> {
    let mut linker = Linker::new(module.engine());
    add(&mut linker, module, |data| &mut data.wasock).map_err(plain)?;
    Ok(linker)
}

/// A guest whose start has returned.
async fn started(module: &str, observer: impl Observer + 'static) -> Result<(Store<Data>, Instance)> {
    let engine = Engine::default();
    let module = Module::from_file(&engine, module).map_err(plain)?;
    let linker = linker(&module, |linker, module, get| wasock::add_to_linker(linker, module, get))?;
    let mut store = Store::new(&engine, data(observer)?);
    store.data_mut().wasock.adapt_to(&module);
    let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
    for name in ["_start", "_initialize"] {
        if let Ok(start) = instance.get_typed_func::<(), ()>(&mut store, name) {
            start.call_async(&mut store, ()).await.map_err(plain)?;
        }
    }
    Ok((store, instance))
}

async fn delivered(store: &mut Store<Data>, instance: &Instance) -> Result<Ended> {
    wasock::deliver_events(store, instance, |data| &mut data.wasock).await.map_err(plain)
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn send(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.0.get_mut(), "{line}")?)
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.send(line)?;
        let mut answer = String::new();
        self.0.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }
}

/// Runs `client` beside the guest, and returns what came first.
async fn beside<T: Send + 'static>(
    guest: impl Future<Output = Result<Ended>>,
    client: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let client = tokio::task::spawn_blocking(client);
    tokio::select! {
        ended = guest => Err(anyhow!("the guest ended: {ended:?}")),
        done = client => done?,
    }
}

#[tokio::test]
async fn an_embedder_delivers_events_in_its_own_store() -> Result<()> {
    let (observer, events) = events();
    let (mut store, instance) = started(guest_tests::EVENT_SERVER, observer).await?;
    let addr = listening_async(events).await?;
    let mut client = beside(delivered(&mut store, &instance), move || {
        let mut client = Client::connect(addr)?;
        ensure!(client.ask("echo hello")? == "hello", "another answer");
        Ok(client)
    })
    .await?;
    ensure!(store.data().name == "mine", "the store was changed");
    // The future is gone, the guest is not: what comes meanwhile waits.
    client.send("echo meanwhile")?;
    let mut late = Client::connect(addr)?;
    late.send("echo late")?;
    beside(delivered(&mut store, &instance), move || {
        let mut answer = String::new();
        client.0.read_line(&mut answer)?;
        late.0.read_line(&mut answer)?;
        ensure!(answer == "meanwhile\nlate\n", "{answer:?}");
        ensure!(client.ask("counts")? == "2 0 2", "a connection was reported again");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn events_end_with_the_guest() -> Result<()> {
    for (line, code) in [("exit 9", 9), ("close 3", 0)] {
        let (observer, events) = events();
        let (mut store, instance) = started(guest_tests::EVENT_SERVER, observer).await?;
        let addr = listening_async(events).await?;
        // It leaves at once, which is the last thing that can happen after `close`.
        Client::connect(addr)?.send(line)?;
        let ended = delivered(&mut store, &instance).await?;
        ensure!(ended.code == code, "{line}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_embedder_goes_on_after_a_trap() -> Result<()> {
    let (observer, events) = events();
    let (mut store, instance) = started(guest_tests::EVENT_SERVER, observer).await?;
    let client = tokio::task::spawn_blocking(move || {
        let addr = listening(&events)?;
        let mut other = Client::connect(addr)?;
        ensure!(other.ask("echo hello")? == "hello", "another answer");
        let mut trapped = Client::connect(addr)?;
        trapped.send("trap")?;
        let read = trapped.0.read(&mut [0; 16]);
        ensure!(
            matches!(&read, Err(error) if error.kind() == ErrorKind::ConnectionReset),
            "{read:?} instead of a reset"
        );
        while !matches!(events.recv_timeout(WAIT_TIMEOUT)?, Event::Closed { fd: 5, why: Closed::Trapped, .. })
        {
        }
        anyhow::Ok(other)
    });
    let trap = delivered(&mut store, &instance).await;
    ensure!(format!("{trap:?}").contains("unreachable"), "{trap:?}");
    let mut other = client.await??;
    ensure!(store.data().wasock.open_descriptors() == 5, "the trap's connection is open");
    beside(delivered(&mut store, &instance), move || {
        ensure!(other.ask("echo hello again")? == "hello again", "another answer");
        Ok(())
    })
    .await
}

/// Without `adapt_to`, what listens after the start is found.
#[tokio::test]
async fn listeners_of_the_start_are_found() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module
          (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
          (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
          (import "wasix_32v1" "sock_listen" (func $listen (param i32 i32) (result i32)))
          (import "wasix_32v1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "\01\00\00\00\7f\00\00\01")
          (func (export "_initialize")
            (drop (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 16)))
            (drop (call $bind (i32.load (i32.const 16)) (i32.const 0)))
            (drop (call $listen (i32.load (i32.const 16)) (i32.const 4))))
          (func (export "wasock_on_listen") (param i32 i32)
            (call $exit (i32.add (local.get 0) (i32.mul (local.get 1) (i32.const 16))))))"#,
    )
    .map_err(plain)?;
    let linker = linker(&module, |linker, module, get| wasock::add_to_linker(linker, module, get))?;
    let mut store = Store::new(&engine, data(events().0)?);
    let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_initialize").map_err(plain)?;
    start.call_async(&mut store, ()).await.map_err(plain)?;
    // The listener's descriptor, and no error number.
    ensure!(delivered(&mut store, &instance).await?.code == 3, "another listen");
    Ok(())
}

#[tokio::test]
async fn a_module_without_handlers_has_nothing_to_deliver() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, "(module)").map_err(plain)?;
    let mut store = Store::new(&engine, data(events().0)?);
    let instance = Instance::new_async(&mut store, &module, &[]).await.map_err(plain)?;
    ensure!(delivered(&mut store, &instance).await?.code == 0, "another code");
    Ok(())
}

#[test]
fn a_blocking_embedder_delivers_events() -> Result<()> {
    let (observer, events) = events();
    let client = thread::spawn(move || -> Result<()> {
        let addr = listening(&events)?;
        let mut clients = (0..20).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
        for client in clients.iter_mut().rev() {
            ensure!(client.ask("echo hello")? == "hello", "another answer");
            ensure!(client.ask("slow 1")? == "done", "another answer");
        }
        let mut last = Client::connect(addr)?;
        ensure!(last.ask("close 3")? == "done", "another answer");
        Ok(())
    });
    let engine = Engine::default();
    let module = Module::from_file(&engine, guest_tests::EVENT_SERVER).map_err(plain)?;
    let linker = linker(&module, |linker, module, get| wasock::add_to_linker_blocking(linker, module, get))?;
    let mut store = Store::new(&engine, data(observer)?);
    store.data_mut().wasock.adapt_to(&module);
    let instance = linker.instantiate(&mut store, &module).map_err(plain)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(plain)?;
    start.call(&mut store, ()).map_err(plain)?;
    let ended = wasock::deliver_events_blocking(&mut store, &instance, |data| &mut data.wasock);
    ensure!(ended.map_err(plain)?.code == 0, "another code");
    client.join().ok().context("the client panicked")?
}
