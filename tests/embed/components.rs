//! Components in an embedder's own program.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use guest_tests::Client;
use guest_tests::components::{COMPONENT_ECHO, COMPONENT_LIFE};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasock::{Guest, LoadError, Observer as _, Terminated, WasockCtx, WasockCtxView, WasockView};

use super::{events, granted, listening_async, plain};

#[path = "../../examples/component.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod example;

fn loaded(component: &str) -> Result<Guest> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    Ok(Guest::load(&engine, component.as_ref())?)
}

fn echoes(address: std::net::SocketAddr) -> Result<()> {
    let mut client = Client::connect(address)?;
    client.say("words")?;
    client.hears("words")
}

/// The example: a `WasiCtx` of its own for everything but sockets.
#[tokio::test]
async fn a_component_serves_beside_a_wasi_ctx() -> Result<()> {
    let (observer, received) = events();
    let on_event = move |event: &_| observer.observe(event);
    let serving = tokio::spawn(example::serve(Path::new(COMPONENT_ECHO), "127.0.0.1:0", on_event));
    let address = listening_async(received).await?;
    tokio::task::spawn_blocking(move || echoes(address)).await??;
    serving.abort();
    ensure!(serving.await.is_err_and(|error| error.is_cancelled()), "it ended by itself");
    Ok(())
}

