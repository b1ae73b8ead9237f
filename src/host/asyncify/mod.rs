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

use std::sync::Arc;

use wasmtime::Caller;

use super::WasockCtx;
use super::call_mode::CallMode;
use crate::abi::StackAccess;
use crate::process::Left;
use control::{Control, Move, too_deep};

pub(super) use drive::drive;

/// The functions with which an instance unwinds itself, once they were looked for.
#[derive(Default)]
pub(super) enum Asyncify {
    /// No call has asked for them.
    #[default]
    Unknown,
    /// The module does not have all that it takes.
    Absent,
    Present(Arc<Control>),
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
///
/// # Errors
///
/// None but those of the engine.
pub(super) fn access<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
) -> wasmtime::Result<StackAccess> {
    let ctx = get(caller.data_mut());
    // Nobody would restore it: the embedder called the guest.
    if !ctx.thread.unwinding.is_entered() {
        return Ok(StackAccess::None);
    }
    if let Asyncify::Unknown = ctx.asyncify {
        let found = ctx.instance.and_then(|instance| Control::find(&mut *caller, get, &instance));
        let found = found.map_or(Asyncify::Absent, |control| Asyncify::Present(Arc::new(control)));
        get(caller.data_mut()).asyncify = found;
    }
    let Asyncify::Present(control) = &get(caller.data_mut()).asyncify else { return Ok(StackAccess::None) };
    let control = Arc::clone(control);
    let stack_pointer = control.stack_pointer(&mut *caller);
    if get(caller.data_mut()).thread.unwinding.is_returning()
        || control.area(&mut *caller, get, stack_pointer).is_some()
    {
        return Ok(StackAccess::Unwinds { stack_pointer });
    }
    Ok(StackAccess::Full)
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
    let area = control.area(&mut *caller, get, stack_pointer).ok_or_else(too_deep)?;
    control.begin(&mut *caller, area, 0)?;
    let tls_base = control.tls_base(&mut *caller);
    get(caller.data_mut()).thread.unwinding.begin(Left { stack_pointer, tls_base, area });
    control.make(&mut *caller, get, calls, Move::StartUnwind(area)).await
}
