//! The loop around a call of the guest's: it goes on with the guest as often as its stack was put aside or
//! restored.

use std::sync::Arc;

use wasmtime::{AsContextMut, Error, Instance, Store, Trap, TypedFunc, WasmParams, WasmResults};

use super::control::{Move, too_deep};
use super::control_of;
use super::fork::{fork, vfork};
use crate::error::{Errno, Jump, Replaced, Terminated};
use crate::host::WasockCtx;
use crate::host::call_mode::{CallMode, Role};
use crate::host::outcome::status_of_error;
use crate::host::unwinder::{Control, ForkedState};
use crate::process::{ExitStatus, Frames, Left, Thread, Unwind};

/// How the guest goes on.
struct Resumption {
    frames: Frames,
    /// What the call returns to which the frames lead.
    answer: Result<u64, Errno>,
}

/// Calls a function of the guest's, as [`CallMode::call`] does, and sees to what its calls want of its stack.
///
/// # Cancel safety
///
/// None: the instance can't be used any more.
///
/// # Errors
///
/// Those of the function; where its stack is too deep to be put aside.
pub(in crate::host) async fn drive<T, P, R>(
    mut store: impl AsContextMut<Data = T> + Send,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
    calls: CallMode,
    function: &TypedFunc<P, R>,
    parameters: P,
    role: Role,
) -> wasmtime::Result<R>
where
    T: Send + 'static,
    P: WasmParams + Sync + Copy,
    R: WasmResults + Sync,
{
    let on_fiber = calls == CallMode::Async || role == Role::Callback;
    let activation = get(store.as_context_mut().data_mut()).thread.unwinding.enter(on_fiber);
    let outcome = calls.call(&mut store, function, parameters, role).await;
    go_on(store, get, calls, function, parameters, activation, outcome).await
}

/// As [`drive`], for a function that is restored from `state` before it is called.
///
/// # Errors
///
/// Those of [`drive`]; where the instance can't be as that one was.
pub(in crate::host) async fn resume<P>(
    store: &mut Store<WasockCtx>,
    calls: CallMode,
    instance: &Instance,
    function: &TypedFunc<P, ()>,
    parameters: P,
    state: ForkedState,
) -> wasmtime::Result<()>
where
    P: WasmParams + Sync + Copy,
{
    let frames = state.write(store, instance)?;
    let activation = store.data_mut().thread.unwinding.enter(calls == CallMode::Async);
    let child = Resumption { frames, answer: Ok(0) };
    let mut store = store;
    let outcome = match rewind(&mut store, |ctx| ctx, calls, child).await {
        Ok(role) => calls.call(&mut *store, function, parameters, role).await,
        Err(error) => Err(error),
    };
    go_on(store, |ctx| ctx, calls, function, parameters, activation, outcome).await
}

/// Goes on with a call of the guest's that has come to `outcome`, to its end.
async fn go_on<T, P, R>(
    mut store: impl AsContextMut<Data = T> + Send,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
    calls: CallMode,
    function: &TypedFunc<P, R>,
    parameters: P,
    activation: u64,
    mut outcome: wasmtime::Result<R>,
) -> wasmtime::Result<R>
where
    T: Send + 'static,
    P: WasmParams + Sync + Copy,
    R: WasmResults + Sync,
{
    while let Some(resumption) = next(&mut store, get, calls, activation, &mut outcome).await {
        outcome = match rewind(&mut store, get, calls, resumption).await {
            Ok(role) => calls.call(&mut store, function, parameters, role).await,
            Err(error) => Err(error),
        };
    }
    get(store.as_context_mut().data_mut()).thread.unwinding.leave();
    outcome
}

