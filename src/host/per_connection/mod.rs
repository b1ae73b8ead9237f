//! A service in which each connection has an instance of its own.
//!
//! # Where it runs
//!
//! The host listens. Each [worker](worker) is a thread with a runtime, which accepts at every listener and
//! runs the instances that it has made: each is a task, its code runs on a fiber, and a call that waits gives
//! the thread to the others. So thousands of instances wait on a few threads. Code that computes
//! gives way at the epochs of its engine, which [pulse](pulse) increments while some does. A module with threads is
//! the exception: its instances have threads of their own. An embedder may have the workers and the instances
//! be tasks of an executor of its own.
//!
//! # How many
//!
//! An instance needs a permit, of which there are as many as instances may live at once, whatever their
//! generation. A worker takes the permit first and accepts then: who comes too many waits in the queue of the listener,
//! as its profile has it.
//!
//! # Generations
//!
//! A reload is [prepared](preparation) beside the running generation: the module is linked and an instance of it made.
//! Then each new connection gets the new one, and the old one drains: its instances go on to their ends,
//! or to the deadline.

mod copies;
mod families;
mod filter;
mod generation;
mod instance;
mod listener;
mod measured;
mod preparation;
mod program;
mod pulse;
mod shared;
mod worker;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::outcome::Ended;
use super::service::Service;
use super::steps::{Step, drive};
use super::supervision::{Reload, ReloadError, Reply};
use super::template::Template;
use super::{Guest, Handle};
use crate::error::Terminated;
use crate::observe::{DrainEnd, Event};

use generation::{Generation, Stage};
pub use measured::{ConnectionInstances, OneConnection};
use preparation::Preparation;
use shared::{Phase, Shared};

/// As [`Service::run`], where each connection has an instance of its own.
///
/// # Cancel safety
///
/// Dropping the future ends every instance.
///
/// # Errors
///
/// Where the module can't be linked or instantiated, or the host can't listen; an order.
pub(super) async fn run(service: &Service, guest: Guest) -> wasmtime::Result<Ended> {
    let mut supervisor = Supervisor::new(service, guest)?;
    drive(service.inner().changes(), move |now| supervisor.step(now)).await
}

struct Supervisor {
    service: Service,
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    /// What is being prepared, for whom; for nobody where it is the first.
    preparing: Option<(Preparation, Template, Option<Reply>)>,
    /// What the instances of the newest generation are given.
    template: Template,
    /// The oldest first; at most one serves, the last.
    generations: Vec<Arc<Generation>>,
    is_draining: bool,
    failure: Option<wasmtime::Error>,
}

impl Supervisor {
    fn new(service: &Service, guest: Guest) -> wasmtime::Result<Self> {
        let (phase, _) = watch::channel(Phase::Accepting);
        let shared = Shared::new(service)?;
        service.supervision().orders().is_running = true;
        let mut supervisor = Self {
            service: service.clone(),
            shared,
            phase,
            preparing: None,
            template: service.template().clone(),
            generations: Vec::new(),
            is_draining: false,
            failure: None,
        };
        supervisor.prepare(guest, service.template().clone(), None)?;
        Ok(supervisor)
    }

    fn tell(&self, event: Event) {
        self.service.inner().report().tell(event);
    }

    fn prepare(&mut self, guest: Guest, template: Template, reply: Option<Reply>) -> wasmtime::Result<()> {
        let number = self.service.inner().begin_generation();
        let preparation =
            Preparation::start(&self.service, &self.shared.pulse, template.clone(), guest, number)?;
        self.preparing = Some((preparation, template, reply));
        Ok(())
    }

    /// Does what is due.
    fn step(&mut self, now: Instant) -> Step {
        let (drains, is_terminated) = {
            let mut orders = self.service.supervision().orders();
            orders.looks = orders.looks.wrapping_add(1);
            (orders.drains, orders.is_terminated)
        };
        if let Some(error) = self.shared.take_failure() {
            self.failure.get_or_insert(error);
        }
        if is_terminated || self.failure.is_some() {
            return self.end(is_terminated);
        }
        if drains && !self.is_draining {
            self.begin_to_drain(now);
            return Step::Again;
        }
        let mut has_changed = self.settle(now);
        has_changed |= self.end_drained(now);
        has_changed |= self.begin_reload(now);
        self.publish();
        if has_changed {
            return Step::Again;
        }
        let is_over = self.generations.is_empty() && self.preparing.is_none();
        if is_over && self.is_draining && !self.shared.is_accepting() {
            return self.end(false);
        }
        Step::Wait(self.generations.iter().filter_map(|it| it.next_look(now)).min())
    }

    /// Says which generations there are.
    fn publish(&self) {
        let views = self.generations.iter().map(|it| it.view()).collect();
        self.service.supervision().orders().generations = views;
    }