#[tokio::test]
async fn a_component_runs_as_a_module_does() -> Result<()> {
    for own_thread in [false, true] {
        for (how, code) in [("ok", 0), ("fail", 1), ("code", 42)] {
            let guest = loaded(COMPONENT_LIFE)?.own_thread(own_thread);
            ensure!(guest.is_component(), "it is none");
            let ctx = WasockCtx::builder().args(["life", how]).build_for(guest.module())?;
            let ended = guest.run(ctx).await.map_err(plain)?;
            ensure!(ended.code == code, "{how} ended with {}", ended.code);
        }
        let guest = loaded(COMPONENT_LIFE)?.own_thread(own_thread);
        let ctx = WasockCtx::builder().args(["life", "trap"]).build_for(guest.module())?;
        let trap = guest.run(ctx).await.err().context("it did not trap")?;
        ensure!(trap.downcast_ref() == Some(&Trap::UnreachableCodeReached), "{trap:?}");
        ensure!(Guest::describe_trap(&trap).contains("the_innermost_function"), "{trap:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_component_is_ended_wherever_it_is() -> Result<()> {
    for own_thread in [false, true] {
        for how in ["spin", "sleep"] {
            let guest = loaded(COMPONENT_LIFE)?.own_thread(own_thread);
            let ctx = WasockCtx::builder().args(["life", how]).build_for(guest.module())?;
            let handle = ctx.handle();
            // A guest that computes has the thread of this test.
            let ends = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                handle.terminate();
            });
            let why = guest.run(ctx).await.err().context("it ended by itself")?;
            ensure!(why.downcast_ref() == Some(&Terminated::Order), "{how}: {why:?}");
            ensure!(ends.join().is_ok(), "it panicked");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_a_dropped_component_has_is_closed() -> Result<()> {
    for own_thread in [false, true] {
        let (observer, received) = events();
        let guest = loaded(COMPONENT_ECHO)?.own_thread(own_thread);
        let ctx = granted()?.args(["echo", "127.0.0.1:0"]).observer(observer).build_for(guest.module())?;
        let handle = ctx.handle();
        let running = tokio::spawn(async move { guest.run(ctx).await });
        let address = listening_async(received).await?;
        running.abort();
        ensure!(running.await.is_err_and(|error| error.is_cancelled()), "it ended by itself");
        ensure!(handle.is_ended(), "it lives");
        ensure!(TcpStream::connect(address).is_err(), "it listens");
    }
    Ok(())
}

/// In a store of the embedder's nobody sees to the end but by an order: what the component has written goes out after the
/// store is dropped, and keeps all that the guest has until it is taken.
#[tokio::test]
async fn an_order_ends_what_a_dropped_store_has_still_to_deliver() -> Result<()> {
    let (observer, received) = events();
    let engine = Engine::default();
    let mut linker: Linker<Whole> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(plain)?;
    linker.allow_shadowing(true);
    wasock::add_to_component_linker(&mut linker).map_err(plain)?;
    let component = Component::from_file(&engine, COMPONENT_ECHO).map_err(plain)?;
    let wasock = granted()?.observer(observer).build_for_any_module()?;
    let handle = wasock.handle();
    let wasi = WasiCtx::builder().args(&["echo", "127.0.0.1:0", "hello "]).build();
    let mut store = Store::new(&engine, Whole { wasi, wasock, table: ResourceTable::new() });
    let serving = tokio::spawn(async move {
        let command = Command::instantiate_async(&mut store, &component, &linker).await?;
        command.wasi_cli_run().call_run(&mut store).await
    });
    let address = listening_async(received).await?;
    // It is sent more than it takes, and the component goes on to the next one.
    let client = tokio::task::spawn_blocking(move || -> Result<TcpStream> {
        let mut client = TcpStream::connect(address)?;
        client.read_exact(&mut [0; 6])?;
        client.write_all(b"much")?;
        TcpStream::connect(address)?.read_exact(&mut [0; 6])?;
        Ok(client)
    });
    let mut client = client.await??;
    serving.abort();
    ensure!(serving.await.is_err_and(|error| error.is_cancelled()), "it ended by itself");
    ensure!(!handle.is_ended(), "what was written is lost");
    handle.terminate();
    let begun = Instant::now();
    while !handle.is_ended() {
        ensure!(begun.elapsed() < Duration::from_secs(20), "it is there for good");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ended = client.read_to_end(&mut Vec::new());
    ensure!(ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "it lost bytes in order");
    Ok(())
}

/// Where it lacks them, a component of WASI 0.3 is told from one that is broken.
#[tokio::test]
async fn an_engine_needs_async_functions_for_wasi_0_3() -> Result<()> {
    let component = r#"(component
        (core module $code (func (export "run") (result i32) i32.const 0))
        (core instance $core (instantiate $code))
        (func $run async (result (result)) (canon lift (core func $core "run")))
        (instance $interface (export "run" (func $run)))
        (export "wasi:cli/run@0.3.0" (instance $interface)))"#;
    let bytes = wat::parse_str(component)?;
    let mut config = Guest::engine_config();
    let without = Engine::new(&config).map_err(plain)?;
    let refused = Guest::from_bytes(&without, "a".as_ref(), &bytes).err().context("it loads")?;
    ensure!(matches!(refused, LoadError::NeedsAsync(_)), "{refused}");
    config.concurrency_support(true);
    let guest = Guest::from_bytes(&Guest::new_engine(&config).map_err(plain)?, "a".as_ref(), &bytes)?;
    let ctx = WasockCtx::builder().build_for(guest.module())?;
    ensure!(guest.run(ctx).await.map_err(plain)?.code == 0, "it failed");
    Ok(())
}

/// What an embedder may do with a component is refused where it is for modules only.
#[tokio::test]
async fn a_component_is_no_module() -> Result<()> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let refused = Guest::load_to_copy(&engine, COMPONENT_LIFE.as_ref()).err().context("it loads")?;
    ensure!(refused.to_string().contains("it is a component"), "{refused}");
    Ok(())
}

/// An engine without async functions is served without WASI 0.3, and not by a panic.
#[test]
fn wasi_0_3_is_linked_where_the_engine_has_async_functions() -> Result<()> {
    for has_async in [false, true] {
        let mut config = Guest::engine_config();
        config.concurrency_support(has_async);
        let engine = Engine::new(&config).map_err(plain)?;
        let mut linker: Linker<State> = Linker::new(&engine);
        wasock::add_to_component_linker(&mut linker).map_err(plain)?;
        for (interface, is_there) in
            [("wasi:sockets/tcp@0.2.12", true), ("wasi:sockets/types@0.3.0", has_async)]
        {
            // A name that is taken is refused.
            let is_taken = linker.root().func_wrap(interface, |_, (): ()| Ok(())).is_err();
            ensure!(is_taken == is_there, "{interface} is there: {is_taken}");
        }
    }
    Ok(())
}

/// What a store may hold.
struct State {
    ctx: WasockCtx,
    table: ResourceTable,
}

impl WasockView for State {
    fn wasock(&mut self) -> WasockCtxView<'_> {
        WasockCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// What a store holds beside a `WasiCtx`.
struct Whole {
    wasi: WasiCtx,
    wasock: WasockCtx,
    table: ResourceTable,
}

impl WasiView for Whole {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasockView for Whole {
    fn wasock(&mut self) -> WasockCtxView<'_> {
        WasockCtxView { ctx: &mut self.wasock, table: &mut self.table }
    }
}
