//! The module of a generation, with all that is found out of it once.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Instance, Linker, Store};

use super::super::call_mode::CallMode;
use super::super::deliver::EventLoop;
use super::super::epoch::{Epochs, Ticker};
use super::super::epoch_interrupt::give_way_at_epochs;
use super::super::guest_memory::MemorySource;
use super::super::handlers::{ON_ACCEPT, ON_CLONE, handler_names};
use super::super::linked::{Imports, Linked};
use super::super::outcome::{Ended, Outcome, outcome_of};
use super::super::run::no_start;
use super::super::service::Service;
use super::super::snapshot::draws_randomness;
use super::super::template::Template;
use super::super::{Guest, WasockCtx};
use super::copies::LeftListener;
use super::families::Families;
use super::pulse::Pulse;
use crate::address::Address;
use crate::io::sleep;
use crate::process::{ConnectionAs, GivenConnection, Personality};

/// A module that is linked, for as many instances as come.
pub(super) struct Program {
    guest: Guest,
    linked: Linked,
    personality: Personality,
    memory: MemorySource,
    shown_as: ConnectionAs,
    has_handlers: bool,
    /// Is each instance a copy of one whose start has returned?
    is_copied: bool,
    /// The listeners that the start has left open, where they are copies.
    left: Vec<LeftListener>,
    /// Is a copy told that it is one?
    has_on_clone: bool,
    ticker: Option<Arc<Ticker>>,
    /// Where the module begins processes.
    families: Option<Families>,
}

impl Program {
    /// Links `guest`, and makes one instance of it, whose start is not called; or, where instances are copies,
    /// starts that one and links what it has become.
    ///
    /// # Errors
    ///
    /// Where it can't be linked, has not what is called, or needs more memory than it may have.
    pub(super) async fn prepare(
        service: &Service,
        pulse: &Pulse,
        template: &Template,
        guest: Guest,
        number: u32,
    ) -> wasmtime::Result<Self> {
        let options = service.supervision().connections.as_ref();
        let shown_as = options.map(|options| options.shown_as).unwrap_or_default();
        let limit = service.supervision().options.ready_timeout;
        let source = guest.source.clone();
        let program = Self::link(service, template, guest, shown_as)?;
        // Its start function may compute for ever.
        pulse.add(program.ticker());
        let Some(source) = source else {
            returns_within(limit, pulse, program.probe(template, number)).await?;
            return Ok(program);
        };
        let started = program.start_once(service, template, number, &source);
        let (copy, left) = returns_within(limit, pulse, started).await?;
        let engine = program.guest.module().engine();
        // Not by the embedder's compiler, which may keep what it makes: the copy has what the start has read or drawn.
        let copy = Guest::from_bytes(engine, Path::new("the copy of the module"), &copy);
        let copy =
            copy.map_err(wasmtime::Error::new)?.started_like(&program.guest).epochs(program.guest.epochs);
        let copied = Self { is_copied: true, left, ..Self::link(service, template, copy, shown_as)? };
        if !copied.has_on_clone && draws_randomness(copied.guest.module()) {
            tracing::warn!(
                "the module draws randomness and exports no {ON_CLONE}: what its start drew all copies have"
            );
        }
        pulse.add(copied.ticker());
        returns_within(limit, pulse, copied.probe(template, number)).await?;
        Ok(copied)
    }

    fn link(
        service: &Service,
        template: &Template,
        guest: Guest,
        shown_as: ConnectionAs,
    ) -> wasmtime::Result<Self> {
        if guest.is_component() {
            return Err(wasmtime::Error::msg(
                "an instance for each connection is made of a module only, and this is a component",
            ));
        }
        let handlers = handler_names(guest.module());
        if shown_as == ConnectionAs::Event && !handlers.contains(&ON_ACCEPT) {
            return Err(wasmtime::Error::msg(format!(
                "the module exports no {ON_ACCEPT}, by which it would get its connection"
            )));
        }
        if guest.source.is_some() && shown_as != ConnectionAs::Event {
            return Err(wasmtime::Error::msg(
                "a copy of a module whose start has returned gets its connection by an event, and in no other way",
            ));
        }
        if handlers.is_empty() && guest.module().get_export("_start").is_none() {
            return Err(no_start());
        }
        let guest = guest.own_thread(false);
        let linked = guest.link(&Linker::new(guest.module().engine()), service.inner().report())?;
        let mut memory = MemorySource::of_any_instance();
        memory.learn(guest.module());
        memory.set_only_instance();
        let is_managed = guest.epochs == Epochs::Managed;
        Ok(Self {
            personality: guest.detected().personality(),
            memory,
            shown_as,
            has_handlers: !handlers.is_empty(),
            is_copied: false,
            left: Vec::new(),
            has_on_clone: guest.module().get_export(ON_CLONE).is_some(),
            ticker: is_managed.then(|| Ticker::of(guest.module().engine())),
            families: Families::of(&guest, template)?,
            linked,
            guest,
        })
    }

