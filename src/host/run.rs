//! Running a guest from its start to its end.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::{Engine, Instance, Linker, SharedMemory, Store};

use super::asyncify::{drive, resume};
use super::call_mode::{CallMode, Role};
#[cfg(feature = "components")]
use super::component::run_component;
use super::deliver::EventLoop;
use super::epoch::{Epochs, Ticker};
use super::epoch_interrupt::look_up_at_epochs;
use super::family::{LinkedProgram, Programs, end_of_first, replacement};
use super::guest_memory::GuestMemoryHandle;
use super::handlers::handler_names;
use super::interrupt::RunsOn;
use super::limiter;
use super::limits::{EnforcedLimits, contained};
use super::link::add_missing_to_linker;
use super::linked::{Imports, Linked};
use super::outcome::{Ended, Outcome, describe_trap, is_mistake, outcome_of};
use super::restart::{Backoff, MAX_SHORT_LIVES, Next};
use super::stub::link_unknown_imports;
use super::template::Template;
use super::threads::{self, RunMode};
use super::unwinder::ForkedState;
use super::{Guest, OnTrap, WasockCtx};
use crate::abi::{Import, imported_memory};
use crate::account::{Account, Charge};
use crate::error::{Terminated, ThreadExit};
use crate::io::sleep;
use crate::observe::{Event, Limit};
use crate::process::{Ending, MAIN, Process};
use crate::service::Report;

impl Guest {
    /// Runs the guest: instantiates it, calls `_start`, and then its handlers as
    /// [`deliver_events`](super::deliver_events) says.
    ///
    /// A module with handlers may have `_initialize` instead of `_start`, or neither. A
    /// module without handlers ends when `_start` returns. When a handler traps, the
    /// guest stops or starts anew, as [`WasockCtxBuilder::on_trap`](super::WasockCtxBuilder::on_trap) says: at
    /// once the first time, then after 100 ms, doubling to 10 s, and at once again after an
    /// instance that lived for 10 s. After five instances in a row that lived less than a
    /// second each, this returns the trap of the last.
    ///
    /// Imports that the host lacks fail with `ENOSYS`, and each is reported to the observer
    /// once.
    ///
    /// [`Handle::terminate`](super::Handle::terminate) ends the guest, and what an increment
    /// of the engine's epoch does is for [`Guest::epochs`] to say. The
    /// [time](super::WasockCtxBuilder::timeout) and the [processor time](super::WasockCtxBuilder::max_cpu_time)
    /// that the guest may take are counted from here on, restarts included.
    ///
    /// A module that imports a call to start threads, and the memory that they share, runs on
    /// threads of the host's, one for each of its own; this future only waits for them. A guest with one
    /// thread runs where the future is polled, or on a [thread of its own](Self::own_thread). The first thread to end the
    /// program decides how it ended. All others have ended when this returns, but
    /// for the waiters in `memory.atomic.wait` in a memory so large that their address is
    /// not found within 50 ms of processor time. These are
    /// [left behind](super::Handle::threads_left_behind), each with its thread of the host's and
    /// the memory, and can do nothing more. In an engine whose epoch wasock does not manage,
    /// threads that compute are left behind too, and go on up to the embedder's next increment: an
    /// engine of [`new_engine`](Self::new_engine) is the better one for guests with threads.
    ///
    /// A panic of the host's, in the guest's own thread or in a task that works for it, ends
    /// the guest with [`Terminated::HostPanic`](crate::Terminated::HostPanic), and no other guest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the guest; everything it had open is closed. Threads of its
    /// own end a moment later, and the drop waits for none of them.
    ///
    /// # Errors
    ///
    /// Where the module needs more memory at its start than
    /// [`WasockCtxBuilder::max_memory`](super::WasockCtxBuilder::max_memory) allows, imports from
    /// an unknown module (the message lists all of them), has no `_start`, exports a handler that
    /// the host can't call, or traps (the error holds the backtrace);
    /// [`Terminated`](crate::Terminated) where the host has ended it.
    pub async fn run(&self, ctx: WasockCtx) -> wasmtime::Result<Ended> {
        self.run_with(&Linker::new(self.module().engine()), ctx).await
    }

