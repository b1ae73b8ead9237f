//! Executors of every kind, with the drivers that wasock might miss and without, and those that
//! end before a socket does.

use super::{WAIT_TIMEOUT, events, expect_ok, granted, listening, plain, run_async};
use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;
use tokio::io::AsyncWrite;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::LocalSet;
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasock::{Event, WasockCtx};

/// A guest whose parts an embedder calls one by one: it listens, and serves one connection.
const PARTS: &str = r#"(module
  (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen" (func $listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_accept_v2" (func $accept (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\01\00\00\00\7f\00\00\01")
  (data (i32.const 256) "\08\01\00\00\02\00\00\00ok")
  (func (export "listen") (result i32)
    (if (result i32) (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 128))
      (then (i32.const 100))
      (else (if (result i32) (call $bind (i32.load (i32.const 128)) (i32.const 0))
        (then (i32.const 101))
        (else (call $listen (i32.load (i32.const 128)) (i32.const 4)))))))
  ;; A wait with a limit, which makes a timer that the next one uses again.
  (func (export "wait") (result i32)
    (i64.store (i32.const 1024) (i64.const 7))
    (i64.store (i32.const 1048) (i64.const 1000000))
    (drop (call $sleep (i64.const 1000000)))
    (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 2304)))
  (func (export "serve") (result i32)
    (local $errno i32)
    (local.set $errno
      (call $accept (i32.load (i32.const 128)) (i32.const 0) (i32.const 132) (i32.const 136)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (local.set $errno
      (call $send (i32.load (i32.const 132)) (i32.const 256) (i32.const 1) (i32.const 0) (i32.const 272)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (call $close (i32.load (i32.const 132)))))"#;

/// The guest of [`PARTS`].
struct Parts {
    store: Store<WasockCtx>,
    instance: wasmtime::Instance,
    events: mpsc::Receiver<Event>,
}

impl Parts {
    /// `on` is the runtime that the guest is to use.
    async fn new(on: Option<&Handle>) -> Result<Self> {
        let engine = Engine::default();
        let module = Module::new(&engine, PARTS).map_err(plain)?;
        let mut linker: Linker<WasockCtx> = Linker::new(&engine);
        wasock::add_to_linker(&mut linker, &module, |ctx| ctx).map_err(plain)?;
        let (observer, events) = events();
        let mut builder = granted()?.observer(observer);
        if let Some(on) = on {
            builder = builder.sockets_on(on);
        }
        let mut store = Store::new(&engine, builder.build_for_any_module()?);
        let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
        Ok(Self { store, instance, events })
    }

    async fn call(&mut self, name: &str) -> Result<()> {
        let part = self.instance.get_typed_func::<(), i32>(&mut self.store, name).map_err(plain)?;
        let errno = part.call_async(&mut self.store, ()).await.map_err(plain)?;
        ensure!(errno == 0, "{name}: error {errno}");
        Ok(())
    }

    async fn listen(&mut self) -> Result<SocketAddr> {
        self.call("listen").await?;
        listening(&self.events)
    }

    /// Serves a client that comes by another thread.
    async fn serve(&mut self, addr: SocketAddr) -> Result<()> {
        let client = thread::spawn(move || expect_ok(addr));
        self.call("wait").await?;
        self.call("serve").await?;
        client.join().ok().context("the client panicked")?
    }
}

/// An executor without any runtime: this thread parks.
fn without_a_runtime<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        thread::park();
    }
}

/// Runtimes with each set of drivers.
fn runtimes() -> std::io::Result<Vec<(&'static str, Runtime)>> {
    Ok(vec![
        ("no drivers", Builder::new_current_thread().build()?),
        ("no drivers, many threads", Builder::new_multi_thread().worker_threads(1).build()?),
        ("no clock", Builder::new_current_thread().enable_io().build()?),
        ("no sockets", Builder::new_current_thread().enable_time().build()?),
        ("all drivers", Builder::new_current_thread().enable_all().build()?),
    ])
}

/// The guest opens, waits and serves in one runtime; returns the address.
async fn whole() -> Result<()> {
    let mut parts = Parts::new(None).await?;
    let addr = parts.listen().await?;
    parts.serve(addr).await
}

#[test]
fn no_driver_of_a_runtime_is_needed() -> Result<()> {
    for (name, runtime) in runtimes()? {
        runtime.block_on(whole()).context(name)?;
        runtime.block_on(LocalSet::new().run_until(whole())).context(name)?;
    }
    without_a_runtime(whole())
}

/// Standard output by a stream of tokio's, which moves its writes to threads of a runtime's.
struct OfTokio;

impl IsTerminal for OfTokio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OfTokio {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::stdout())
    }
}

/// Streams of tokio's may be given to a guest that runs outside of it; files move to threads of
/// wasock's.
#[test]
fn standard_streams_and_files_need_no_runtime() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("page"), "page")?;
    let guest = || async {
        let ctx = WasockCtx::builder()
            .args(["guest", "0", "/site/page"])
            .stdout(&OfTokio)
            .preopened_listener("web", ([127, 0, 0, 1], 0).into())?
            .preopened_dir(folder.path(), "/site", wasock::Access::ReadOnly)?
            .build_for_any_module()?;
        run_async(guest_tests::PREOPENED_STD, ctx).await
    };
    without_a_runtime(guest())?;
    Builder::new_current_thread().build()?.block_on(guest())
}

/// A socket outlives the runtime in which it was opened, whether that was named or not.
#[test]
fn a_listener_of_a_runtime_that_is_gone_is_served_in_the_next() -> Result<()> {
    for is_named in [false, true] {
        let first = Builder::new_current_thread().enable_all().build()?;
        let named = is_named.then(|| first.handle().clone());
        let (mut parts, addr) = first.block_on(async {
            let mut parts = Parts::new(named.as_ref()).await?;
            let addr = parts.listen().await?;
            // It is registered with that runtime, and has a timer there.
            parts.serve(addr).await?;
            anyhow::Ok((parts, addr))
        })?;
        drop(first);
        for (name, next) in runtimes()? {
            next.block_on(parts.serve(addr)).with_context(|| format!("{name}, named: {is_named}"))?;
        }
        without_a_runtime(parts.serve(addr))?;
    }
    Ok(())
}

/// A runtime is shut down while a call that another executor drives waits for its sockets.
#[test]
fn a_call_goes_on_waiting_when_its_sockets_runtime_is_shut_down() -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let handle = runtime.handle().clone();
    let (mut parts, addr) = runtime.block_on(async {
        let mut parts = Parts::new(Some(&handle)).await?;
        let addr = parts.listen().await?;
        anyhow::Ok((parts, addr))
    })?;
    let (sender, receiver) = mpsc::channel();
    let guest = thread::spawn(move || {
        without_a_runtime(async {
            let mut serve = pin!(parts.call("serve"));
            // The first try finds no connection, and registers.
            let first = std::future::poll_fn(|context| Poll::Ready(serve.as_mut().poll(context))).await;
            sender.send(first.is_pending())?;
            match first {
                Poll::Ready(done) => done,
                Poll::Pending => serve.await,
            }
        })
    });
    ensure!(receiver.recv_timeout(WAIT_TIMEOUT)?, "it did not wait");
    runtime.shutdown_background();
    expect_ok(addr)?;
    let begun = Instant::now();
    while !guest.is_finished() {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "the call waits for ever");
        thread::yield_now();
    }
    guest.join().ok().context("the guest's thread panicked")?
}
