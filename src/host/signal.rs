//! Calling the guest's handler for signals.
//!
//! There are three places for it:
//!
//! * the end of a call that may wait, in the glue: the handler is called as any function
//!   of the guest is, and may wait itself;
//! * between two events, for a guest that the host calls ([`deliver`](super::deliver));
//! * running code, at its next loop or call, where the host chose the epoch: in
//!   [`Guest::run`](super::Guest::run) alone.
//!
//! The last is the hard one. Code is interrupted at points that no compiler knows of, so it is done
//! only for programs that let the host see their stack ([`Stack`]). The engine calls the host there
//! and needs the result at once; there is no way to wait in the midst of it. So the handler is
//! polled to its end on the spot, and a call of it that would have to wait is driven there too: on
//! a thread that is the guest's own it blocks the thread; on an executor's, whose reactor may be
//! what it waits for, it fails with `EAGAIN`. A request to end the guest is honoured meanwhile.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::{
    AsContextMut as _, Caller, Extern, Global, Instance, Mutability, Store, StoreContextMut, ThrownException,
    TypedFunc, Val,
};

use super::WasockCtx;
use super::asyncify::drive;
use super::call_mode::{CallMode, Role};
use super::interrupt::{RunsOn, until_the_end, why_ended};
use super::outcome::{by_signal, describe_trap, error_of, is_mistake, is_trap};
use crate::error::{Errno, Exit, Jump};
use crate::io::block_on;
use crate::observe::Event;
use crate::process::{PendingSignals, Signal, SignalDelivery, SignalSender, Thread};
use crate::ready::interrupting;
use crate::service::Report;

/// Runs a call to its end; its waits end when there is a signal to handle.
pub(super) async fn see_through<R>(
    pending_signals: &PendingSignals,
    runs_on: Option<&RunsOn>,
    call: Pin<&mut (impl Future<Output = wasmtime::Result<R>> + Send)>,
) -> wasmtime::Result<R> {
    match runs_on {
        None => pending_signals.waiting(call).await.unwrap_or_else(|| Err(why_ended(pending_signals))),
        Some(runs_on) => see_through_here(pending_signals, runs_on, call),
    }
}

/// As [`see_through`], where the caller can't wait.
#[cold]
fn see_through_here<R>(
    pending_signals: &PendingSignals,
    runs_on: &RunsOn,
    call: Pin<&mut (dyn Future<Output = wasmtime::Result<R>> + Send)>,
) -> wasmtime::Result<R> {
    let mut call = call;
    match runs_on {
        // What waits for no reactor, a file operation, is waited for.
        RunsOn::Executor => {
            block_on(poll_fn(|context| interrupting(Errno::EAGAIN, || call.as_mut().poll(context))))?
        }
        RunsOn::OwnThread(threads) => {
            let done =
                block_on(until_the_end(threads, pending_signals.tid(), pending_signals.waiting(call)))?;
            done.flatten().unwrap_or_else(|| Err(why_ended(pending_signals)))
        }
    }
}

/// A handler to call.
struct Due {
    signal: Signal,
    callback: Arc<str>,
    /// The signal's number, as the program has it.
    number: i32,
    sender: SignalSender,
}

/// The next handler to call.
///
/// # Errors
///
/// The guest's end, where that is what a signal does.
fn next(pending_signals: &PendingSignals) -> wasmtime::Result<Option<Due>> {
    loop {
        match pending_signals.next() {
            None => return Ok(None),
            Some(SignalDelivery::End(ending)) => return Err(error_of(ending)),
            Some(SignalDelivery::Handle { signal, callback, sender }) => match pending_signals.number(signal)
            {
                Some(number) => {
                    return Ok(Some(Due { signal, callback, number: number.cast_signed(), sender }));
                }
                // The program's numbers have none for it.
                None => pending_signals.finished(signal),
            },
        }
    }
}

