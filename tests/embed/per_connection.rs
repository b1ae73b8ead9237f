//! A service that makes an instance for each connection: the rows of "Workers, instances per
//! connection" in the operations contract. Each test is named as its row.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use wasock::observe::{Limit, Refused};
use wasock::{
    ConnectionAs, Ended, Event, Guest, ReloadError, Service, ServiceBuilder, Terminated, WasockCtx,
    WasockCtxBuilder,
};

use super::{WAIT_TIMEOUT, plain};

#[path = "per_connection/copies.rs"]
mod copies;
#[path = "per_connection/executor.rs"]
mod executor;
#[path = "per_connection/limits.rs"]
mod limits;
#[path = "per_connection/shared.rs"]
mod shared;
#[path = "per_connection/status.rs"]
mod status;

/// A service that runs, and what it reports.
struct Running {
    service: Service,
    addr: SocketAddr,
    events: mpsc::Receiver<Event>,
    thread: JoinHandle<wasmtime::Result<Ended>>,
}

/// The guest, in an engine of its own, with places for its instances.
fn guest(module: &str) -> Result<Guest> {
    let mut config = Guest::engine_config();
    Guest::set_pool(&mut config, Path::new(module), 128, 16 << 20)?;
    let engine = Guest::new_engine(&config).map_err(plain)?;
    Ok(Guest::load(&engine, Path::new(module))?)
}

/// The guest, which is started once, and copied.
fn guest_to_copy(module: &str) -> Result<Guest> {
    let mut config = Guest::engine_config();
    Guest::set_pool(&mut config, Path::new(module), 128, 16 << 20)?;
    let engine = Guest::new_engine(&config).map_err(plain)?;
    Ok(Guest::load_to_copy(&engine, Path::new(module))?)
}

/// The guest, whose instances are made on demand.
fn guest_on_demand(module: &str) -> Result<Guest> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    Ok(Guest::load(&engine, Path::new(module))?)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => std::panic::resume_unwind(Box::new(error)),
    }
}

impl Running {
    fn start(
        module: &str,
        choose_ctx: impl FnOnce(WasockCtxBuilder) -> WasockCtxBuilder,
        choose: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
    ) -> Result<Self> {
        Self::start_with(guest(module)?, choose_ctx, choose)
    }

    fn start_with(
        guest: Guest,
        choose_ctx: impl FnOnce(WasockCtxBuilder) -> WasockCtxBuilder,
        choose: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let (sender, events) = mpsc::channel();
        let ctx = WasockCtx::builder().observer(move |event: &Event| _ = sender.send(event.clone()));
        let builder = Service::builder(choose_ctx(ctx)).per_connection(listener)?;
        let service = choose(builder).build()?;
        let runs = service.clone();
        let thread = thread::spawn(move || block_on(runs.run(guest)));
        Ok(Self { service, addr, events, thread })
    }

    fn filter(choose: impl FnOnce(ServiceBuilder) -> ServiceBuilder) -> Result<Self> {
        Self::start(guest_tests::CONNECTION_FILTER, |ctx| ctx, choose)
    }

    fn connect(&self, order: &str) -> Result<Client> {
        Client::connect(self.addr, order)
    }

    /// The next event of those that `wanted` takes.
    fn event<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> Result<T> {
        loop {
            if let Some(found) = wanted(&self.events.recv_timeout(WAIT_TIMEOUT)?) {
                return Ok(found);
            }
        }
    }

    /// Why the next instance that fails did.
    fn failure(&self) -> Result<String> {
        self.event(|event| match event {
            Event::InstanceFailed { why, .. } => Some(why.clone()),
            _ => None,
        })
    }

    fn reload(&self, module: &str) -> Result<Result<u32, ReloadError>> {
        let (service, guest) = (self.service.clone(), guest(module)?);
        thread::spawn(move || block_on(service.reload(guest))).join().ok().context("it panicked")
    }

