//! A service that starts, restarts, replaces and ends its instances.
//!
//! # How
//!
//! [`Service::run`] is one loop: it looks at how the instances stand, does what follows from that,
//! and sleeps until something changes or a time is over. What changes says so to the service
//! ([`changes`](crate::service::ServiceState::changes)): an instance listens, or has ended, or a retired one has
//! closed something. Orders (a reload, a drain) are left in [`Orders`](super::supervision::Orders) and change something too.
//! So an order of events that nobody thought of is looked at as any other.
//!
//! # The life of a generation
//!
//! ```text
//!             ready                 reload, drain               no connection left,
//!  Starting --------> Serving ---------------------> Draining -------------------> gone
//!     |                                                          or the deadline
//!     '--> gone: rolled back, where an instance ends or does not listen in time
//! ```
//!
//! The first generation serves from its start on.

mod builder;
mod generation;
mod instance;
mod limits;
mod status;

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::builder::BuildError;
use super::outcome::{Ended, reason};
use super::per_connection;
use super::service::Service;
use super::steps::{Step, drive};
use super::supervision::{Release, Reload, ReloadError, ReloadMode, Reply};
use super::template::Template;
use super::{Guest, Handle, WasockCtxBuilder};
use crate::address::Address;
use crate::error::Terminated;
use crate::observe::{DrainEnd, Event, Metrics};
use crate::process::Signal;

pub use builder::ServiceBuilder;
use generation::{Generation, Stage};
use instance::Outcome;

/// Stands for the generation before, where a sequential reload has ended that.
const FROM_NOTHING: u32 = 0;

impl Service {
    /// Runs `guest` as the first generation, until the service ends: by its instances, as
    /// [`Restart`](super::Restart) says, or by [`drain`](Self::drain). Each instance has a thread of its own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends every instance.
    ///
    /// # Errors
    ///
    /// Those of [`Guest::run`] for the instance that ended last.
    pub async fn run(&self, guest: Guest) -> wasmtime::Result<Ended> {
        if self.supervision().connections.is_some() {
            return per_connection::run(self, guest).await;
        }
        let mut supervisor = Supervisor::new(self.clone());
        supervisor.start_generation(Release { guest, template: self.template().clone() }, None);
        drive(self.inner().changes(), move |now| supervisor.step(now)).await
    }

    /// Starts `guest` as the next generation, and retires the one that serves when the new one is
    /// ready. Returns its number then. A reload that comes while another one is not done yet waits
    /// for that. A new generation is best in an engine of its own.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped, the reload goes on.
    ///
    /// # Errors
    ///
    /// See [`ReloadError`]: nothing has changed then, and the old generation goes on. In
    /// [`ReloadMode::Sequential`] it has been started anew.
    pub async fn reload(&self, guest: Guest) -> Result<u32, ReloadError> {
        self.order_reload(guest, None).await
    }

    /// The same, with other settings: its policy, limits, arguments, environment, directories and
    /// whatever else `ctx` says. The service keeps its observer and the sockets that were given to it
    /// ([`preopened_socket`](WasockCtxBuilder::preopened_socket),
    /// [`adoptable_socket`](WasockCtxBuilder::adoptable_socket)): what `ctx` has of those is dropped.
    /// Connections that were accepted before count towards the new limits, if they counted towards
    /// any.
    ///
    /// # Cancel safety
    ///
    /// As for [`reload`](Self::reload).
    ///
    /// # Errors
    ///
    /// As for [`reload`](Self::reload); [`ReloadError::Settings`].
    pub async fn reload_with(&self, guest: Guest, ctx: WasockCtxBuilder) -> Result<u32, ReloadError> {
        let refuse = |error: BuildError| ReloadError::Settings(error.to_string());
        let ctx = match &self.supervision().connections {
            Some(_) => ctx.for_connections().map_err(refuse)?,
            None => ctx,
        };
        let template = ctx.template_after(self.template());
        let template = template.map_err(refuse)?;
        self.order_reload(guest, Some(template)).await
    }