/// The handler has ended.
///
/// # Errors
///
/// How it ended, if it did not return. An exception that it threw goes on in the code that was
/// interrupted, and so does a jump: that is how a C library leaves a handler by `longjmp`.
///
/// WASIX's C library does the default action of a signal by an abort, in a handler that the
/// program knows nothing of: it is the signal that has ended the guest. That an abort is a trap or
/// the exit code 127 is the library's affair.
fn finished(
    pending_signals: &PendingSignals,
    due: &Due,
    report: &Report,
    outcome: wasmtime::Result<()>,
) -> wasmtime::Result<()> {
    pending_signals.finished(due.signal);
    let Err(error) = outcome else { return Ok(()) };
    if error.is::<ThrownException>() || error.is::<Jump>() {
        return Err(error);
    }
    let exit = error.downcast_ref::<Exit>().map(|exit| exit.0);
    let has_aborted = exit.is_some_and(|code| pending_signals.is_abort(due.signal, code));
    match due.sender {
        SignalSender::Host if has_aborted || is_trap(&error) => {
            pending_signals.survive_pipe();
            Ok(())
        }
        SignalSender::Operator if due.signal.ends() && (has_aborted || is_mistake(&error)) => {
            let trap = if has_aborted { "it aborted".to_owned() } else { describe_trap(&error) };
            report.tell(Event::HandlerTrapped { signal: due.signal.name(), trap });
            Err(by_signal(due.signal))
        }
        _ if due.signal.ends() && has_aborted => Err(by_signal(due.signal)),
        _ => Err(error),
    }
}

/// What a thread has to handle after a call: a callback that it named, then its signals.
///
/// # Errors
///
/// Those of the handlers: their traps, and the end of the thread or the program.
#[cold]
pub(super) async fn handle<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasockCtx,
    calls: CallMode,
) -> wasmtime::Result<()> {
    if let Some(named) = get(caller.data_mut()).thread.named_callback.take() {
        look_up(caller, &get, &named?);
    }
    let ctx = get(caller.data_mut());
    let (pending_signals, report) =
        (ctx.interrupts.pending_signals.clone(), Arc::clone(ctx.thread.process().report()));
    while let Some(due) = next(&pending_signals)? {
        let outcome = match find(caller, &due.callback) {
            ExportLookup::Handler(handler) => {
                drive(&mut *caller, &get, calls, &handler, due.number, Role::Callback).await
            }
            // Every instance of a module has the same exports.
            ExportLookup::Nothing | ExportLookup::Misfit => Ok(()),
        };
        finished(&pending_signals, &due, &report, outcome)?;
    }
    Ok(())
}

/// As [`handle`], in a store that does not run async: on the spot.
///
/// # Errors
///
/// As for [`handle`].
#[cold]
pub(super) fn handle_here<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasockCtx,
    calls: CallMode,
) -> wasmtime::Result<()> {
    let interrupts = get(caller.data_mut()).interrupts.clone();
    interrupts.run_here(handle(caller, get, calls))
}

/// What a name stands for.
enum ExportLookup {
    Handler(TypedFunc<i32, ()>),
    Misfit,
    Nothing,
}

fn find<T: 'static>(caller: &mut Caller<'_, T>, name: &str) -> ExportLookup {
    match caller.get_export(name) {
        Some(Extern::Func(function)) => {
            function.typed(&*caller).map_or(ExportLookup::Misfit, ExportLookup::Handler)
        }
        Some(_) => ExportLookup::Misfit,
        None => ExportLookup::Nothing,
    }
}

/// Takes up a callback, or has signals blocked where the name is of no handler.
fn look_up<T: 'static>(caller: &mut Caller<'_, T>, get: &impl Fn(&mut T) -> &mut WasockCtx, name: &str) {
    let found = find(caller, name);
    let ctx = get(caller.data_mut());
    match found {
        ExportLookup::Handler(_) => ctx.interrupts.pending_signals.name_callback(Some(name)),
        ExportLookup::Nothing => ctx.interrupts.pending_signals.name_callback(None),
        ExportLookup::Misfit => {
            ctx.interrupts.pending_signals.name_callback(None);
            let process = ctx.thread.process();
            if process.signals().is_first_misfit() {
                process.report().tell(Event::NotAHandler { name: name.to_owned() });
            }
        }
    }
}

