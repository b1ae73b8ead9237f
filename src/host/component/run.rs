//! Runs a component from its start to its end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{InstancePre, Linker, ResourceTableError};
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::{I32Exit, p2, p3};

use super::super::call_mode::CallMode;
use super::super::epoch::Epochs;
use super::super::load::Program;
use super::super::outcome::{AtLimit, Ended, ended, error_of, is_mistake};
use super::super::stub::MissingImports;
use super::super::{Guest, WasockCtx};
use super::data::{Data, RESOURCES_PER_DESCRIPTOR};
use super::fit::check_run;
use super::link::{link_p2, link_p3};
use super::thread::{WaitsBy, run_on_own_thread};
use crate::abi::component::CommandVersion;
use crate::error::Errno;
use crate::io::sleep;
use crate::observe::Limit;
use crate::process::Process;

/// How many handles a component may have, at least: the default of Wasmtime's.
const LEAST_HANDLES: usize = 100_000;

/// How many bytes one call may have the host copy: the default of Wasmtime's.
const MOST_PER_CALL: usize = 128 << 20;

/// How long peers may take at the end of a component to take the rest of what it wrote. A native program's is the kernel's
/// to deliver, and here the next start waits for it.
const DELIVERY_AT_END: Duration = Duration::from_secs(10);

/// What a component exports, found in it before there is an instance.
pub(super) enum Command {
    V0_2(p2::bindings::CommandPre<Data>),
    V0_3(p3::bindings::CommandPre<Data>),
}

/// Runs the component of `guest`, which is `program`.
///
/// # Cancel safety
///
/// Dropping the future ends the guest.
///
/// # Errors
///
/// As for [`Guest::run`].
pub(in crate::host) async fn run_component(
    guest: &Guest,
    program: &Program,
    mut ctx: WasockCtx,
) -> wasmtime::Result<Ended> {
    let command = command_of(program)?;
    let process = Arc::clone(ctx.thread.process());
    let threads = Arc::clone(&ctx.thread.threads);
    if guest.has_own_thread {
        ctx.calls = CallMode::OwnThread;
        let reserved = ctx.host_thread.take();
        let life = live(ctx, command, guest.epochs);
        let waits_by = if program.needs_p3() { WaitsBy::Reactor } else { WaitsBy::Poll };
        let outcome = run_on_own_thread(Arc::clone(&process), threads, reserved, waits_by, life).await;
        if outcome.is_ok() {
            deliver_the_rest(&process).await;
        }
        return outcome;
    }
    ctx.calls = CallMode::Async;
    let life = live(ctx, command, guest.epochs);
    let outcome = tokio::select! {
        biased;
        outcome = life => outcome,
        ending = process.signals().ended() => ended(Err(error_of(ending))),
    };
    if outcome.is_ok() {
        deliver_the_rest(&process).await;
    }
    outcome
}

/// Waits a while for what the guest has written to be delivered, unless something ends it: what is left is
/// reset with all that it has open. After a trap nobody waits, for the next start would have to wait too.
pub(super) async fn deliver_the_rest(process: &Process) {
    tokio::select! {
        biased;
        _ = process.signals().ended() => {}
        () = process.delivered() => {}
        () = sleep(DELIVERY_AT_END) => {}
    }
}

/// Resolves the imports of `program`.
///
/// # Errors
///
/// [`MissingImports`]; where something that it imports, or its `run`, has another type than the host's.
pub(super) fn command_of(program: &Program) -> wasmtime::Result<Command> {
    let mut linker = Linker::new(program.component.engine());
    link_p2(&mut linker)?;
    if program.needs_p3() {
        link_p3(&mut linker)?;
    }
    let pre = linker.instantiate_pre(&program.component).map_err(|error| {
        let missing = program.outline.missing();
        if missing.is_empty() { error } else { wasmtime::Error::new(MissingImports::of_component(missing)) }
    })?;
    check_run(program)?;
    Ok(match program.version {
        CommandVersion::V0_2 => Command::V0_2(p2::bindings::CommandPre::new(pre)?),
        CommandVersion::V0_3 => Command::V0_3(p3::bindings::CommandPre::new(pre)?),
    })
}

/// The life of one instance, in a store of its own.
async fn live(ctx: WasockCtx, command: Command, epochs: Epochs) -> wasmtime::Result<Ended> {
    let process = Arc::clone(ctx.thread.process());
    let mut life = pin!(live_in_store(ctx, command, epochs));
    poll_fn(|context| {
        let polled = life.as_mut().poll(context);
        if polled.is_pending() {
            process.instance().note_waiting();
        }
        polled
    })
    .await
}