    async fn order_reload(&self, guest: Guest, template: Option<Template>) -> Result<u32, ReloadError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut orders = self.supervision().orders();
            if !orders.is_running || orders.drains {
                return Err(ReloadError::NotRunning);
            }
            orders.reloads.push_back(Reload { guest, template, reply });
        }
        self.inner().changed();
        answer.await.unwrap_or(Err(ReloadError::NotRunning))
    }

    /// Ends the service gracefully: nobody is let in any more, and [`run`](Self::run) returns once
    /// the connections have ended, or with what is left of them reset after the
    /// [time for that](ServiceBuilder::drain_timeout).
    pub fn drain(&self) {
        self.supervision().orders().drains = true;
        self.inner().changed();
    }

    /// What was counted so far.
    pub fn metrics(&self) -> Metrics {
        self.inner().report().metrics()
    }

    /// As [`Handle::flush_events`].
    ///
    /// # Blocking
    ///
    /// Stops its thread.
    pub fn flush_events(&self, limit: Duration) -> bool {
        self.inner().report().flush(limit)
    }

    /// Sends a signal to every instance, as [`Handle::signal`] does. SIGINT, SIGTERM and SIGQUIT,
    /// with which a user ends a program, are the end of the service where an instance exits by them
    /// or later: it does not start anew. One that handles them, lives on and traps does.
    pub fn signal(&self, signal: Signal) {
        {
            let mut orders = self.supervision().orders();
            orders.ends_living |= matches!(signal, Signal::Int | Signal::Term | Signal::Quit);
        }
        self.supervision().handles().iter().for_each(|handle| handle.signal(signal));
    }

    /// Does an instance handle signals? One that serves [one connection](ServiceBuilder::per_connection)
    /// does not count: a signal to the service is not its own.
    pub fn handles_signals(&self) -> bool {
        self.supervision().orders().live.iter().any(Handle::handles_signals)
    }

    /// Ends every instance at once, and the service with them: [`run`](Self::run) fails with
    /// [`Terminated::Order`].
    pub fn terminate(&self) {
        {
            let mut orders = self.supervision().orders();
            (orders.stops, orders.is_terminated) = (true, true);
        }
        // First of all: the process may end before each of them has.
        for handle in self.supervision().live.handles() {
            handle.reset_connections();
        }
        self.supervision().handles().iter().for_each(Handle::terminate);
        self.inner().changed();
    }
}

/// The loop of one [`Service::run`].
struct Supervisor {
    service: Service,
    /// The oldest first. At most one is starting, and it is the last.
    generations: Vec<Generation>,
    /// Who asked for the one that starts.
    reply: Option<Reply>,
    /// In a sequential reload: what starts once the old generation has ended.
    next: Option<(Release, Reply)>,
    /// What serves now, for where its successor fails.
    release: Option<Release>,
    /// How the last instance that mattered has ended.
    last: Option<Outcome>,
    is_draining: bool,
    /// Was it told to drain?
    is_ordered: bool,
}

impl Supervisor {
    fn new(service: Service) -> Self {
        service.supervision().orders().is_running = true;
        Self {
            service,
            generations: Vec::new(),
            reply: None,
            next: None,
            release: None,
            last: None,
            is_draining: false,
            is_ordered: false,
        }
    }

    fn tell(&self, event: Event) {
        self.service.inner().report().tell(event);
    }

    /// Does what is due.
    fn step(&mut self, now: Instant) -> Step {
        let (drains, stops, ends_living) = {
            let mut orders = self.service.supervision().orders();
            orders.looks = orders.looks.wrapping_add(1);
            (orders.drains, orders.stops, std::mem::take(&mut orders.ends_living))
        };
        if ends_living {
            self.generations.iter_mut().for_each(Generation::is_told_to_end);
            // What has not begun does not begin after that.
            if let Some((_, reply)) = self.next.take() {
                let _unheard = reply.send(Err(ReloadError::NotRunning));
            }
        }
        if drains && !self.is_draining {
            self.begin_to_drain(now);
            return Step::Again;
        }
        let mut has_changed = false;
        for generation in &mut self.generations {
            has_changed |= generation.collect(&self.service, now, stops || drains, &mut self.last);
        }
        has_changed |= self.settle_candidate(now);
        has_changed |= self.end_drained(now);
        has_changed |= self.begin_reload(now);
        has_changed |= self.end_with_what_drains();
        self.publish();
        if has_changed {
            return Step::Again;
        }
        if self.generations.is_empty() && self.next.is_none() {
            return Step::Done(self.outcome());
        }
        Step::Wait(self.generations.iter().filter_map(|it| it.next_look(now)).min())
    }

    /// How the service has ended.
    fn outcome(&mut self) -> Outcome {
        if self.service.supervision().orders().is_terminated {
            return Err(wasmtime::Error::new(Terminated::Order));
        }
        let last = if self.is_ordered { None } else { self.last.take() };
        last.unwrap_or(Ok(Ended { code: 0 }))
    }

