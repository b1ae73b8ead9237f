//! Runs one component to its end, and says what was wrong with that.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::io::AsyncWrite;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasock::{Guest, Terminated, WasockCtx, WasockCtxView, WasockView, add_to_component_linker};

use super::case::{Case, Way};
use super::coverage::Coverage;
use super::layout::{REPORT_BEGINS, start};
use super::text::component;
use crate::layout::PeerPorts;
use crate::run::{Lists, Outcome, Surroundings, builder, settle};

/// How long an order to end may take.
const END: Duration = Duration::from_secs(20);

/// The compiled interpreter.
pub(crate) struct Interpreter {
    engine: Engine,
    guest: Guest,
    pre: CommandPre<State>,
}

/// What a store of the embedder's holds.
struct State {
    wasi: WasiCtx,
    wasock: WasockCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasockView for State {
    fn wasock(&mut self) -> WasockCtxView<'_> {
        WasockCtxView { ctx: &mut self.wasock, table: &mut self.table }
    }
}

impl Interpreter {
    pub(crate) fn compile() -> Result<Self> {
        let mut config = Guest::engine_config();
        config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(1));
        let engine = Guest::new_engine(&config).map_err(told)?;
        let text = component(&start(PeerPorts::default(), 0));
        let guest = Guest::from_bytes(&engine, Path::new("interpreter.wat"), text.as_bytes())?;
        let mut linker: Linker<State> = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(told)?;
        linker.allow_shadowing(true);
        add_to_component_linker(&mut linker).map_err(told)?;
        let component = Component::new(&engine, &text).map_err(told)?;
        let pre = linker.instantiate_pre(&component).map_err(told)?;
        Ok(Self { guest, pre: CommandPre::new(pre).map_err(told)?, engine })
    }
}

/// Runs `case`; what it covered is added to `coverage`.
pub(crate) async fn run(
    case: &Case,
    interpreter: &Interpreter,
    here: &Surroundings<'_>,
    coverage: &mut Coverage,
) -> Result<Outcome> {
    let report = Report::default();
    let mut builder = builder(&case.terms, here)?;
    let mut held = 0;
    if case.has_held {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        held = listener.local_addr()?.port();
        builder = builder.adoptable_socket(listener)?;
    }
    let list = Lists(case.encode(here.ports, held).into());
    if case.terms.is_traced {
        builder = builder.trace(|_: &wasock::observe::TraceLine<'_>| {});
    }
    let ctx = builder.stdin(&list).stdout(&report).build_for_any_module()?;
    let handle = ctx.handle();
    let mut outcome = Outcome::default();
    let ended = {
        let mut run = Box::pin(run_it(case, interpreter, ctx, &list, &report));
        match tokio::time::timeout(case.patience, &mut run).await {
            Ok(ended) => Some(ended),
            Err(_) => {
                outcome.waits = 1;
                let mut ended = None;
                if case.terms.is_terminated && case.way != Way::Linker {
                    handle.terminate();
                    ended = tokio::time::timeout(END, run).await.ok();
                    if ended.is_none() {
                        outcome.fault = Some("an order to end is not followed".into());
                    }
                }
                ended
            }
        }
    };
    outcome.calls = coverage.add_report(&report.take());
    match ended {
        None => coverage.add_end("given up"),
        Some(Ok(())) => coverage.add_end("by itself"),
        Some(Err(error)) => {
            outcome.traps = 1;
            let end = End::of(&error);
            coverage.add_end(&end.text);
            if !end.is_known || (case.is_tame() && !end.is_limit) {
                outcome.fault = Some(format!("an end that should not be: {}", end.text));
            }
        }
    }
    // What was written goes out even when the store is gone, unless it is ordered to end.
    handle.terminate();
    settle(&handle, &mut outcome).await;
    Ok(outcome)
}

async fn run_it(
    case: &Case,
    interpreter: &Interpreter,
    ctx: WasockCtx,
    list: &Lists,
    report: &Report,
) -> wasmtime::Result<()> {
    if case.way != Way::Linker {
        let guest = interpreter.guest.clone().own_thread(case.way == Way::OwnThread);
        return guest.run(ctx).await.map(drop);
    }
    let wasi = WasiCtx::builder().stdin(list.clone()).stdout(report.clone()).build();
    let mut store = Store::new(&interpreter.engine, State { wasi, wasock: ctx, table: ResourceTable::new() });
    store.limiter(|state| state.wasock.limiter());
    // The ends of other guests in this process move the epoch.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let command = interpreter.pre.instantiate_async(&mut store).await?;
    _ = command.wasi_cli_run().call_run(&mut store).await?;
    Ok(())
}

/// How a component ended by an error.
struct End {
    text: String,
    /// Is it one that there may be?
    is_known: bool,
    /// Is it the operator's doing?
    is_limit: bool,
}

/// What the host and the engine say of a guest that does not keep to its interfaces.
const MISTAKES: &[&str] = &[
    "a blocking write of more than 4096 bytes",
    "a poll of nothing",
    "a write of more bytes than check-write has permitted",
    "a write to a standard stream of more than is permitted",
    "cannot write more zeroes than `check_write` allows",
    "empty poll list",
    "expected at most 4096",
    "handle index",
    "invalid option discriminant",
    "invalid utf-8 sequence",
    "list pointer is not aligned",
    "list pointer/length out of bounds of memory",
    "more datagrams than check-send has permitted",
    "pointer not aligned",
    "pointer out of bounds",
    "realloc return: beyond end of memory",
    "realloc return: result not aligned",
    "resource has children",
    "the streams of this socket are not dropped yet",
    "unexpected discriminant",
];

/// What they say of one that is at a limit.
const LIMITS: &[&str] = &[
    "fuel allocated for hostcalls has been exhausted",
    "not enough space (ENOMEM)",
    "resource table has no free keys",
];

impl End {
    fn of(error: &wasmtime::Error) -> Self {
        let root = error.root_cause().to_string();
        if let Some(why) = error.downcast_ref::<Terminated>() {
            let is_known = !matches!(why, Terminated::HostPanic(_));
            return Self { text: format!("ended: {}", kind_of(why)), is_known, is_limit: is_known };
        }
        let is_limit = LIMITS.iter().any(|limit| root.contains(limit));
        let is_mistake = error.is::<Trap>() || MISTAKES.iter().any(|mistake| root.contains(mistake));
        // Numbers make no difference.
        let text =
            root.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>();
        Self { text: text.join("N"), is_known: is_limit || is_mistake, is_limit }
    }
}

fn kind_of(why: &Terminated) -> &'static str {
    match why {
        Terminated::Order => "by order",
        Terminated::Timeout(_) => "at its time",
        Terminated::CpuTime(_) => "at its processor time",
        Terminated::HostPanic(_) => "a panic of the host's",
        _ => "otherwise",
    }
}

/// What a component reports.
#[derive(Clone, Default)]
struct Report(Arc<Mutex<Vec<u8>>>);

impl Report {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl IsTerminal for Report {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Report {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Report {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if let Some(report) = data.strip_prefix(REPORT_BEGINS) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(report);
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn told(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}
