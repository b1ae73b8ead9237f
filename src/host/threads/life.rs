//! The life of one thread: its store, its instance, its own code.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use wasmtime::{Instance, Store};

use super::super::WasockCtx;
use super::super::call_mode::{CallMode, Role};
use super::super::epoch_interrupt::look_up_at_epochs;
use super::super::interrupt::{RunsOn, until_the_end};
use super::super::limits::contained;
use super::super::outcome::{Outcome, outcome_of};
use super::end::ExitGuard;
use super::{RunMode, ThreadGroup, halves, stack_of};
use crate::error::{Errno, ThreadExit};
use crate::io::{ReservedThread, insist_on_memory, park_on, start_thread, start_thread_with_stack};
use crate::process::MAIN;

/// "PTHREAD_DESTRUCTOR_ITERATIONS ... 4": how often destructors may set values anew.
const DESTRUCTOR_ROUNDS: usize = 4;

impl ThreadGroup {
    /// Starts a thread of the host for that of `ctx`, or takes the one that is `reserved`. If `task` returns an
    /// outcome, that is the whole program's.
    pub(super) fn begin<F>(
        self: Arc<Self>,
        ctx: WasockCtx,
        reserved: Option<ReservedThread>,
        task: F,
    ) -> Result<(), Errno>
    where
        F: AsyncFnOnce(&mut Store<WasockCtx>, &Instance) -> wasmtime::Result<Option<Outcome>>
            + Send
            + 'static,
    {
        let name = format!("guest-{}", ctx.thread.id());
        let stack = stack_of(self.engine());
        let calls = self.mode.calls;
        let lives = move || {
            let pending_signals = ctx.thread.pending_signals.clone();
            let mut exit_guard = ExitGuard { group: self, pending_signals, outcome: None, has_lived: false };
            exit_guard.outcome = exit_guard.group.live(ctx, task);
            exit_guard.has_lived = true;
        };
        if let Some(reserved) = reserved {
            reserved.start(&name, lives);
            return Ok(());
        }
        match calls {
            CallMode::OwnThread => start_thread_with_stack(name, stack, lives),
            // The code has the stack of a fiber.
            CallMode::Async | CallMode::Blocking => start_thread(name, lives),
        }
    }

    /// The life of one thread: an outcome where it is the whole program's.
    fn live<F>(&self, ctx: WasockCtx, task: F) -> Option<wasmtime::Result<Outcome>>
    where
        F: AsyncFnOnce(&mut Store<WasockCtx>, &Instance) -> wasmtime::Result<Option<Outcome>>,
    {
        let (tid, RunMode { epochs, calls }) = (ctx.thread.tid, self.mode);
        let _counted = self.process.instance().usage().own_thread();
        // Where calls park the thread, all of it is one poll.
        let life = async move {
            let mut store = Store::new(self.engine(), ctx);
            let runs_on = RunsOn::OwnThread(Arc::clone(&self.threads));
            if let Err(ended) = look_up_at_epochs(&mut store, runs_on, epochs) {
                return meant(Err(ended));
            }
            store.limiter(|ctx| ctx.limiter());
            store.data_mut().limiter.begin_start()?;
            let begun = Instant::now();
            let made = calls.instantiate(&self.pre, &mut store).await;
            self.process.report().counted_instantiation(begun.elapsed());
            let (instance, needs) = store.data_mut().limiter.end_start(made)?;
            if self.process.pid() != MAIN {
                // What the parent and its other children need next may not fail.
                insist_on_memory().map_err(|_| wasmtime::Error::msg("the host has no memory left for it"))?;
            }
            self.instance_needs.store(needs, Relaxed);
            store.data_mut().instance = Some(instance);
            let ended = meant(task(&mut store, &instance).await);
            if let Ok(None) = ended {
                return meant(destroy_locals(&mut store, &instance, calls).await);
            }
            ended
        };
        let _inside = self.reactor.enter();
        park_on(until_the_end(&self.threads, tid, contained(&self.process, life)))?.transpose()
    }
}

/// What the end of one thread means: one that asked to end alone has, and the program
/// goes on; one that asked for the end of the program has it.
fn meant(outcome: wasmtime::Result<Option<Outcome>>) -> wasmtime::Result<Option<Outcome>> {
    match outcome {
        Err(error) if error.is::<ThreadExit>() => Ok(None),
        Err(error) => outcome_of(Err(error)).map(Some),
        outcome => outcome,
    }
}

/// Runs the destructors of the thread's own values.
async fn destroy_locals(
    store: &mut Store<WasockCtx>,
    instance: &Instance,
    calls: CallMode,
) -> wasmtime::Result<Option<Outcome>> {
    let Ok(destroy) =
        instance.get_typed_func::<(i32, i32, i32, i32), ()>(&mut *store, "_thread_local_destroy")
    else {
        return Ok(None);
    };
    for _ in 0..DESTRUCTOR_ROUNDS {
        let set = store.data_mut().thread.take_locals();
        for (user_data, value) in &set {
            let ((user_low, user_high), (low, high)) = (halves(*user_data), halves(*value));
            calls.call(&mut *store, &destroy, (user_low, user_high, low, high), Role::Callback).await?;
        }
        if set.is_empty() {
            break;
        }
    }
    Ok(None)
}