    /// Says which instances there are.
    fn publish(&self) {
        let live = self.generations.iter().flat_map(Generation::handles).cloned().collect();
        let generations = self.generations.iter().map(Generation::view).collect();
        let mut orders = self.service.supervision().orders();
        (orders.live, orders.generations) = (live, generations);
    }

    /// Starts `release` as the next generation, in the place of the one with the number `before`.
    fn start_generation(&mut self, release: Release, before: Option<u32>) {
        let generation = Generation::start(&self.service, release.clone(), before);
        if before.is_none() {
            self.release = Some(release);
        }
        self.generations.push(generation);
        self.publish();
    }

    fn serving(&mut self) -> Option<&mut Generation> {
        self.generations.iter_mut().find(|it| matches!(it.stage, Stage::Serving))
    }

    /// Is the generation that starts ready, or a failure?
    fn settle_candidate(&mut self, now: Instant) -> bool {
        let Some(candidate) = self.generations.last() else { return false };
        let Stage::Starting { before, deadline } = candidate.stage else { return false };
        let number = candidate.number;
        if let Some(why) = candidate.failure() {
            self.roll_back(ReloadError::Ended(why));
            return true;
        }
        let (missing, has_any) = self.service.inner().missing(before, number);
        let is_late = now >= deadline;
        let old = self.generations.iter().find(|it| it.number == before && it.stage == Stage::Serving);
        let old_is_gone = old.is_none();
        // There is nowhere to listen for it only where the old one shows that by its own life.
        let needs_none = old.is_some_and(Generation::is_whole) && !self.service.inner().has_listened(before);
        let is_complete = missing.is_empty() && (has_any || needs_none);
        let Some(candidate) = self.generations.last_mut() else { return false };
        if !is_complete && !is_late {
            candidate.ready_since = None;
            return false;
        }
        // What lives is better than nothing, which is left of an old one that has ended for good.
        let is_alone = before != FROM_NOTHING && old_is_gone;
        if !is_complete && !has_any && !is_alone {
            self.roll_back(ReloadError::NotListening);
            return true;
        }
        // All of its workers serve before those of the old one stop.
        if !candidate.has_started_all() || !candidate.has_proved_itself(has_any || is_late, now) {
            return false;
        }
        self.take_over(now, missing);
        true
    }

    /// The generation that starts serves from now on, and those before it drain. It does not listen
    /// where something is `missing`.
    fn take_over(&mut self, now: Instant, missing: Vec<Address>) {
        let Some(candidate) = self.generations.last_mut() else { return };
        candidate.stage = Stage::Serving;
        candidate.handles().for_each(Handle::ready);
        let number = candidate.number;
        self.release = Some(candidate.release.clone());
        for generation in &mut self.generations {
            if generation.number != number {
                generation.retire(&self.service, now);
            }
        }
        self.service.inner().report().counted_reload(true);
        self.tell(Event::Reloaded { generation: number, missing });
        if let Some(reply) = self.reply.take() {
            let _unheard = reply.send(Ok(number));
        }
    }

    /// The generation that starts is ended: nothing has changed.
    fn roll_back(&mut self, why: ReloadError) {
        let (mut is_sequential, mut was_told) = (false, false);
        if let Some(candidate) = self.generations.last_mut() {
            was_told = candidate.has_ended_as_told();
            is_sequential = matches!(candidate.stage, Stage::Starting { before: FROM_NOTHING, .. });
            candidate.drop_at_once();
            let generation = candidate.number;
            self.service.inner().report().counted_reload(false);
            self.tell(Event::ReloadFailed { generation, why: why.to_string() });
        }
        let serves = self.generations.iter().any(|it| it.stage == Stage::Serving);
        if let Some(previous) =
            self.release.clone().filter(|_| is_sequential && !serves && !was_told && !self.is_draining)
        {
            self.start_generation(previous, None);
        }
        if let Some(reply) = self.reply.take() {
            let _unheard = reply.send(Err(why));
        }
    }

