//! Runs one guest to its end, and says what was wrong with that.

use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime::{Engine, InstancePre, Linker, Module, Store};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasock::{
    Access, Address, Event, Guest, Handle, ListenProfile, OnTrap, Signal, Terminated, WasockCtx,
    WasockCtxBuilder, add_to_linker,
};

use crate::case::{Case, Terms, Way};
use crate::coverage::{Coverage, States};
use crate::layout::{ANSWERS, COUNTS, LISTS, OP_SIZE, PeerPorts, REPORT, REPORTED, start};
use crate::module::{Dialect, interpreter};
use crate::op::function_count;
use crate::watch::Patience;

/// How long a wait may take before a signal is sent, and before it is given up.
const TICK: Duration = Duration::from_millis(1);
const WAIT: Duration = Duration::from_millis(12);
/// How long a guest may take whose memory can't be read.
const WHOLE_RUN: Duration = Duration::from_millis(150);
/// How long an order to end may take.
const END: Duration = Duration::from_secs(20);
/// How many waits of one guest are given up.
const MAX_WAITS: usize = 12;
/// How often a guest goes on after a trap.
const MAX_TRAPS: usize = 400;

const PROFILES: [ListenProfile; 5] = [
    ListenProfile::Wasix,
    ListenProfile::Posix,
    ListenProfile::Winsock,
    ListenProfile::Bsd,
    ListenProfile::Linux,
];

/// The compiled interpreters.
pub(crate) struct Interpreters {
    engine: Engine,
    compiled: Vec<(Dialect, Guest, Option<InstancePre<WasockCtx>>)>,
}

impl Interpreters {
    /// Compiles those of `dialects`.
    pub(crate) fn compile(dialects: &[Dialect]) -> Result<Self> {
        let mut config = Guest::engine_config();
        // Guests trap all the time, and a name for each frame is most of what that costs.
        config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(1));
        let engine = Engine::new(&config).map_err(told)?;
        let mut compiled = Vec::new();
        for dialect in dialects {
            let module = Module::new(&engine, interpreter(*dialect)).map_err(told)?;
            let pre = if dialect.has_threads() {
                None
            } else {
                let mut linker = Linker::new(&engine);
                add_to_linker(&mut linker, &module, |ctx: &mut WasockCtx| ctx).map_err(told)?;
                Some(linker.instantiate_pre(&module).map_err(told)?)
            };
            compiled.push((*dialect, Guest::from_module(module), pre));
        }
        Ok(Self { engine, compiled })
    }

    fn find(&self, dialect: Dialect) -> Result<(&Guest, Option<&InstancePre<WasockCtx>>)> {
        let found = self.compiled.iter().find(|(compiled, ..)| *compiled == dialect);
        found.map(|(_, guest, pre)| (guest, pre.as_ref())).context("not compiled")
    }
}

/// What came of a guest.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) calls: u64,
    pub(crate) waits: usize,
    pub(crate) traps: usize,
    /// What must not be.
    pub(crate) fault: Option<String>,
}

/// Where the guest lives.
pub(crate) struct Surroundings<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) ports: PeerPorts,
    pub(crate) orders: Sender<Address>,
}

/// Runs `case`; what it covered is added to `coverage`.
pub(crate) async fn run(
    case: &Case,
    interpreters: &Interpreters,
    here: &Surroundings<'_>,
    coverage: &mut Coverage,
) -> Result<Outcome> {
    let states = Arc::new(States::default());
    let calls = Arc::new(AtomicU64::new(0));
    let mut ctx = context(case, here, &states, &calls)?;
    let handle = ctx.handle();
    let (guest, pre) = interpreters.find(case.dialect)?;
    let mut outcome = match (case.way, pre) {
        (Way::Linker, Some(pre)) => {
            ctx.adapt_to(guest.module());
            in_own_store(case, &interpreters.engine, pre, ctx, here, coverage).await?
        }
        _ => whole(case, guest, ctx, &calls).await,
    };
    coverage.add(&states.take());
    settle(&handle, &mut outcome).await;
    Ok(outcome)
}

