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
//! The last is the hard one. The engine asks there what is to be done and wants the
//! answer at once; there is no way to wait in the midst of it. So the handler is polled
//! to its end on the spot, and a call of it that would have to wait is driven there
//! too: on a thread that is the guest's own it stops the thread; on an executor's, whose
//! reactor may be what it waits for, it answers `EAGAIN`. The order to end the guest is
//! heard meanwhile.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::unconstrained;
use wasmtime::{AsContextMut as _, Caller, Extern, Instance, Store, StoreContextMut, Trap, TypedFunc};

use super::WasockCtx;
use super::deliver::Calls;
use super::threads::{nudges, until_the_end};
use crate::error::{Errno, Exit};
use crate::observe::Event;
use crate::process::{Delivery, Mailbox, Signal, Threads};
use crate::ready::{block_on, interrupting};

/// Where running code was interrupted for a handler.
#[derive(Clone)]
pub(crate) enum Within {
    /// On a thread of an executor.
    Executor,
    /// On a thread that is the guest's own, one of these.
    OwnThread(Arc<Threads>),
}

/// Sees a call to its end; its waits end when there is a signal to handle.
pub(super) async fn see_through<R>(
    mailbox: &Mailbox,
    within: Option<&Within>,
    call: impl Future<Output = wasmtime::Result<R>> + Send,
) -> wasmtime::Result<R> {
    let call = pin!(call);
    match within {
        None => mailbox.waiting(call).await,
        Some(within) => see_through_here(mailbox, within, call),
    }
}

/// As [`see_through`], where the caller can't wait.
#[cold]
fn see_through_here<R>(
    mailbox: &Mailbox,
    within: &Within,
    call: Pin<&mut (dyn Future<Output = wasmtime::Result<R>> + Send)>,
) -> wasmtime::Result<R> {
    let mut call = call;
    match within {
        // What waits for no reactor, a file operation, is waited for.
        Within::Executor => {
            block_on(poll_fn(|context| interrupting(Errno::EAGAIN, || call.as_mut().poll(context))))?
        }
        Within::OwnThread(threads) => {
            let done = block_on(until_the_end(threads, mailbox.tid(), mailbox.waiting(call)))?;
            done.unwrap_or_else(|| Err(Trap::Interrupt.into()))
        }
    }
}

/// The next handler to call: of which signal, by which name, with which number.
///
/// # Errors
///
/// The guest's end, where that is what a signal does.
fn next(mailbox: &Mailbox) -> wasmtime::Result<Option<(Signal, Arc<str>, i32)>> {
    loop {
        match mailbox.next() {
            None => return Ok(None),
            Some(Delivery::End(signal)) => return Err(Exit(signal.exit_code()).into()),
            Some(Delivery::Handle { signal, callback }) => match mailbox.number(signal) {
                Some(number) => return Ok(Some((signal, callback, number.cast_signed()))),
                // The program's numbers have none for it.
                None => mailbox.finished(signal),
            },
        }
    }
}

/// What a thread has to look at after a call: a callback that it named, then its signals.
///
/// # Errors
///
/// Those of the handlers: their traps, and the end of the thread or the program.
#[cold]
pub(super) async fn handle<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasockCtx,
    calls: Calls,
) -> wasmtime::Result<()> {
    if let Some(named) = get(caller.data_mut()).thread.named_callback.take() {
        look_up(caller, &get, &named?);
    }
    let mailbox = get(caller.data_mut()).mailbox.clone();
    while let Some((signal, callback, number)) = next(&mailbox)? {
        let outcome = match (find(caller, &callback), calls) {
            (Found::Handler(handler), Calls::Async) => handler.call_async(&mut *caller, number).await,
            (Found::Handler(handler), Calls::Blocking) => handler.call(&mut *caller, number),
            // Every instance of a module has the same exports.
            (Found::Nothing | Found::Misfit, _) => Ok(()),
        };
        mailbox.finished(signal);
        outcome?;
    }
    Ok(())
}