    /// Ends what has drained, and forgets what has ended.
    fn end_drained(&mut self, now: Instant) -> bool {
        for generation in &mut self.generations {
            generation.end_drained(&self.service, now, self.is_draining);
            // What could not even be started has no outcome.
            if let (Stage::Serving, Some(why), None) = (generation.stage, generation.failure(), &self.last) {
                self.last = Some(Err(wasmtime::Error::msg(why)));
            }
        }
        let before = self.generations.len();
        self.generations.retain(|generation| !generation.is_over());
        let has_changed = before != self.generations.len();
        if has_changed {
            self.service.inner().forget_but(|number| self.generations.iter().any(|it| it.number == number));
        }
        has_changed
    }

    /// Begins the reload that was asked for first, if none is on its way.
    fn begin_reload(&mut self, now: Instant) -> bool {
        let is_busy = self.generations.iter().any(|it| matches!(it.stage, Stage::Starting { .. }));
        if is_busy || self.is_draining {
            return false;
        }
        if self.next.is_some() {
            if !self.generations.is_empty() {
                return false;
            }
            return self.start_sequentially();
        }
        let Some(reload) = self.service.supervision().orders().reloads.pop_front() else {
            return false;
        };
        let Reload { guest, template, reply } = reload;
        if self.generations.is_empty() {
            let _unheard = reply.send(Err(ReloadError::NotRunning));
            return true;
        }
        let template = template.or_else(|| self.release.as_ref().map(|release| release.template.clone()));
        let template = template.unwrap_or_else(|| self.service.template().clone());
        let release = Release { guest, template };
        if self.service.supervision().options.reload_mode == ReloadMode::Sequential {
            self.next = Some((release, reply));
            for generation in &mut self.generations {
                generation.retire_for_successor(&self.service, now);
            }
            return true;
        }
        self.make_room(now);
        self.reply = Some(reply);
        let before = self.serving().map_or(FROM_NOTHING, |it| it.number);
        self.start_generation(release, Some(before));
        true
    }

    /// Nothing else runs: the next generation starts at the held sockets.
    fn start_sequentially(&mut self) -> bool {
        let Some((release, reply)) = self.next.take() else { return false };
        self.reply = Some(reply);
        self.start_generation(release, Some(FROM_NOTHING));
        true
    }

    /// Ends the generation that has drained longest, where there are as many as there may be.
    fn make_room(&mut self, now: Instant) {
        let most = self.service.supervision().options.max_generations;
        if self.generations.len() < most {
            return;
        }
        if let Some(oldest) =
            self.generations.iter_mut().find(|it| matches!(it.stage, Stage::Draining { .. }))
        {
            oldest.end_at_once(&self.service, now);
        }
    }

    /// The service ends: all drain, and whoever comes is refused.
    fn begin_to_drain(&mut self, now: Instant) {
        (self.is_draining, self.is_ordered) = (true, true);
        if let Some(candidate) = self.generations.last()
            && matches!(candidate.stage, Stage::Starting { .. })
        {
            self.roll_back(ReloadError::NotRunning);
        }
        for generation in &mut self.generations {
            generation.retire(&self.service, now);
        }
        self.service.inner().shut_down();
        self.refuse_reloads();
    }

    /// What served has ended for good, and older generations drain: nobody accepts any more. So
    /// whoever comes is refused, as at the end of any service.
    fn end_with_what_drains(&mut self) -> bool {
        let drains = |it: &Generation| matches!(it.stage, Stage::Draining { .. });
        if self.is_draining
            || self.next.is_some()
            || self.generations.is_empty()
            || !self.generations.iter().all(drains)
        {
            return false;
        }
        self.is_draining = true;
        self.service.supervision().orders().drains = true;
        self.service.inner().shut_down();
        self.refuse_reloads();
        let generations = self.generations.iter().filter(|it| it.cause == DrainEnd::Timeout).count();
        if let Some(last) = self.last.as_ref().filter(|_| generations > 0) {
            let why = reason(last);
            self.tell(Event::ServiceEnds { why, generations });
        }
        true
    }

    fn refuse_reloads(&mut self) {
        let refused: Vec<_> = {
            let mut orders = self.service.supervision().orders();
            let waiting = orders.reloads.drain(..).map(|reload| reload.reply);
            waiting.chain(self.next.take().map(|(_, reply)| reply)).collect()
        };
        for reply in refused {
            let _unheard = reply.send(Err(ReloadError::NotRunning));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        for generation in &self.generations {
            generation.handles().for_each(Handle::terminate);
        }
        {
            let mut orders = self.service.supervision().orders();
            orders.is_running = false;
            orders.live.clear();
            orders.generations.clear();
        }
        self.refuse_reloads();
    }
}
