//! Guests that put their own stack aside and restore it.
//!
//! The pass `--asyncify` of Binaryen adds to each function of a module code that, while a global says so,
//! stores the function's locals in the guest's memory and returns (*unwinds*), or restores them and goes on
//! at the call where it was left (*rewinds*). It exports four functions that set the global. So the host, which
//! can't see the stack of compiled code, can have the guest take it down and build it up again.
//!
//! # One unwind and rewind
//!
//! * An import (`stack_checkpoint`) notes what it [wants](Unwind) and calls `asyncify_start_unwind` with an area
//!   of the guest's memory; what it returns is ignored ([`leave`]).
//! * Every function down to the one that the host called returns. [`drive`], which called it, finds the note,
//!   calls `asyncify_stop_unwind` and copies the frames out of the area: outside of the guest's memory they
//!   can't be forged.
//! * To restore them it copies them back, sets the stack pointer, calls `asyncify_start_rewind`, and calls the
//!   same function again. That goes on, past all that it has done, to the same call of the import.
//! * The import is called once more, calls `asyncify_stop_rewind` and returns what was [set](crate::process::Unwinding::return_with)
//!   for it ([`arrive`]).
//!
//! The pass checks the area's size only when it stops: what is too deep for it has written behind it by then.
//! That is the guest's own memory, and its end.
//!
//! # Jumps
//!
//! A jump to a checkpoint (`longjmp`) needs no unwind. It ends its call with an error, [`Jump`], which removes all
//! frames of the guest and of nested calls of the host up to the [`drive`] that the checkpoint was made in; that
//! one rewinds. So a jump out of a signal's handler works, even where that interrupted running code.
//!
//! # Nested calls
//!
//! A handler that the host calls in the midst of the guest's code is an activation of its own: what it unwinds
//! is its own frames, down to the host's call. A checkpoint in it can be jumped to while it runs.
//!
//! While frames are moving no other code of the guest's may run in that instance, so no handler is called then.

mod control;
mod drive;
mod fork;

use std::sync::Arc;

use wasmtime::{AsContextMut, Caller};

use super::WasockCtx;
use super::call_mode::CallMode;
use super::unwinder::{Asyncify, Control};
use crate::process::{Left, StackAccess};
use control::{Move, too_deep};

pub(super) use drive::{drive, resume};

/// The functions with which the only instance of a store unwinds itself, if its module has all that it takes.
fn control_of<T: 'static>(
    mut store: impl AsContextMut<Data = T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
) -> Option<Arc<Control>> {
    let mut context = store.as_context_mut();
    let ctx = get(context.data_mut());
    let instance = match &ctx.asyncify {
        Asyncify::Present(control) => return Some(Arc::clone(control)),
        Asyncify::Absent => return None,
        Asyncify::Unknown => ctx.instance?,
    };
    let found = Control::find(&mut context, get, &instance).map(Arc::new);
    get(context.data_mut()).asyncify = found.clone().map_or(Asyncify::Absent, Asyncify::Present);
    found
}

/// At the begin of a call: where the stack is being restored for it, that is done now.
///
/// # Errors
///
/// Where the guest traps.
pub(super) async fn arrive<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
    calls: CallMode,
) -> wasmtime::Result<()> {
    let ctx = get(caller.data_mut());
    let Asyncify::Present(control) = &ctx.asyncify else { return Ok(()) };
    if !ctx.thread.unwinding.is_returning() {
        return Ok(());
    }
    let control = Arc::clone(control);
    get(caller.data_mut()).thread.unwinding.begin_to_arrive();
    control.make(&mut *caller, get, calls, Move::StopRewind).await?;
    get(caller.data_mut()).thread.unwinding.arrive();
    Ok(())
}

/// What a call may do with the stack of the guest that makes it.
pub(super) fn access<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
) -> StackAccess {
    // Nobody would restore it: the embedder called the guest.
    if !get(caller.data_mut()).thread.unwinding.is_entered() {
        return StackAccess::None;
    }
    let Some(control) = control_of(&mut *caller, get) else { return StackAccess::None };
    let stack_pointer = control.stack_pointer(&mut *caller);
    let is_returning = get(caller.data_mut()).thread.unwinding.is_returning();
    if is_returning || control.area(&mut *caller, get, stack_pointer).is_some() {
        StackAccess::Unwinds { stack_pointer }
    } else {
        StackAccess::Full
    }
}

/// At the end of a call that wants the stack put aside: from now on the guest returns from all of its functions.
///
/// # Errors
///
/// Where the guest traps.
pub(super) async fn leave<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
    calls: CallMode,
) -> wasmtime::Result<()> {
    let Asyncify::Present(control) = &get(caller.data_mut()).asyncify else { return Ok(()) };
    let control = Arc::clone(control);
    let stack_pointer = control.stack_pointer(&mut *caller);
    let Some(area) = control.area(&mut *caller, get, stack_pointer) else { return Err(too_deep()) };
    control.begin(&mut *caller, area, 0)?;
    let tls_base = control.tls_base(&mut *caller);
    get(caller.data_mut()).thread.unwinding.begin(Left { stack_pointer, tls_base, area });
    control.make(&mut *caller, get, calls, Move::StartUnwind(area)).await
}