/// What a name stands for.
enum Found {
    Handler(TypedFunc<i32, ()>),
    Misfit,
    Nothing,
}

fn find<T: 'static>(caller: &mut Caller<'_, T>, name: &str) -> Found {
    match caller.get_export(name) {
        Some(Extern::Func(function)) => function.typed(&*caller).map_or(Found::Misfit, Found::Handler),
        Some(_) => Found::Misfit,
        None => Found::Nothing,
    }
}

/// Takes up a callback, or has signals blocked where the name is of no handler.
fn look_up<T: 'static>(caller: &mut Caller<'_, T>, get: &impl Fn(&mut T) -> &mut WasockCtx, name: &str) {
    let found = find(caller, name);
    let ctx = get(caller.data_mut());
    match found {
        Found::Handler(_) => ctx.mailbox.name_callback(Some(name)),
        Found::Nothing => ctx.mailbox.name_callback(None),
        Found::Misfit => {
            ctx.mailbox.name_callback(None);
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
    mailbox: &Mailbox,
    calls: Calls,
) -> wasmtime::Result<()> {
    while let Some((signal, callback, number)) = next(mailbox)? {
        let outcome = match (instance.get_typed_func::<i32, ()>(&mut *store, &callback), calls) {
            (Ok(handler), Calls::Async) => handler.call_async(&mut *store, number).await,
            (Ok(handler), Calls::Blocking) => handler.call(&mut *store, number),
            (Err(_), _) => Ok(()),
        };
        mailbox.finished(signal);
        outcome?;
    }
    Ok(())
}

/// Handles what signals there are in the midst of running code. `known` is how often
/// this host has incremented the epoch, as far as the code has heard.
///
/// # Errors
///
/// Those of the handlers; [`Trap::Interrupt`] where the guest is to end meanwhile.
pub(super) fn handle_within(
    context: &mut StoreContextMut<'_, WasockCtx>,
    within: &Within,
    known: &mut u64,
) -> wasmtime::Result<()> {
    let ctx = context.data();
    let Some(instance) = ctx.instance.filter(|_| ctx.mailbox.is_due()) else { return Ok(()) };
    let mailbox = ctx.mailbox.clone();
    while let Some((signal, callback, number)) = next(&mailbox)? {
        let outcome = match instance.get_typed_func::<i32, ()>(&mut *context, &callback) {
            Ok(handler) => call_within(context, &handler, number, within, known),
            Err(_) => Ok(()),
        };
        mailbox.finished(signal);
        outcome?;
    }
    Ok(())
}

/// Tells whether it was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Release);
    }
}

fn call_within(
    context: &mut StoreContextMut<'_, WasockCtx>,
    handler: &TypedFunc<i32, ()>,
    number: i32,
    within: &Within,
    known: &mut u64,
) -> wasmtime::Result<()> {
    let threads = Arc::clone(&context.data().thread.threads);
    let before = context.data_mut().within.replace(within.clone());
    // The engine has put away the callback for the epoch while it is called. Instead, the
    // handler gives way to the loop below.
    context.epoch_deadline_async_yield_and_update(1);
    context.set_epoch_deadline(1);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let outcome = {
        let mut call = pin!(unconstrained(handler.call_async(context.as_context_mut(), number)));
        loop {
            match call.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(outcome) => break outcome,
                // It waits in a function that is none of this host's.
                Poll::Pending if !woken.0.swap(false, Acquire) => {
                    break Err(wasmtime::Error::msg(
                        "the handler of a signal that interrupts running code waits in a function of the embedder's",
                    ));
                }
                Poll::Pending => {}
            }
            // It gave way to an epoch.
            let now = *nudges();
            if std::mem::replace(known, now) == now || threads.has_ended() {
                break Err(Trap::Interrupt.into());
            }
        }
    };
    context.data_mut().within = before;
    outcome
}
