//! The builder's pieces, as a guest uses them.

use super::{WAIT_TIMEOUT, events, granted, run_async};
use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};
use wasock::observe::TraceLine;
use wasock::{Event, WasockCtx};

/// Writes what it reads, then both clocks and eight random bytes: raw, to stdout.
const PIECES: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; 0: a vector of five bytes at 64. 8: one of 29 bytes at 64. 16: a count.
  (data (i32.const 0) "\40\00\00\00\05\00\00\00\40\00\00\00\1d\00\00\00")
  (func $must (param i32) (if (local.get 0) (then unreachable)))
  (func (export "_start")
    (call $must (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (call $must (call $clock (i32.const 0) (i64.const 0) (i32.const 128)))
    (i64.store (i32.const 69) (i64.load (i32.const 128)))
    (call $must (call $clock (i32.const 1) (i64.const 0) (i32.const 128)))
    (i64.store (i32.const 77) (i64.load (i32.const 128)))
    (call $must (call $random (i32.const 85) (i32.const 8)))
    (call $must (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
    (call $must (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))))"#;

struct Text(&'static [u8]);

impl IsTerminal for Text {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Text {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.0)
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Captured {
    fn poll_write(self: Pin<&mut Self>, _: &mut task::Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A clock that stands still.
struct Stopped(u64);

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0
    }
}

/// Runs a module in text form.
async fn run_text(text: &str, ctx: WasockCtx) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("guest.wat");
    std::fs::write(&path, text)?;
    run_async(path.to_str().context("a path that is no text")?, ctx).await
}

#[tokio::test]
async fn the_embedders_own_pieces_are_used() -> Result<()> {
    let (stdout, stderr) = (Captured::default(), Captured::default());
    let ctx = WasockCtx::builder()
        .stdin(&Text(b"hello and more"))
        .stdout(&stdout)
        .stderr(&stderr)
        .wall_clock(Stopped(1_000_000_007))
        .monotonic_clock(Stopped(42))
        .random(StdRng::seed_from_u64(7))
        .build_for_any_module()?;
    run_text(PIECES, ctx).await?;
    let mut random = [0; 8];
    StdRng::seed_from_u64(7).fill_bytes(&mut random);
    let mut expected = b"hello".to_vec();
    expected.extend(1_000_000_007_u64.to_le_bytes());
    expected.extend(42_u64.to_le_bytes());
    expected.extend(random);
    ensure!(stdout.bytes() == expected, "{:?} is not {expected:?}", stdout.bytes());
    ensure!(stderr.bytes() == b"hello", "{:?}", stderr.bytes());
    Ok(())
}

/// Opens a socket and binds it to 127.0.0.1:8080; ends whatever the answer.
const BINDS: &str = r#"(module
  (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\01\00\90\1f\7f\00\00\01")
  (func (export "_start")
    (drop (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 128)))
    (drop (call $bind (i32.load (i32.const 128)) (i32.const 0)))))"#;

#[tokio::test]
async fn a_denial_is_an_event() -> Result<()> {
    let (observer, events) = events();
    // A grant for another port is none for this one.
    let ctx =
        WasockCtx::builder().listen(&"127.0.0.1:8081".parse()?).observer(observer).build_for_any_module()?;
    let handle = ctx.handle();
    run_text(BINDS, ctx).await?;
    let all_told = tokio::task::spawn_blocking(move || handle.flush_events(WAIT_TIMEOUT)).await?;
    ensure!(all_told, "the events do not end");
    let told: Vec<_> = events.try_iter().collect();
    let [Event::Denied { call, what, flag, .. }] = told.as_slice() else { bail!("{told:?}") };
    ensure!(
        (*call, what.as_str(), flag.as_str()) == ("sock_bind", "127.0.0.1:8080", "--listen 127.0.0.1:8080")
    );
    Ok(())
}

#[tokio::test]
async fn the_trace_has_a_line_for_each_call() -> Result<()> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&lines);
    let sink = move |line: &TraceLine<'_>| {
        to.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((line.name.to_owned(), line.outcome.to_owned()));
    };
    run_text(BINDS, WasockCtx::builder().trace(sink).build_for_any_module()?).await?;
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let expected = [("sock_open", "0"), ("sock_bind", "EACCES")].map(|(name, is)| (name.into(), is.into()));
    ensure!(lines == expected, "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn descriptors_are_limited() -> Result<()> {
    ensure!(granted()?.max_fds(2).build_for_any_module().is_err(), "three streams in two descriptors");
    let ctx = granted()?.max_fds(5).build_for_any_module()?;
    ensure!(ctx.open_descriptors() == 3, "{} are open", ctx.open_descriptors());
    Ok(())
}
