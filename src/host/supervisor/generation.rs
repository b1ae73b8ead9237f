//! One generation: its workers, and how each of them stands.

mod drain;
mod ends;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::restart::Backoff;
use super::super::service::Service;
use super::super::supervision::{GenerationView, Release};
use super::super::{BuildError, Handle};
use super::instance::Running;
use crate::observe::DrainEnd;
use crate::observe::status::GenerationState;

use worker::{Life, Worker};

/// How long a retired instance with nothing but datagram sockets goes on: for answers.
const DATAGRAM_LINGER: Duration = Duration::from_secs(2);

/// How long the other workers wait for the first one to listen: then they get its sockets.
const FIRST_WORKER: Duration = Duration::from_secs(1);

/// How long a new generation that is ready lives on beside the old one before it takes over: one
/// that listens and dies at once is rolled back.
const PROBATION: Duration = Duration::from_millis(100);

/// How long one lives that has nowhere to listen, where only its life shows that it is good.
const PROBATION_WITHOUT_LISTENER: Duration = Duration::from_secs(1);

/// How long an instance that has closed its last connection may go on until it waits again: it
/// may have something to log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What a generation is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is to take the place of `before`.
    Starting {
        before: u32,
        deadline: Instant,
    },
    Serving,
    Draining {
        since: Instant,
        deadline: Instant,
    },
}

/// The instances of one module.
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) release: Release,
    pub(super) stage: Stage,
    /// Since when it is ready, where it starts.
    pub(super) ready_since: Option<Instant>,
    started: Instant,
    workers: Vec<Worker>,
    /// Why an instance of it ended before it served.
    failure: Option<String>,
    /// Why its connections are reset, where they are.
    pub(super) cause: DrainEnd,
    /// Has an instance exited after it was told to end?
    has_ended_as_told: bool,
}

impl Generation {
    /// Starts the first worker of `release`; the others follow. `before` is the generation that it is
    /// to replace, where there is one.
    pub(super) fn start(service: &Service, release: Release, before: Option<u32>) -> Self {
        let (options, now) = (service.supervision().options, Instant::now());
        let deadline = later(now, options.ready_timeout);
        if options.workers > 1 {
            service.inner().expect_workers();
        }
        let number = service.inner().begin_generation();
        let worker = |number| Worker {
            number,
            life: Life::ToStart,
            backoff: Backoff::default(),
            is_told_to_end: false,
            restarts: 0,
            lived: None,
            done_since: None,
        };
        let mut generation = Self {
            number,
            release,
            stage: before.map_or(Stage::Serving, |before| Stage::Starting { before, deadline }),
            ready_since: None,
            started: now,
            workers: (0..options.workers).map(worker).collect(),
            failure: None,
            cause: DrainEnd::Timeout,
            has_ended_as_told: false,
        };
        generation.start_worker(service, 0);
        generation
    }

    fn start_worker(&mut self, service: &Service, index: usize) {
        let Some(worker) = self.workers.get_mut(index) else { return };
        let name = format!("guest-{}.{}", self.number, worker.number);
        let serves = matches!(self.stage, Stage::Serving);
        let Release { guest, template } = &self.release;
        let instance = template.service.instance_of(self.number, worker.number, serves);
        let ctx = template.context(instance).map_err(|errno| BuildError::of(errno).to_string());
        let started = ctx.and_then(|mut ctx| {
            ctx.adapt_to(guest.module());
            let started = Running::start(guest.clone(), ctx, name, service.inner());
            started.map_err(|errno| format!("the host can't start a thread: {errno}"))
        });
        worker.is_told_to_end = false;
        worker.life = match started {
            Ok(running) => Life::Running(running),
            Err(why) => {
                self.failure.get_or_insert(why);
                Life::Over
            }
        };
    }

    /// How it stands.
    pub(super) fn view(&self) -> GenerationView {
        let (state, deadline) = match self.stage {
            Stage::Starting { .. } => (GenerationState::Starting, None),
            Stage::Serving => (GenerationState::Serving, None),
            Stage::Draining { deadline, .. } => (GenerationState::Draining, Some(deadline)),
        };
        let workers = self.workers.iter().map(Worker::view).collect();
        let (number, started) = (self.number, self.started);
        let service = Arc::clone(&self.release.template.service);
        GenerationView { number, state, started, deadline, workers, for_connections: None, service }
    }

    /// The handles on what runs.
    pub(super) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().filter_map(Worker::running).map(|running| &running.handle)
    }

    /// Why it is of no use, where an instance of it has ended.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.clone()
    }

    /// A signal that ends programs was sent to what runs. A worker that waits for its next instance
    /// stays ended where nobody is left who may handle the signal.
    pub(super) fn is_told_to_end(&mut self) {
        let is_handled = self.handles().any(Handle::handles_signals);
        for worker in &mut self.workers {
            match worker.life {
                Life::Running(_) | Life::Ending(..) => worker.is_told_to_end = true,
                Life::Waiting(_) if !is_handled => worker.life = Life::Over,
                _ => {}
            }
        }
    }

    /// Has an instance of it exited because a signal told it to?
    pub(super) fn has_ended_as_told(&self) -> bool {
        self.has_ended_as_told
    }

    /// Does each of its workers that has not ended for good run, or is yet to start?
    pub(super) fn is_whole(&self) -> bool {
        let is_running = |worker: &Worker| worker.running().is_some();
        self.workers.iter().any(is_running)
            && !self.workers.iter().any(|worker| matches!(worker.life, Life::Waiting(_)))
    }

    /// Has it been ready for long enough? One that listens nowhere is to live for longer.
    pub(super) fn has_proved_itself(&mut self, listens: bool, now: Instant) -> bool {
        let probation = if listens { PROBATION } else { PROBATION_WITHOUT_LISTENER };
        let since = *self.ready_since.get_or_insert(now);
        now >= later(since, probation)
    }

    /// Has every worker been started?
    pub(super) fn has_started_all(&self) -> bool {
        !self.workers.iter().any(|worker| matches!(worker.life, Life::ToStart))
    }

    /// Is nothing of it left?
    pub(super) fn is_over(&self) -> bool {
        self.workers.iter().all(|worker| matches!(worker.life, Life::Over))
    }

    /// When it is to be looked at again, if nothing changes before.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let of_stage = match self.stage {
            Stage::Starting { deadline, .. } => {
                let short = self.ready_since.map(|since| later(since, PROBATION));
                let long = self.ready_since.map(|since| later(since, PROBATION_WITHOUT_LISTENER));
                [Some(deadline), short.filter(|at| *at > now).or(long)]
            }
            Stage::Draining { since, deadline } => [Some(deadline), Some(later(since, DATAGRAM_LINGER))],
            Stage::Serving => [None, None],
        };
        let of_workers = self.workers.iter().filter_map(|worker| match &worker.life {
            Life::ToStart => Some(later(self.started, FIRST_WORKER)),
            Life::Waiting(until) | Life::Ending(_, until) => Some(*until),
            Life::Running(_) => worker.done_since.map(|since| later(since, LAST_LINES)),
            Life::Over => None,
        });
        let given_up = self.workers.iter().filter_map(|worker| worker.running()?.given_up_at());
        let of_workers = of_workers.chain(given_up);
        of_stage.into_iter().flatten().chain(of_workers).filter(|at| *at > now).min()
    }
}

/// `after` from `now`; in the far future where that is no moment.
fn later(now: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    now.checked_add(after).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}
