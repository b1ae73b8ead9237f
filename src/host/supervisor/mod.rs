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
mod drain;
mod generation;
mod instance;
mod limits;
mod reload;
mod service;
mod status;

use std::time::Instant;

use super::Handle;
use super::outcome::Ended;
use super::service::Service;
use super::steps::Step;
use super::supervision::{Release, Reply};
use crate::error::Terminated;
use crate::observe::Event;

pub use builder::ServiceBuilder;
use generation::{Generation, Stage};
use instance::Outcome;

/// Stands for the generation before, where a sequential reload has ended that.
const FROM_NOTHING: u32 = 0;

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
            self.end_reloads();
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