    /// Does it begin processes?
    pub(super) fn has_families(&self) -> bool {
        self.families.is_some()
    }

    pub(super) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Makes an instance, as a proof that this can be done.
    async fn probe(&self, template: &Template, number: u32) -> wasmtime::Result<()> {
        if !self.is_alone() {
            return Ok(());
        }
        let instance = template.service.instance_for_connection(number);
        let ctx = template.context(instance).map_err(wasmtime::Error::new)?;
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

    /// Runs an instance for one connection, which came in at the listener at `local`, from its start to its end.
    ///
    /// # Errors
    ///
    /// Those of [`Guest::run`].
    pub(super) async fn run(
        &self,
        mut ctx: WasockCtx,
        given: GivenConnection,
        local: Option<&Address>,
    ) -> wasmtime::Result<Ended> {
        if self.guest.is_go() {
            given.make_nonblocking();
        }
        let Some(families) = &self.families else { return self.run_first(ctx, given, local).await?.last() };
        families.begin(&mut ctx);
        let process = Arc::clone(ctx.thread.process());
        let outcome = self.run_first(ctx, given, local).await;
        // It is large, and few instances need it.
        Box::pin(families.end(&process, outcome)).await?.last()
    }

    /// As [`run`](Self::run), up to the end of the first program of the first process.
    async fn run_first(
        &self,
        ctx: WasockCtx,
        given: GivenConnection,
        local: Option<&Address>,
    ) -> wasmtime::Result<Outcome> {
        if !self.is_alone() {
            drop(given);
            return Box::pin(self.guest.run_once(&self.linked, ctx, None)).await;
        }
        let (mut store, instance) = self.instantiate(ctx).await?;
        if self.has_handlers {
            return outcome_of(Box::pin(self.handle_events(&mut store, &instance, given, local)).await);
        }
        drop(given);
        outcome_of(self.guest.start(&mut store, &instance, CallMode::Async).await)
    }

    /// The life of an instance with handlers of events.
    async fn handle_events(
        &self,
        store: &mut Store<WasockCtx>,
        instance: &Instance,
        given: GivenConnection,
        local: Option<&Address>,
    ) -> wasmtime::Result<()> {
        let process = Arc::clone(store.data().thread.process());
        for left in &self.left {
            process.occupy(left.number).map_err(wasmtime::Error::new)?;
        }
        let listener = self.left.iter().find(|left| Some(&left.local) == local);
        let listener = listener.map_or(-1, |left| left.number.cast_signed());
        let mut event_loop = EventLoop::new(store, instance, process, CallMode::Async)?;
        let life = async {
            if !self.is_copied {
                self.guest.start(store, instance, CallMode::Async).await?;
            } else if self.has_on_clone {
                let on_clone = instance.get_typed_func::<(), ()>(&mut *store, ON_CLONE)?;
                on_clone.call_async(&mut *store, ()).await?;
            }
            event_loop.begin(store).await?;
            if self.shown_as == ConnectionAs::Event {
                event_loop.deliver(store, given, listener).await?;
            } else {
                drop(given);
            }
            event_loop.go_on(store).await
        };
        life.await
    }

    /// A store with an instance, of which nothing runs yet but its module's start function.
    pub(super) async fn instantiate(
        &self,
        mut ctx: WasockCtx,
    ) -> wasmtime::Result<(Store<WasockCtx>, Instance)> {
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

/// What `start` comes to, in which the module's own code runs on a thread that has nothing else to do.
///
/// # Errors
///
/// Those of `start`; where it takes longer than `limit`.
async fn returns_within<T>(
    limit: Duration,
    pulse: &Pulse,
    start: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    let mut start = pin!(start);
    tokio::select! {
        biased;
        started = poll_fn(|context| pulse.running(|| start.as_mut().poll(context))) => started,
        () = sleep(limit) => Err(wasmtime::Error::msg(format!(
            "the start of the module did not return within {limit:?} (--ready-timeout)"
        ))),
    }
}