/// Handles what signals there are between two calls of the guest.
///
/// # Errors
///
/// Those of the handlers.
pub(super) async fn handle_between<T: Send + 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    thread: &Thread,
    calls: CallMode,
) -> wasmtime::Result<()> {
    while let Some(due) = next(&thread.pending_signals)? {
        let outcome = match instance.get_typed_func::<i32, ()>(&mut *store, &due.callback) {
            Ok(handler) => calls.call(&mut *store, &handler, due.number, Role::Callback).await,
            Err(_) => Ok(()),
        };
        finished(&thread.pending_signals, &due, thread.process().report(), outcome)?;
    }
    Ok(())
}

/// Handles what signals there are in the midst of running code.
///
/// # Errors
///
/// Those of the handlers; [`Trap::Interrupt`](wasmtime::Trap::Interrupt) where the guest is to end meanwhile.
pub(super) fn handle_on(
    context: &mut StoreContextMut<'_, WasockCtx>,
    runs_on: &RunsOn,
) -> wasmtime::Result<()> {
    let ctx = context.data();
    // Its stack is being put aside or restored: the call that does it handles them when it returns.
    if !ctx.interrupts.pending_signals.is_due() || ctx.thread.unwinding.is_moving {
        return Ok(());
    }
    let (pending_signals, report) =
        (ctx.interrupts.pending_signals.clone(), Arc::clone(ctx.thread.process().report()));
    let Some(instance) = ctx.instance else { return Ok(()) };
    // Otherwise it handles them at its next call that may wait.
    let Some(stack) = Stack::of(&instance, context) else { return Ok(()) };
    while let Some(due) = next(&pending_signals)? {
        let outcome = match instance.get_typed_func::<i32, ()>(&mut *context, &due.callback) {
            Ok(handler) => {
                stack.leave_red_zone(context)?;
                let outcome = call_on(context, &handler, due.number, runs_on);
                stack.restore(context)?;
                outcome
            }
            Err(_) => Ok(()),
        };
        finished(&pending_signals, &due, &report, outcome)?;
    }
    Ok(())
}

/// What compilers use below the stack pointer, without moving it, in a function that
/// calls no other: LLVM's `RedZoneSize` for WebAssembly.
const RED_ZONE: i32 = 128;

/// The stack that compiled code has in its memory. A function that is interrupted in the
/// midst may have something in its red zone, which a handler would overwrite.
struct Stack {
    pointer: Global,
    value: i32,
}

impl Stack {
    /// The stack of a program that lets the host see it, as WASIX programs do.
    fn of(instance: &Instance, context: &mut StoreContextMut<'_, WasockCtx>) -> Option<Self> {
        let pointer = instance.get_global(&mut *context, "__stack_pointer")?;
        let is_variable = pointer.ty(&*context).mutability() == Mutability::Var;
        let value = pointer.get(&mut *context).i32().filter(|_| is_variable)?;
        Some(Self { pointer, value })
    }

    fn leave_red_zone(&self, context: &mut StoreContextMut<'_, WasockCtx>) -> wasmtime::Result<()> {
        // The ABI's alignment is kept.
        let below = self.value.wrapping_sub(RED_ZONE) & !15;
        self.pointer.set(&mut *context, Val::I32(below))
    }

    fn restore(&self, context: &mut StoreContextMut<'_, WasockCtx>) -> wasmtime::Result<()> {
        self.pointer.set(&mut *context, Val::I32(self.value))
    }
}

fn call_on(
    context: &mut StoreContextMut<'_, WasockCtx>,
    handler: &TypedFunc<i32, ()>,
    number: i32,
    runs_on: &RunsOn,
) -> wasmtime::Result<()> {
    let interrupts = context.data().interrupts.clone();
    let before = context.data_mut().runs_on.replace(runs_on.clone());
    // The engine has put away the callback for the epoch while it is called. Instead, the
    // handler yields.
    context.epoch_deadline_async_yield_and_update(1);
    context.set_epoch_deadline(1);
    let call = drive(context.as_context_mut(), |ctx| ctx, CallMode::Async, handler, number, Role::Callback);
    let outcome = interrupts.run_here(call);
    context.data_mut().runs_on = before;
    outcome
}