/// Waits until what a guest had is closed: that is done in other threads, where it had threads.
pub(crate) async fn settle(handle: &Handle, outcome: &mut Outcome) {
    let mut patience = Patience::new(END, TICK);
    while outcome.fault.is_none() && !handle.is_ended() {
        if patience.is_over() {
            outcome.fault = Some("the guest's descriptors are open 20 s after its end".into());
        }
        tokio::time::sleep(TICK).await;
    }
}

fn context(
    case: &Case,
    here: &Surroundings<'_>,
    states: &Arc<States>,
    calls: &Arc<AtomicU64>,
) -> Result<WasockCtx> {
    let terms = &case.terms;
    let mut builder =
        builder(terms, here)?.stdout(&Reports(Arc::clone(calls))).stdin(&Lists(case.encode().into()));
    if terms.has_fifo {
        _ = rustix::fs::mknodat(
            rustix::fs::CWD,
            here.folder.join("b.txt"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        );
    }
    let access = if terms.is_read_only { Access::ReadOnly } else { Access::ReadWrite };
    // Twice: a guest that closes one of them has the other.
    builder =
        builder.preopened_dir(here.folder, "/", access)?.preopened_dir(here.folder, "/again", access)?;
    if terms.is_traced {
        let states = Arc::clone(states);
        builder = builder.trace(move |line: &wasock::observe::TraceLine<'_>| states.line(line));
    }
    Ok(builder.build_for_any_module()?)
}

/// What every guest may do, and where its events go.
pub(crate) fn builder(terms: &Terms, here: &Surroundings<'_>) -> Result<WasockCtxBuilder> {
    let mut builder = WasockCtx::builder()
        .arg("guest")
        .env("NAME", "value")
        .resolve("localhost".parse()?)
        .max_fds(terms.max_fds)
        .max_threads(terms.max_threads)
        .blocks_on_files(terms.blocks_on_files)
        .unix_unlink(terms.removes_unix_names)
        .listen_profile(PROFILES[terms.profile])
        .on_trap(if terms.restarts { OnTrap::Restart } else { OnTrap::Stop });
    for grant in ["127.0.0.0/8:*", "[::1]:*"] {
        let grant = grant.parse()?;
        builder = builder.listen(&grant).connect(&grant).udp_bind(&grant).udp_send(&grant);
    }
    let paths = "unix:*".parse()?;
    builder = builder.listen(&paths).connect(&paths);
    if let Some(limit) = terms.max_blocking_calls {
        builder = builder.max_blocking_calls(limit);
    }
    if let Some(limit) = terms.max_host_memory {
        builder = builder.max_host_memory(limit);
    }
    if let Some(time) = terms.max_cpu_time {
        builder = builder.max_cpu_time(Duration::from_micros(time));
    }
    if let Some(time) = terms.timeout {
        builder = builder.timeout(Duration::from_micros(time));
    }
    if let Some(limit) = terms.max_memory {
        builder = builder.max_memory(limit);
    }
    if let Some(limit) = terms.max_backlog {
        builder = builder.max_backlog(limit);
    }
    if let Some(limit) = terms.max_connections {
        builder = builder.max_connections(limit);
    }
    if let Some(limit) = terms.max_per_listener {
        builder = builder.max_connections_per_listener(limit);
    }
    if let Some(limit) = terms.max_per_peer {
        builder = builder.max_connections_per_peer(limit);
    }
    if let Some(limit) = terms.max_socket_buffer {
        builder = builder.max_socket_buffer(limit);
    }
    if terms.has_peers || terms.is_observed {
        let orders = terms.has_peers.then(|| here.orders.clone());
        builder = builder.observer(move |event: &Event| {
            if let Event::Listening { local, result: Ok(_), .. } | Event::Bound { local, .. } = event {
                _ = orders.as_ref().map(|orders| orders.send(local.clone()));
            }
        });
    }
    Ok(builder)
}

/// Runs it by `Guest::run`.
async fn whole(case: &Case, guest: &Guest, ctx: WasockCtx, calls: &AtomicU64) -> Outcome {
    let handle = ctx.handle();
    let mut outcome = Outcome::default();
    let ended = {
        let mut run = pin!(guest.run(ctx));
        let ended = run_with_timeout(run.as_mut(), &handle, WHOLE_RUN).await;
        if ended.is_none() {
            outcome.waits = 1;
        }
        if ended.is_none() && case.terms.is_terminated {
            handle.terminate();
            let ended = tokio::time::timeout(END, run).await;
            if ended.is_err() {
                outcome.fault = Some("an order to end is not followed".into());
            }
            ended.ok()
        } else {
            ended
        }
    };
    outcome.calls = calls.load(Relaxed);
    match ended {
        None | Some(Ok(_)) => {}
        Some(Err(error)) if is_expected(&error) => outcome.traps = 1,
        Some(Err(error)) => outcome.fault = Some(format!("an end of no known kind: {error:?}")),
    }
    outcome
}

/// Sees `call` to its end, with a signal at each tick, for `limit` at most.
async fn run_with_timeout<T>(call: impl Future<Output = T>, handle: &Handle, limit: Duration) -> Option<T> {
    let mut call = pin!(call);
    let begun = Instant::now();
    loop {
        if let Ok(done) = tokio::time::timeout(TICK, &mut call).await {
            return Some(done);
        }
        if begun.elapsed() > limit {
            return None;
        }
        // One that does nothing without a handler.
        handle.signal(Signal::Winch);
    }
}

fn is_expected(error: &wasmtime::Error) -> bool {
    if let Some(why) = error.downcast_ref::<Terminated>() {
        return !matches!(why, Terminated::HostPanic(_));
    }
    error.is::<wasock::internals::Trap>()
        || error.is::<wasock::Exit>()
        || error.is::<wiggle::GuestError>()
        || error.is::<wasmtime::Trap>()
}

/// Runs it in a store of its own, on and on after traps and waits.
async fn in_own_store(
    case: &Case,
    engine: &Engine,
    pre: &InstancePre<WasockCtx>,
    ctx: WasockCtx,
    here: &Surroundings<'_>,
    coverage: &mut Coverage,
) -> Result<Outcome> {
    let handle = ctx.handle();
    let mut store = Store::new(engine, ctx);
    // The ends of other guests in this process move the epoch.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let instance = pre.instantiate_async(&mut store).await.map_err(told)?;
    let memory = instance.get_memory(&mut store, "memory").context("no memory")?;
    for (at, bytes) in start(here.ports) {
        memory.write(&mut store, usize::try_from(at)?, &bytes)?;
    }
    memory.write(&mut store, usize::try_from(LISTS)?, &case.encode())?;
    let run = instance.get_typed_func::<(i32, i32), ()>(&mut store, "run").map_err(told)?;
    let pc = instance.get_global(&mut store, "pc").context("no pc")?;
    let mut outcome = Outcome::default();
    let (first, end) = case.first_list();
    for _ in 0..case.rounds {
        let mut at = first;
        // One that went wrong may do so again and again, without going on.
        while at < end && outcome.fault.is_none() && outcome.waits < MAX_WAITS && outcome.traps < MAX_TRAPS {
            let call = run.call_async(&mut store, (at as i32, end as i32));
            match run_with_timeout(call, &handle, WAIT).await {
                Some(Ok(())) => break,
                Some(Err(error)) if is_expected(&error) => outcome.traps += 1,
                Some(Err(error)) => outcome.fault = Some(format!("an end of no known kind: {error:?}")),
                None => outcome.waits += 1,
            }
            at = pc.get(&mut store).i32().map_or(end, |pc| u64::from(pc.cast_unsigned()) + OP_SIZE);
        }
    }
    let mut counts = vec![0; function_count() * ANSWERS as usize * 4];
    memory.read(&store, usize::try_from(COUNTS)?, &mut counts)?;
    outcome.calls = coverage.add_counts(&counts);
    Ok(outcome)
}

/// The lists of operations, as standard input.
#[derive(Clone)]
pub(crate) struct Lists(pub(crate) Arc<[u8]>);

struct Reading(Arc<[u8]>, usize);

impl IsTerminal for Lists {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Lists {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Reading(Arc::clone(&self.0), 0))
    }
}

impl AsyncRead for Reading {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let rest = self.0.get(self.1..).unwrap_or(&[]);
        let now = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(now);
        let len = now.len();
        self.1 += len;
        Poll::Ready(Ok(()))
    }
}

/// Counts the reports of a guest.
#[derive(Clone)]
struct Reports(Arc<AtomicU64>);

impl IsTerminal for Reports {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Reports {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Reports {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if data == REPORT {
            self.0.fetch_add(REPORTED, Relaxed);
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