    /// Ends what is left, and waits for the workers, and for the instances where these are tasks of the
    /// embedder's executor: those of a worker with a thread end with it.
    fn end(&mut self, is_terminated: bool) -> Step {
        self.preparing = None;
        self.shared.stop_serving();
        _ = self.phase.send_replace(Phase::Ended);
        self.generations.iter().for_each(|it| it.end());
        let runs = self.shared.spawn().is_some() && self.generations.iter().any(|it| it.live.count() > 0);
        if self.shared.has_workers() || runs {
            return Step::Wait(None);
        }
        self.shared.refuse_all();
        let outcome = match self.failure.take() {
            Some(error) => Err(error),
            None if is_terminated => Err(wasmtime::Error::new(Terminated::Order)),
            None => Ok(Ended { code: 0 }),
        };
        Step::Done(outcome)
    }

    /// Is what was prepared ready, or a failure?
    fn settle(&mut self, now: Instant) -> bool {
        let Some((preparation, ..)) = &self.preparing else { return false };
        let Some(prepared) = preparation.take() else { return false };
        let number = preparation.number;
        let Some((_, template, reply)) = self.preparing.take() else { return false };
        match (prepared, reply) {
            (Ok(program), reply) => {
                self.template = template.clone();
                let generation = Generation::new(&self.service, number, program, template);
                self.take_over(Arc::new(generation), reply, now);
            }
            (Err(error), None) => self.failure = Some(error),
            (Err(error), Some(reply)) => {
                let why = ReloadError::Ended(super::outcome::reason(&Err(error)));
                self.service.inner().report().counted_reload(false);
                self.tell(Event::ReloadFailed { generation: number, why: why.to_string() });
                let _unheard = reply.send(Err(why));
            }
        }
        true
    }

    /// What was prepared serves from now on, and what served before drains.
    fn take_over(&mut self, generation: Arc<Generation>, reply: Option<Reply>, now: Instant) {
        let number = generation.number;
        self.shared.serve(&generation);
        let timeout = self.service.supervision().options.drain_timeout;
        self.generations.iter().for_each(|old| old.drain(now, timeout));
        self.generations.push(generation);
        match reply {
            Some(reply) => {
                self.service.inner().report().counted_reload(true);
                self.tell(Event::Reloaded { generation: number, missing: Vec::new() });
                let _unheard = reply.send(Ok(number));
            }
            // The first: from now on somebody is there for who comes.
            None => {
                if let Err(error) = worker::start_all(&self.shared, &self.phase) {
                    self.failure = Some(error);
                }
            }
        }
    }

    /// Ends the instances of those whose time is over, and forgets those that have none.
    fn end_drained(&mut self, now: Instant) -> bool {
        for generation in &self.generations {
            let reset = generation.end_if_due(now);
            if reset > 0 {
                self.service.inner().report().counted_reset(reset);
                let (generation, cause) = (generation.number, generation.cause());
                self.tell(Event::DrainTimeout { generation, connections: reset, cause });
            }
        }
        if self.is_draining && !self.shared.is_accepting() {
            // Whoever was taken before that has an instance.
            self.shared.stop_serving();
            self.shared.refuse_all();
        }
        let before = self.generations.len();
        let may_have_more = self.is_draining && self.shared.is_accepting();
        self.generations.retain(|it| may_have_more || it.stage() == Stage::Serving || it.live.count() > 0);
        before != self.generations.len()
    }

    /// Begins the reload that was asked for first, if none is on its way.
    fn begin_reload(&mut self, now: Instant) -> bool {
        if self.preparing.is_some() || self.is_draining {
            return false;
        }
        let Some(reload) = self.service.supervision().orders().reloads.pop_front() else {
            return false;
        };
        let Reload { guest, template, reply } = reload;
        let template = template.unwrap_or_else(|| self.template.clone());
        if self.generations.len() >= self.service.supervision().options.max_generations
            && let Some(oldest) = self.generations.iter().find(|it| it.stage() != Stage::Serving)
        {
            oldest.end_at_once(now, DrainEnd::Generations);
        }
        if let Err(error) = self.prepare(guest, template, Some(reply)) {
            // The host has no thread: the reply goes, and who asked learns that nothing was done.
            tracing::warn!("no reload: {error:#}");
        }
        true
    }

    /// The service ends: who comes is refused, and the instances go on to their ends.
    fn begin_to_drain(&mut self, now: Instant) {
        self.is_draining = true;
        self.preparing = None;
        _ = self.phase.send_replace(Phase::Draining);
        let timeout = self.service.supervision().options.drain_timeout;
        self.generations.iter().for_each(|it| it.drain(now, timeout));
        self.refuse_reloads();
    }

    fn refuse_reloads(&self) {
        let refused: Vec<_> = self.service.supervision().orders().reloads.drain(..).collect();
        for Reload { reply, .. } in refused {
            let _unheard = reply.send(Err(ReloadError::NotRunning));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.shared.stop_serving();
        _ = self.phase.send_replace(Phase::Ended);
        self.generations.iter().for_each(|it| it.end());
        self.service.supervision().live.handles().iter().for_each(Handle::terminate);
        self.service.supervision().orders().is_running = false;
        self.refuse_reloads();
    }
}