/// How the guest goes on after `outcome`, if that is not its end. It becomes an error where the guest can't.
async fn next<T: Send + 'static, R>(
    store: &mut (impl AsContextMut<Data = T> + Send),
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
    calls: CallMode,
    activation: u64,
    outcome: &mut wasmtime::Result<R>,
) -> Option<Resumption> {
    let mut context = store.as_context_mut();
    let thread = &mut get(context.data_mut()).thread;
    let unwinding = &mut thread.unwinding;
    match outcome {
        Ok(_) => {
            let Some((wanted, left)) = unwinding.take_wanted() else {
                // The child that the thread is has returned from its start.
                let jump = unwinding.return_from_child().filter(|jump| jump.activation == activation)?;
                let _was_one = thread.leave_child(ExitStatus::Exited(0));
                return land(thread, jump);
            };
            match unwound(store, get, calls, wanted, left).await {
                Ok(resumption) => Some(resumption),
                Err(error) => {
                    *outcome = Err(error);
                    None
                }
            }
        }
        Err(error) => {
            if unwinding.is_leaving() && error.is::<Trap>() {
                // The area was the end of the memory.
                *outcome = Err(too_deep());
                return None;
            }
            if let Some(jump) = error.downcast_ref::<Jump>() {
                let jump = *jump;
                return if jump.activation == activation { land(thread, jump) } else { None };
            }
            let jump = unwinding.return_from_child().filter(|jump| jump.activation == activation)?;
            if error.is::<Terminated>() || error.downcast_ref() == Some(&Trap::Interrupt) {
                return None;
            }
            // One that executes a program goes on without the thread.
            if !error.is::<Replaced>() {
                let status = status_of_error(error);
                let _was_one = thread.leave_child(status);
            }
            land(thread, jump)
        }
    }
}

/// The guest goes on at the end of `jump`.
fn land(thread: &mut Thread, jump: Jump) -> Option<Resumption> {
    Some(Resumption { frames: thread.unwinding.land(jump)?, answer: Ok(jump.value) })
}

/// The guest has unwound, for `wanted`.
async fn unwound<T: Send + 'static>(
    store: &mut (impl AsContextMut<Data = T> + Send),
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
    calls: CallMode,
    wanted: Unwind,
    left: Left,
) -> wasmtime::Result<Resumption> {
    let control = control(store, get)?;
    let frames = put_aside(store, get, calls, &control, left).await?;
    let mut context = store.as_context_mut();
    let thread = &mut get(context.data_mut()).thread;
    match wanted {
        Unwind::Vfork => {
            let answer = vfork(thread, &frames);
            Ok(Resumption { frames, answer })
        }
        Unwind::Fork => {
            let answer = fork(store, get, calls, &control, &frames);
            Ok(Resumption { frames, answer })
        }
        Unwind::Checkpoint(number) => {
            let account = Arc::clone(thread.process().host_memory());
            let answer = thread.unwinding.keep(number, frames.clone(), &account).map(|()| 0);
            Ok(Resumption { frames, answer })
        }
    }
}

fn control<T: 'static>(
    store: &mut impl AsContextMut<Data = T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
) -> wasmtime::Result<Arc<Control>> {
    control_of(store, get).ok_or_else(|| Error::msg("the guest has unwound without a way to do so"))
}

/// Ends the unwind, and copies the frames out of the guest's memory.
async fn put_aside<T: Send + 'static>(
    store: &mut (impl AsContextMut<Data = T> + Send),
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
    calls: CallMode,
    control: &Control,
    left: Left,
) -> wasmtime::Result<Frames> {
    let stopped = control.make(&mut *store, get, calls, Move::StopUnwind).await;
    get(store.as_context_mut().data_mut()).thread.unwinding.arrive();
    stopped.map_err(|error| match error.downcast_ref() {
        Some(Trap::UnreachableCodeReached) => too_deep(),
        _ => error,
    })?;
    control.take(&mut *store, left)
}

/// Restores frames: the guest is called next, as the returned role.
async fn rewind<T: Send + 'static>(
    store: &mut (impl AsContextMut<Data = T> + Send),
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
    calls: CallMode,
    resumption: Resumption,
) -> wasmtime::Result<Role> {
    let control = control(store, get)?;
    let area = control.put(&mut *store, get, &resumption.frames)?;
    {
        let mut context = store.as_context_mut();
        let unwinding = &mut get(context.data_mut()).thread.unwinding;
        unwinding.return_with(resumption.answer);
    }
    control.make(&mut *store, get, calls, Move::StartRewind(area)).await?;
    let is_on_fiber = get(store.as_context_mut().data_mut()).thread.unwinding.is_on_fiber();
    Ok(if is_on_fiber { Role::Callback } else { Role::Entry })
}