    /// As [`run`](Self::run), with what `linker` defines besides: an embedder's own functions, in the
    /// place of the host's where they have the same name. They are called on the thread that
    /// runs the guest, and in a guest with threads on each of these. They may be async: a module that
    /// imports one of the linker's definitions runs on fibers, on its own threads too.
    ///
    /// The shared memory that a program with threads imports is the host's to make.
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run); where `linker` is of another engine than the module, or
    /// defines the memory.
    pub async fn run_with(&self, linker: &Linker<WasockCtx>, ctx: WasockCtx) -> wasmtime::Result<Ended> {
        let end = EndOfRun(Arc::clone(ctx.thread.process()));
        let ticker = (self.epochs == Epochs::Managed).then(|| Ticker::of(self.module().engine()));
        if let Some(ticker) = ticker.clone() {
            end.0.signals().set_epoch_interrupt(Arc::new(move || ticker.request()));
        }
        let _limits = EnforcedLimits::enforce(&end.0, ticker).map_err(wasmtime::Error::new)?;
        #[cfg(feature = "components")]
        if let Some(program) = &self.component {
            return contained(&end.0, run_component(self, program, ctx)).await;
        }
        let launcher = Arc::new(Programs::new(self, linker, Template::of(&ctx)));
        end.0.family().set_launcher(launcher);
        let ended = contained(&end.0, self.run_instances(linker, ctx)).await;
        end_of_first(&end.0).await;
        ended
    }

    /// One instance after another, until one has not trapped in a handler.
    async fn run_instances(&self, linker: &Linker<WasockCtx>, mut ctx: WasockCtx) -> wasmtime::Result<Ended> {
        let linked = self.link(linker, ctx.thread.process().report())?;
        let mut program = Arc::new(LinkedProgram::new(self.clone(), linked));
        let mut backoff = Backoff::default();
        loop {
            if program.guest.is_go() {
                ctx.thread.process().make_inherited_nonblocking();
            }
            let next = ctx.successor();
            let started = Instant::now();
            let trap = match program.run_once(ctx, None).await? {
                Outcome::Replaced => {
                    program = replacement(next.thread.process())?;
                    ctx = next;
                    continue;
                }
                Outcome::Trapped(trap) if next.on_trap == OnTrap::Stop => return Err(trap),
                Outcome::Trapped(trap) => trap,
                outcome => return outcome.last(),
            };
            let process = next.thread.process();
            match backoff.failed(started.elapsed()) {
                Next::StartAfter(after) => {
                    process.family().end_children();
                    process.family().children_gone().await;
                    process.restart().map_err(wasmtime::Error::new)?;
                    process.report().tell(Event::Restarted { trap: describe_trap(&trap), after });
                    // Clients of the sockets that the guest is given wait in their queues.
                    tokio::select! {
                        () = sleep(after) => {}
                        // The next instance ends at once by it.
                        _ = process.signals().ended() => {}
                    }
                }
                Next::GiveUp => {
                    process.report().tell(Event::GaveUp { instances: MAX_SHORT_LIVES });
                    return Err(trap);
                }
            }
            ctx = next;
        }
    }

    /// Resolves the imports, once for all instances, and reports those that the host lacks.
    pub(super) fn link(&self, linker: &Linker<WasockCtx>, report: &Report) -> wasmtime::Result<Linked> {
        let (linked, missing) = self.resolve(linker)?;
        for import in missing {
            report.tell(Event::Stubbed { module: import.module, name: import.name });
        }
        Ok(linked)
    }

    /// Resolves the imports, and returns those that the host lacks.
    pub(super) fn resolve(&self, linker: &Linker<WasockCtx>) -> wasmtime::Result<(Linked, Vec<Import>)> {
        let mut linker = linker.clone();
        linker.allow_shadowing(false);
        let calls = add_missing_to_linker(&mut linker, self.module(), self.calls())?;
        let missing = link_unknown_imports(&mut linker, self.module())?;
        if imported_memory(self.module()).is_some() {
            return Ok((Linked { calls, imports: Imports::ButForMemory(linker) }, missing));
        }
        let whole = linker.instantiate_pre(self.module())?;
        Ok((Linked { calls, imports: Imports::Whole(whole) }, missing))
    }

    /// How the guest's code is to run: on fibers where it has handlers of events, for it waits
    /// between their calls.
    fn calls(&self) -> CallMode {
        let has_threads = self.detected().threads && imported_memory(self.module()).is_some();
        if (has_threads || self.has_own_thread) && handler_names(self.module()).is_empty() {
            CallMode::OwnThread
        } else {
            CallMode::Async
        }
    }

    /// One instance, from its start to its end.
    ///
    /// It begins as the instance of which `forked` is the state, if there is one.
    pub(super) async fn run_once(
        &self,
        linked: &Linked,
        mut ctx: WasockCtx,
        mut forked: Option<ForkedState>,
    ) -> wasmtime::Result<Outcome> {
        let engine = self.module().engine();
        ctx.adapt_to(self.module());
        ctx.memory.set_only_instance();
        ctx.limiter.shared_growth = self.shared_growth;
        let process = Arc::clone(ctx.thread.process());
        let memory = self.imported_memory(engine, process.memory())?;
        if let Some((memory, _)) = &memory {
            ctx.set_shared_memory(memory.clone());
        }
        let mut store = Store::new(engine, ctx);
        store.limiter(|ctx| ctx.limiter());
        if let (Some((memory, _)), Some(state)) = (&memory, &mut forked) {
            state.write_imported(&GuestMemoryHandle::Shared(memory.clone()), &mut store)?;
        }
        let pre = match (&linked.imports, &memory) {
            (Imports::Whole(pre), _) => pre.clone(),
            (Imports::ButForMemory(linker), memory) => {
                let mut linker = linker.clone();
                if let (Some((memory, _)), Some((import, _))) = (memory, imported_memory(self.module())) {
                    linker.define(&store, &import.module, &import.name, memory.clone())?;
                }
                linker.instantiate_pre(self.module())?
            }
        };
        let calls = linked.calls;
        // For as long as the guest runs.
        let (shared, _memory) = if self.detected().threads { (memory, None) } else { (None, memory) };
        // A child has nobody else's thread to run on.
        if shared.is_some() || calls == CallMode::OwnThread || process.pid() != MAIN {
            let guest = self.clone();
            let main = async move |store: &mut Store<WasockCtx>, instance: &Instance| {
                guest.live(store, instance, process, calls, forked).await
            };
            let mode = RunMode { epochs: self.epochs, calls };
            // Each thread has a store of its own, which is made where it runs.
            return threads::run(pre, shared, store.into_data(), mode, main).await;
        }
        if let Err(error) = look_up_at_epochs(&mut store, RunsOn::Executor, self.epochs) {
            return outcome_of(Err(error));
        }
        store.data_mut().limiter.begin_start()?;
        let begun = Instant::now();
        let made = pre.instantiate_async(&mut store).await;
        process.report().counted_instantiation(begun.elapsed());
        let (instance, _) = store.data_mut().limiter.end_start(made)?;
        store.data_mut().instance = Some(instance);
        self.live(&mut store, &instance, process, calls, forked).await
    }

    /// Runs an instance from its start to its end.
    async fn live(
        &self,
        store: &mut Store<WasockCtx>,
        instance: &Instance,
        process: Arc<Process>,
        calls: CallMode,
        forked: Option<ForkedState>,
    ) -> wasmtime::Result<Outcome> {
        let mut event_loop = EventLoop::new(store, instance, process, calls)?;
        let started = match forked {
            Some(state) => self.go_on(store, instance, calls, state).await,
            None => self.start(store, instance, calls).await,
        };
        let started = match started {
            Ok(()) => event_loop.begin(store).await,
            Err(error) => Err(error),
        };
        match started {
            // The program goes on without its first thread.
            Err(error) if error.is::<ThreadExit>() && self.detected().threads => return Err(error),
            Err(error) => return outcome_of(Err(error)),
            Ok(()) => {}
        }
        match event_loop.go_on(store).await {
            Err(error) if is_mistake(&error) => Ok(Outcome::Trapped(error)),
            outcome => outcome_of(outcome),
        }
    }

    /// Goes on in the function in which the thread has begun that was copied, where the instance was of which
    /// `state` is.
    async fn go_on(
        &self,
        store: &mut Store<WasockCtx>,
        instance: &Instance,
        calls: CallMode,
        state: ForkedState,
    ) -> wasmtime::Result<()> {
        let Some(entry) = store.data().entry else {
            let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
            return resume(store, calls, instance, &start, (), state).await;
        };
        // What it is called with is passed over: its locals are restored.
        let start = instance.get_typed_func::<(i32, i32), ()>(&mut *store, entry)?;
        resume(store, calls, instance, &start, (0, 0), state).await
    }

    /// Calls the start function of a program, or the one of a module with handlers.
    pub(super) async fn start(
        &self,
        store: &mut Store<WasockCtx>,
        instance: &Instance,
        calls: CallMode,
    ) -> wasmtime::Result<()> {
        if let Ok(start) = instance.get_typed_func::<(), ()>(&mut *store, "_start") {
            return drive(store, |ctx| ctx, calls, &start, (), Role::Entry).await;
        }
        if handler_names(self.module()).is_empty() {
            return Err(no_start());
        }
        match instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
            Ok(initialize) => drive(store, |ctx| ctx, calls, &initialize, (), Role::Entry).await,
            Err(_) => Ok(()),
        }
    }

    /// The names of the [handlers of events](super::deliver_events) that the module
    /// exports.
    pub fn handlers(&self) -> Vec<&'static str> {
        handler_names(self.module())
    }

    /// The shared memory that the module imports, made as it asks, as far as `account` allows.
    fn imported_memory(
        &self,
        engine: &Engine,
        account: &Arc<Account>,
    ) -> wasmtime::Result<Option<(SharedMemory, Charge)>> {
        let Some((_, ty)) = imported_memory(self.module()) else { return Ok(None) };
        limiter::shared_memory(engine, self.module(), &ty, account).map(Some)
    }
}

/// The message where there is nothing to call.
pub(super) fn no_start() -> wasmtime::Error {
    wasmtime::Error::msg(
        "the module exports no _start: it is a library; build it as a program (a command module)",
    )
}

/// The end of a run, also where its future is dropped: nothing of the guest's remains open,
/// even if a thread of it is left behind.
pub(super) struct EndOfRun(pub(super) Arc<Process>);

impl Drop for EndOfRun {
    fn drop(&mut self) {
        match self.0.signals().ended_by() {
            Some(Ending::Terminated(Terminated::Timeout(_))) => self.0.report().counted_limit(Limit::Timeout),
            Some(Ending::Terminated(Terminated::CpuTime(_))) => self.0.report().counted_limit(Limit::CpuTime),
            _ => {}
        }
        self.0.family().close(true);
        self.0.signals().forget_alarms();
        self.0.close_all();
        self.0.end();
    }
}