    fn ended(self) -> Result<wasmtime::Result<Ended>> {
        let begun = Instant::now();
        while !self.thread.is_finished() {
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "it runs for ever");
            thread::sleep(Duration::from_millis(2));
        }
        match self.thread.join() {
            Ok(ended) => Ok(ended),
            Err(_) => bail!("it panicked"),
        }
    }

    /// Ends it gracefully, when nobody is left.
    fn drained(self) -> Result<()> {
        self.service.drain();
        let ended = self.ended()?.map_err(plain)?;
        ensure!(ended.code == 0, "{ended:?}");
        Ok(())
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    /// One that says nothing yet: a peer that is refused could not.
    fn silent(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn connect(addr: SocketAddr, order: &str) -> Result<Self> {
        let mut client = Self::silent(addr)?;
        client.send(order)?;
        Ok(client)
    }

    fn send(&mut self, line: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(format!("{line}\n").as_bytes())?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn expect(&mut self, wanted: &str) -> Result<()> {
        let line = self.line()?;
        ensure!(line == wanted, "{line:?} came in the place of {wanted:?}");
        Ok(())
    }

    fn rest(&mut self) -> Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest)?;
        Ok(rest)
    }

    /// Sends no more.
    fn finish(&self) -> Result<()> {
        Ok(self.0.get_ref().shutdown(Shutdown::Write)?)
    }

    fn is_reset(&mut self) -> Result<()> {
        let read = self.0.read(&mut [0]);
        ensure!(read.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{read:?}");
        Ok(())
    }
}

#[test]
fn w3_standard_input_and_output_are_the_connection() -> Result<()> {
    let with_variables = |ctx: WasockCtxBuilder| ctx.env("OWN", "kept").env("TCPREMOTEIP", "forged");
    let running = Running::start(guest_tests::CONNECTION_FILTER, with_variables, |builder| builder)?;
    let mut client = running.connect("env")?;
    let peer = client.0.get_ref().local_addr()?;
    let mut expected = vec!["OWN=kept".to_owned(), "PROTO=TCP".to_owned()];
    for (side, address) in [("LOCAL", running.addr), ("REMOTE", peer)] {
        expected.push(format!("TCP{side}IP={}", address.ip()));
        expected.push(format!("TCP{side}PORT={}", address.port()));
    }
    let found = client.rest()?;
    ensure!(found.lines().collect::<Vec<_>>() == expected, "{found}");
    running.drained()
}

#[test]
fn w3_the_connection_is_descriptor_3() -> Result<()> {
    // Reads one byte of descriptor 3, and writes it there twice.
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\01\00\00\00")
            (func (export "_start")
                (if (call $prestat (i32.const 3) (i32.const 64)) (then unreachable))
                (if (call $read (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
                (drop (call $write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 8)))
                (drop (call $write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
    )?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fd.wasm");
    std::fs::write(&path, module)?;
    let path = path.to_str().context("a path")?;
    let running = Running::start(path, |ctx| ctx, |builder| builder.connection_as(ConnectionAs::Fd))?;
    let mut client = TcpStream::connect(running.addr)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.write_all(b"x")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer == "xx", "{answer:?}");
    running.drained()
}

#[test]
fn w3_a_handler_gets_the_connection() -> Result<()> {
    let as_event = |builder: ServiceBuilder| builder.connection_as(ConnectionAs::Event);
    let running = Running::start(guest_tests::CONNECTION_EVENTS, |ctx| ctx, as_event)?;
    for _ in 0..2 {
        let mut client = running.connect("one")?;
        client.expect("Aone")?;
        client.send("two")?;
        client.expect("Btwo")?;
        client.finish()?;
        ensure!(client.rest()?.is_empty(), "more");
    }
    running.drained()
}

#[test]
fn w3_a_handler_is_needed_to_get_the_connection() -> Result<()> {
    let as_event = |builder: ServiceBuilder| builder.connection_as(ConnectionAs::Event);
    let running = Running::start(guest_tests::CONNECTION_FILTER, |ctx| ctx, as_event)?;
    let error = running.ended()?.err().context("it ran")?;
    ensure!(error.to_string().contains("exports no wasock_on_accept"), "{error:#}");
    Ok(())
}

#[test]
fn w3_a_unix_socket_serves_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s");
    let service =
        Service::builder(WasockCtx::builder()).per_connection(UnixListener::bind(&path)?)?.build()?;
    let (runs, guest) = (service.clone(), guest(guest_tests::CONNECTION_FILTER)?);
    let thread = thread::spawn(move || block_on(runs.run(guest)));
    let mut client = UnixStream::connect(&path)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.write_all(b"env\n")?;
    let mut found = String::new();
    client.read_to_string(&mut found)?;
    // The host's paths are not the guest's to know.
    ensure!(found == "PROTO=UNIX\n", "{found:?}");
    service.drain();
    ensure!(thread.join().is_ok_and(|ended| ended.is_ok()), "it failed");
    Ok(())
}

#[test]
fn w3_a_peer_that_the_policy_refuses_is_reset() -> Result<()> {
    let refuses = |ctx: WasockCtxBuilder| match "10.0.0.0/8".parse() {
        Ok(network) => ctx.accept_from(network),
        Err(_) => ctx,
    };
    let running = Running::start(guest_tests::CONNECTION_FILTER, refuses, |builder| builder)?;
    guest_tests::is_refused(running.addr)?;
    running.event(|event| matches!(event, Event::Refused { why: Refused::Policy, .. }).then_some(()))?;
    let metrics = running.service.metrics();
    let listener = metrics.listeners.first().context("no listener")?;
    ensure!((listener.accepted, listener.refused_policy) == (0, 1), "{listener:?}");
    running.drained()
}

#[test]
fn w4_a_trap_costs_its_connection_only() -> Result<()> {
    let running = Running::filter(|builder| builder)?;
    let mut bystander = running.connect("wait done")?;
    bystander.expect("here")?;
    running.connect("trap")?.is_reset()?;
    let why = running.failure()?;
    ensure!(why.starts_with("wasm trap: wasm `unreachable` instruction executed"), "{why}");
    let mut exits = running.connect("exit 3")?;
    exits.expect("going")?;
    ensure!(exits.rest()?.is_empty() && running.failure()? == "exit code 3", "another end");
    bystander.finish()?;
    bystander.expect("done")?;
    let metrics = running.service.metrics();
    let counted = (metrics.connection_instances, metrics.failed_connection_instances);
    ensure!(counted == (3, 2), "{counted:?}");
    running.drained()
}

#[test]
fn w4_code_that_computes_gives_way_to_others() -> Result<()> {
    let running = Running::filter(|builder| builder)?;
    // On the one thread of the one worker.
    let spinning = running.connect("spin")?;
    for n in 0..20 {
        let said = format!("{n}");
        let mut client = running.connect(&format!("say {said}"))?;
        client.expect(&said)?;
    }
    drop(spinning);
    running.service.terminate();
    let error = running.ended()?.err().context("it ended well")?;
    ensure!(error.downcast_ref() == Some(&Terminated::Order), "{error:#}");
    Ok(())
}

#[test]
fn w5_one_more_connection_waits_in_the_queue() -> Result<()> {
    let running = Running::filter(|builder| builder.max_instances(2))?;
    let mut first = running.connect("wait one")?;
    let mut second = running.connect("wait two")?;
    first.expect("here")?;
    second.expect("here")?;
    let mut third = running.connect("wait three")?;
    third.0.get_ref().set_read_timeout(Some(Duration::from_millis(200)))?;
    ensure!(third.line().is_err(), "it did not wait");
    third.0.get_ref().set_read_timeout(Some(WAIT_TIMEOUT))?;
    first.finish()?;
    first.expect("one")?;
    third.expect("here")?;
    let limit = running.event(|event| match event {
        Event::Limited { limit, most, .. } => Some((*limit, *most)),
        _ => None,
    })?;
    ensure!(limit == (Limit::Instances, 2), "{limit:?}");
    drop((second, third));
    running.drained()
}

#[test]
fn w5_a_timeout_bounds_a_life() -> Result<()> {
    const TIMEOUT: Duration = Duration::from_millis(200);
    let limited = |ctx: WasockCtxBuilder| ctx.timeout(TIMEOUT);
    let running = Running::start(guest_tests::CONNECTION_FILTER, limited, |builder| builder)?;
    // One waits for its client, which stalls, one computes, one is not read.
    for order in ["cat", "spin", "flood"] {
        let mut client = running.connect(order)?;
        let why = running.failure()?;
        ensure!(why == Terminated::Timeout(TIMEOUT).to_string(), "{order}: {why}");
        if order != "flood" {
            client.is_reset()?;
        }
    }
    running.drained()
}

#[test]
fn w5_a_client_that_is_silent_is_reset() -> Result<()> {
    let limited = |ctx: WasockCtxBuilder| ctx.idle_timeout(Duration::from_millis(200));
    let running = Running::start(guest_tests::CONNECTION_FILTER, limited, |builder| builder)?;
    running.connect("cat")?.is_reset()?;
    running.drained()
}

#[test]
fn w5_a_client_that_goes_ends_its_instance() -> Result<()> {
    let running = Running::filter(|builder| builder.max_instances(1))?;
    for _ in 0..3 {
        // A write fails with EPIPE or ECONNRESET, and the filter ends.
        let client = running.connect("flood")?;
        drop(client);
    }
    let mut client = running.connect("say served")?;
    client.expect("served")?;
    running.drained()
}

#[test]
fn w6_nothing_of_one_connection_is_visible_to_another() -> Result<()> {
    let module = guest_tests::CONNECTION_STATE;
    for guest in [guest(module)?, guest_on_demand(module)?] {
        // All of them in the same place.
        let running = Running::start_with(guest, |ctx| ctx, |builder| builder.max_instances(1))?;
        let ask = |orders: &str| -> Result<String> {
            let mut stream = TcpStream::connect(running.addr)?;
            stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
            stream.write_all(orders.as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        // The test sees what there is to be seen.
        ensure!(ask("fl")? == "fs", "what it filled it does not see");
        for _ in 0..20 {
            let (looked, filled) = (ask("l")?, ask("f")?);
            ensure!((looked.as_str(), filled.as_str()) == ("l", "f"), "{looked} {filled}");
        }
        running.drained()?;
    }
    Ok(())
}

/// A module with threads has no pool: each instance has a memory on demand, and threads of its own.
#[test]
fn w6_a_module_with_threads_serves_too() -> Result<()> {
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
            (import "env" "memory" (memory 1 2 shared))
            (data (i32.const 0) "\10\00\00\00\01\00\00\00")
            (data (i32.const 16) "t")
            (func (export "wasi_thread_start") (param i32 i32)
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.atomic.store (i32.const 32) (i32.const 1))
                (drop (memory.atomic.notify (i32.const 32) (i32.const 1))))
            (func (export "_start")
                (drop (call $spawn (i32.const 0)))
                (drop (memory.atomic.wait32 (i32.const 32) (i32.const 0) (i64.const -1)))))"#,
    )?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("threads.wasm");
    std::fs::write(&path, module)?;
    let why = Guest::set_pool(&mut Guest::engine_config(), &path, 8, 1 << 30).err().context("a pool")?;
    ensure!(why.to_string().contains("shared memory"), "{why}");
    let guest = guest_on_demand(path.to_str().context("a path")?)?;
    let running = Running::start_with(guest, |ctx| ctx, |builder| builder)?;
    for _ in 0..3 {
        let mut client = TcpStream::connect(running.addr)?;
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        ensure!(answer == "t", "{answer:?}");
    }
    running.drained()
}

#[test]
fn w7_each_connection_has_a_copy_of_what_the_start_left() -> Result<()> {
    let as_event = |builder: ServiceBuilder| builder.connection_as(ConnectionAs::Event);
    let guest = guest_to_copy(guest_tests::CONNECTION_COPIES)?;
    let running = Running::start_with(guest, |ctx| ctx, as_event)?;
    let ask = |stream: &mut TcpStream| -> Result<String> {
        stream.write_all(b"?")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok(String::from_utf8(answer.to_vec())?)
    };
    for _ in 0..3 {
        let mut stream = TcpStream::connect(running.addr)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        // Started once, told once, and its own from there on.
        ensure!(ask(&mut stream)? == "1111", "not the copy");
        ensure!(ask(&mut stream)? == "1112", "not its own");
    }
    // A reload starts the next one once, too.
    let (service, next) = (running.service.clone(), guest_to_copy(guest_tests::CONNECTION_COPIES)?);
    let reloaded =
        thread::spawn(move || block_on(service.reload(next))).join().ok().context("it panicked")?;
    ensure!(reloaded == Ok(2), "{reloaded:?}");
    let mut stream = TcpStream::connect(running.addr)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    ensure!(ask(&mut stream)? == "1111", "not the new copy");
    drop(stream);
    running.drained()
}

#[test]
fn w7_what_is_no_copy_is_refused_with_a_sentence() -> Result<()> {
    let refused = |module: &str, shown_as: ConnectionAs| -> Result<String> {
        let guest = match guest_to_copy(module) {
            Ok(guest) => guest,
            Err(error) => return Ok(error.to_string()),
        };
        let as_this = |builder: ServiceBuilder| builder.connection_as(shown_as);
        let running = Running::start_with(guest, |ctx| ctx, as_this)?;
        Ok(running.ended()?.err().context("it ran")?.to_string())
    };
    let why = refused(guest_tests::CONNECTION_STATE, ConnectionAs::Event)?;
    ensure!(why.contains("it can change its table"), "{why}");
    let why = refused(guest_tests::CONNECTION_COPIES, ConnectionAs::Stdio)?;
    ensure!(why.contains("by an event, and in no other way"), "{why}");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("leaves.wat");
    std::fs::write(
        &path,
        r#"(module
            (import "wasix_32v1" "fd_dup" (func $dup (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_initialize") (drop (call $dup (i32.const 0) (i32.const 0))))
            (func (export "wasock_on_accept") (param i32 i32)))"#,
    )?;
    let why = refused(path.to_str().context("a path")?, ConnectionAs::Event)?;
    ensure!(why.contains("has left descriptor 3 open") && why.contains("open it in a handler"), "{why}");
    Ok(())
}

#[test]
fn two_thousand_connections_and_a_hundred_instances_at_most() -> Result<()> {
    const CONNECTIONS: usize = 2000;
    let running = Running::filter(|builder| builder.max_instances(100).workers(2))?;
    let served = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|n| {
                let addr = running.addr;
                scope.spawn(move || -> Result<usize> {
                    let mut served = 0;
                    for _ in 0..CONNECTIONS / 8 {
                        let said = format!("{n}");
                        Client::connect(addr, &format!("say {said}"))?.expect(&said)?;
                        served += 1;
                    }
                    Ok(served)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().ok().context("it panicked")?).sum::<Result<usize>>()
    })?;
    ensure!(served == CONNECTIONS, "{served}");
    let metrics = running.service.metrics();
    let accepted = metrics.listeners.first().context("no listener")?.accepted;
    ensure!((accepted, metrics.connection_instances) == (2000, 2000), "{metrics:?}");
    running.drained()
}

#[test]
fn r3_a_reload_gives_new_connections_the_new_program() -> Result<()> {
    let running = Running::filter(|builder| builder)?;
    let mut old = running.connect("wait old")?;
    old.expect("here")?;
    ensure!(running.reload(guest_tests::CONNECTION_STATE)? == Ok(2), "no reload");
    let mut new = TcpStream::connect(running.addr)?;
    new.set_read_timeout(Some(WAIT_TIMEOUT))?;
    new.write_all(b"l")?;
    let mut answer = [0];
    new.read_exact(&mut answer)?;
    ensure!(answer == *b"l", "{answer:?}");
    // The old one goes on with its connection.
    old.finish()?;
    old.expect("old")?;
    drop(new);
    running.drained()
}

#[test]
fn r2_a_reload_may_bring_another_policy() -> Result<()> {
    let running = Running::filter(|builder| builder)?;
    let mut old = running.connect("wait old")?;
    old.expect("here")?;
    let ctx = WasockCtx::builder().accept_from("10.0.0.0/8".parse()?).env("PROTO", "forged");
    let (service, next) = (running.service.clone(), guest(guest_tests::CONNECTION_FILTER)?);
    let reloaded = thread::spawn(move || block_on(service.reload_with(next, ctx)));
    ensure!(reloaded.join().ok().context("it panicked")? == Ok(2), "no reload");
    guest_tests::is_refused(running.addr)?;
    old.finish()?;
    old.expect("old")?;
    running.drained()
}

#[test]
fn r2_a_reload_that_fails_changes_nothing() -> Result<()> {
    let running = Running::filter(|builder| builder)?;
    let folder = tempfile::tempdir()?;
    let library = folder.path().join("library.wat");
    std::fs::write(&library, "(module (func (export \"f\")))")?;
    running.connect("say ready")?.expect("ready")?;
    let failed = running.reload(library.to_str().context("a path")?)?;
    ensure!(matches!(&failed, Err(ReloadError::Ended(why)) if why.contains("no _start")), "{failed:?}");
    running.connect("say still")?.expect("still")?;
    running.drained()
}

#[test]
fn r6_what_is_left_at_the_end_of_a_drain_is_reset() -> Result<()> {
    let running = Running::filter(|builder| builder.drain_timeout(Duration::from_millis(100)))?;
    let mut left = running.connect("wait in vain")?;
    left.expect("here")?;
    running.service.drain();
    let reset = running.event(|event| match event {
        Event::DrainTimeout { connections, .. } => Some(*connections),
        _ => None,
    })?;
    ensure!(reset == 1, "{reset}");
    left.is_reset()?;
    let refused = TcpStream::connect(running.addr);
    ensure!(refused.is_err(), "it listens still");
    ensure!(running.ended()?.map_err(plain)?.code == 0, "another code");
    Ok(())
}