async fn live_in_store(ctx: WasockCtx, command: Command, epochs: Epochs) -> wasmtime::Result<Ended> {
    let process = Arc::clone(ctx.thread.process());
    let mut store = store_for(ctx, command.instance_pre())?;
    if let Err(error) = check_at_epochs(&mut store, epochs) {
        return ended(Err(error));
    }
    store.data_mut().ctx.limiter.begin_start()?;
    let begun = Instant::now();
    let returned = match command {
        Command::V0_2(command) => {
            let made = command.instantiate_async(&mut store).await;
            let command = started(&mut store, &process, begun, made)?;
            command.wasi_cli_run().call_run(&mut store).await
        }
        Command::V0_3(command) => {
            let made = command.instantiate_async(&mut store).await;
            let command = started(&mut store, &process, begun, made)?;
            let run = store.run_concurrent(async move |store| command.wasi_cli_run().call_run(store).await);
            run.await.flatten()
        }
    };
    match returned {
        Ok(Ok(())) => Ok(Ended { code: 0 }),
        Ok(Err(())) => Ok(Ended { code: 1 }),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => Ok(Ended { code: code.cast_unsigned() }),
            None => ended(Err(with_limit(as_trap(error, &store)))),
        },
    }
}

/// A result that the canonical ABI does not allow is a trap. The engine finds it when no code of the guest's runs
/// any more: its error has no backtrace, by which traps are told from failures of the host.
fn as_trap(error: wasmtime::Error, store: &Store<Data>) -> wasmtime::Error {
    if !is_mistake(&error) || error.is::<WasmBacktrace>() {
        return error;
    }
    error.context(WasmBacktrace::capture(store))
}

/// Notes in `error` which limit of the operator's has caused it, if one has. The engine has no types for two of them.
fn with_limit(error: wasmtime::Error) -> wasmtime::Error {
    let text = error.root_cause().to_string();
    let limit = if matches!(error.downcast_ref(), Some(ResourceTableError::Full))
        || text.contains("handle limit exceeded")
    {
        Limit::Descriptors
    } else if text.contains("fuel allocated for hostcalls") || error.downcast_ref() == Some(&Errno::ENOMEM) {
        Limit::HostMemory
    } else {
        return error;
    };
    error.context(AtLimit(limit))
}

impl Command {
    fn instance_pre(&self) -> &InstancePre<Data> {
        match self {
            Self::V0_2(command) => command.instance_pre(),
            Self::V0_3(command) => command.instance_pre(),
        }
    }
}

/// A store for the guest of `ctx`, with its limits.
pub(super) fn store_for(ctx: WasockCtx, pre: &InstancePre<Data>) -> wasmtime::Result<Store<Data>> {
    let limits = *ctx.thread.process().service().limits();
    let mut store = Store::new(pre.engine(), Data::new(ctx)?);
    store.limiter(|data| data.ctx.limiter());
    // Its descriptors run out before its handles.
    let descriptors = usize::try_from(limits.max_fds).unwrap_or(usize::MAX);
    let handles = descriptors.saturating_mul(RESOURCES_PER_DESCRIPTOR);
    store.set_max_component_handles(handles.max(LEAST_HANDLES));
    store.set_hostcall_fuel(usize::try_from(limits.max_host_memory).unwrap_or(usize::MAX).min(MOST_PER_CALL));
    Ok(store)
}

/// The instance was made, or could not be.
fn started<T>(
    store: &mut Store<Data>,
    process: &Process,
    begun: Instant,
    made: wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    process.report().counted_instantiation(begun.elapsed());
    Ok(store.data_mut().ctx.limiter.end_start(made)?.0)
}

/// Makes running code check, at each increment of the epoch, whether it is to end, as modules do.
///
/// # Errors
///
/// The guest's end, where that has been ordered already.
fn check_at_epochs(store: &mut Store<Data>, epochs: Epochs) -> wasmtime::Result<()> {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |context| {
        if epochs == Epochs::EndGuest {
            return Err(Trap::Interrupt.into());
        }
        let ctx = &context.data().ctx;
        ctx.thread.process().check_cpu_time();
        ctx.check_end()?;
        Ok(if ctx.calls == CallMode::OwnThread {
            UpdateDeadline::Continue(1)
        } else {
            UpdateDeadline::Yield(1)
        })
    });
    store.data().ctx.check_end()
}
