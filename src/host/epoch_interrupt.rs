//! What code does when the engine's epoch interrupts it.

use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};

use super::WasockCtx;
use super::epoch::Epochs;
use super::interrupt::RunsOn;
use super::signal::handle_on;
use crate::error::Terminated;

/// Makes the code that `store` runs check at each increment of the epoch, and do what `epochs`
/// prescribes.
///
/// # Errors
///
/// The guest's end, where that has been ordered already.
pub(super) fn look_up_at_epochs(
    store: &mut Store<WasockCtx>,
    runs_on: RunsOn,
    epochs: Epochs,
) -> wasmtime::Result<()> {
    at_epochs(store, runs_on, epochs, || UpdateDeadline::Continue(1))
}

/// The same for code on a fiber, which besides gives way to what else its thread has to do.
///
/// # Errors
///
/// As for [`look_up_at_epochs`].
pub(super) fn give_way_at_epochs(store: &mut Store<WasockCtx>, epochs: Epochs) -> wasmtime::Result<()> {
    at_epochs(store, RunsOn::Executor, epochs, || UpdateDeadline::Yield(1))
}

fn at_epochs(
    store: &mut Store<WasockCtx>,
    runs_on: RunsOn,
    epochs: Epochs,
    next: fn() -> UpdateDeadline,
) -> wasmtime::Result<()> {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        if epochs == Epochs::EndGuest {
            return Err(Trap::Interrupt.into());
        }
        look_up(&mut context, &runs_on)?;
        Ok(next())
    });
    // What came before the deadline was set has not been seen.
    store.data().check_end()
}

fn look_up(context: &mut StoreContextMut<'_, WasockCtx>, runs_on: &RunsOn) -> wasmtime::Result<()> {
    if let RunsOn::OwnThread(threads) = runs_on {
        threads.gate.look();
    }
    let ctx = context.data();
    let process = ctx.thread.process();
    process.check_cpu_time();
    ctx.check_end()?;
    if let Some(clock) = process.handler_clock().filter(|clock| clock.is_over()) {
        return Err(wasmtime::Error::new(Terminated::Handler(clock.limit())));
    }
    handle_on(context, runs_on)
}
