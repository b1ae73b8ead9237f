//! The module of a generation, with all that is found out of it once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use wasmtime::{Instance, Linker, Store};

use super::super::call_mode::CallMode;
use super::super::deliver::EventLoop;
use super::super::epoch::{Epochs, Ticker};
use super::super::epoch_interrupt::give_way_at_epochs;
use super::super::guest_memory::MemorySource;
use super::super::handlers::{ON_ACCEPT, handler_names};
use super::super::outcome::{Ended, Outcome, ended};
use super::super::run::{Imports, Linked};
use super::super::service::Service;
use super::super::{Guest, WasockCtx};
use crate::error::Terminated;
use crate::io::{block_on, start_thread};
use crate::process::{ConnectionAs, GivenConnection, Personality};

/// A module that is linked, for as many instances as come.
pub(super) struct Program {
    guest: Guest,
    linked: Linked,
    personality: Personality,
    memory: MemorySource,
    shown_as: ConnectionAs,
    has_handlers: bool,
    ticker: Option<Arc<Ticker>>,
}

/// A program on its way, on a thread of its own: linking compiles nothing, but takes its time.
pub(super) struct Preparation {
    pub(super) number: u32,
    outcome: Arc<Mutex<Option<wasmtime::Result<Program>>>>,
}

impl Preparation {
    /// Begins to prepare `guest` as the generation `number`.
    ///
    /// # Errors
    ///
    /// Where the host can't start a thread.
    pub(super) fn start(service: &Service, guest: Guest, number: u32) -> wasmtime::Result<Self> {
        let outcome = Arc::new(Mutex::default());
        let prepared = Prepared { outcome: Arc::clone(&outcome), service: service.clone(), found: None };
        let prepares = move || {
            let mut prepared = prepared;
            let program = block_on(Program::prepare(&prepared.service, guest, number));
            prepared.found = Some(program.map_err(wasmtime::Error::new).flatten());
        };
        start_thread("wasock-prepare".to_owned(), prepares).map_err(wasmtime::Error::new)?;
        Ok(Self { number, outcome })
    }

    /// What came of it, once.
    pub(super) fn take(&self) -> Option<wasmtime::Result<Program>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Tells the service what came of it, also after a panic of the host's.
struct Prepared {
    outcome: Arc<Mutex<Option<wasmtime::Result<Program>>>>,
    service: Service,
    found: Option<wasmtime::Result<Program>>,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let failed = || Err(wasmtime::Error::new(Terminated::HostPanic("prepared a program")));
        let found = self.found.take().unwrap_or_else(failed);
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        self.service.inner().changed();
    }
}

impl Program {
    /// Links `guest`, and makes one instance of it, whose start is not called.
    ///
    /// # Errors
    ///
    /// Where it can't be linked, has not what is called, or needs more memory than it may have.
    async fn prepare(service: &Service, guest: Guest, number: u32) -> wasmtime::Result<Self> {
        let options = service.supervision().connections.as_ref();
        let shown_as = options.map(|options| options.shown_as).unwrap_or_default();
        let handlers = handler_names(guest.module());
        if shown_as == ConnectionAs::Event && !handlers.contains(&ON_ACCEPT) {
            return Err(wasmtime::Error::msg(format!(
                "the module exports no {ON_ACCEPT}, by which it would get its connection"
            )));
        }
        if handlers.is_empty() && guest.module().get_export("_start").is_none() {
            return Err(super::super::run::no_start());
        }
        let guest = guest.own_thread(false);
        let linked = guest.link(&Linker::new(guest.module().engine()), service.inner().report())?;
        let mut memory = MemorySource::of_any_instance();
        memory.learn(guest.module());
        memory.set_only_instance();
        let is_managed = guest.epochs == Epochs::Managed;
        let program = Self {
            personality: guest.detected().personality(),
            memory,
            shown_as,
            has_handlers: !handlers.is_empty(),
            ticker: is_managed.then(|| Ticker::of(guest.module().engine())),
            linked,
            guest,
        };
        program.probe(service, number).await?;
        Ok(program)
    }

    /// Makes an instance, as a proof that this can be done.
    async fn probe(&self, service: &Service, number: u32) -> wasmtime::Result<()> {
        if !self.is_alone() {
            return Ok(());
        }
        let instance = service.inner().instance_for_connection(number);
        let ctx = service.template().context(instance).map_err(wasmtime::Error::new)?;
        self.instantiate(ctx).await.map(drop)
    }

    /// What makes its running code check for what is due.
    pub(super) fn ticker(&self) -> Option<&Arc<Ticker>> {
        self.ticker.as_ref()
    }

    /// Has it one thread, on a fiber of the worker's?
    fn is_alone(&self) -> bool {
        self.linked.calls == CallMode::Async && matches!(self.linked.imports, Imports::Whole(_))
    }

    /// Runs an instance for one connection, from its start to its end.
    ///
    /// # Errors
    ///
    /// Those of [`Guest::run`].
    pub(super) async fn run(&self, ctx: WasockCtx, given: GivenConnection) -> wasmtime::Result<Ended> {
        if self.guest.is_go() {
            given.make_nonblocking();
        }
        if !self.is_alone() {
            drop(given);
            return match self.guest.run_once(&self.linked, ctx).await? {
                Outcome::Ended(ended) => Ok(ended),
                Outcome::Trapped(trap) => Err(trap),
            };
        }
        let process = Arc::clone(ctx.thread.process());
        let (mut store, instance) = self.instantiate(ctx).await?;
        if !self.has_handlers {
            drop(given);
            return ended(self.guest.start(&mut store, &instance, CallMode::Async).await);
        }
        let mut event_loop = EventLoop::new(&mut store, &instance, process, CallMode::Async)?;
        let life = async {
            self.guest.start(&mut store, &instance, CallMode::Async).await?;
            event_loop.begin(&mut store).await?;
            if self.shown_as == ConnectionAs::Event {
                event_loop.deliver(&mut store, given).await?;
            } else {
                drop(given);
            }
            event_loop.go_on(&mut store).await
        };
        ended(life.await)
    }

    /// A store with an instance, of which nothing runs yet but its module's start function.
    async fn instantiate(&self, mut ctx: WasockCtx) -> wasmtime::Result<(Store<WasockCtx>, Instance)> {
        let Imports::Whole(pre) = &self.linked.imports else {
            return Err(wasmtime::Error::msg("a module with threads has no instance by itself"));
        };
        ctx.memory = self.memory.clone();
        ctx.thread.adopt(self.personality);
        if self.has_handlers {
            ctx.thread.process().keep_changes();
        }
        ctx.limiter.shared_growth = self.guest.shared_growth;
        let mut store = Store::new(self.guest.module().engine(), ctx);
        store.limiter(|ctx| ctx.limiter());
        give_way_at_epochs(&mut store, self.guest.epochs)?;
        store.data_mut().limiter.begin_start()?;
        let begun = Instant::now();
        let made = pre.instantiate_async(&mut store).await;
        store.data().thread.process().report().counted_instantiation(begun.elapsed());
        let (instance, _) = store.data_mut().limiter.end_start(made)?;
        store.data_mut().instance = Some(instance);
        Ok((store, instance))
    }
}
