//! One generation: its workers, and how each of them stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::outcome::{Ended, reason};
use super::super::restart::{Backoff, MAX_DELAY, MAX_SHORT_LIVES, Next, SHORT_LIFE};
use super::super::service::Service;
use super::super::supervision::{GenerationView, Release, Restart, WorkerView};
use super::super::{BuildError, Handle};
use super::instance::{Outcome, Running};
use crate::error::Terminated;
use crate::observe::status::{GenerationState, WorkerState};
use crate::observe::{DrainEnd, Event};
use crate::process::Signal;

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

/// How long an instance that got SIGTERM at its deadline has to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

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

struct Worker {
    number: u32,
    life: Life,
    backoff: Backoff,
    /// Was its instance sent a signal that ends programs?
    is_told_to_end: bool,
    /// How often it was started anew.
    restarts: u64,
    /// How long its last instance lived.
    lived: Option<Duration>,
    /// Since when its instance, which is retired, has no connection any more.
    done_since: Option<Instant>,
}

/// The end of an instance.
struct End {
    outcome: Outcome,
    lived: Duration,
    /// How many connections ended with it.
    connections: usize,
}

enum Life {
    /// It starts when the first worker listens.
    ToStart,
    Running(Running),
    /// It starts anew then.
    Waiting(Instant),
    /// It was sent SIGTERM at the deadline, and ends at once then.
    Ending(Running, Instant),
    Over,
}

impl Worker {
    fn running(&self) -> Option<&Running> {
        match &self.life {
            Life::Running(running) | Life::Ending(running, _) => Some(running),
            _ => None,
        }
    }

    /// How it stands.
    fn view(&self) -> WorkerView {
        let state = match self.life {
            Life::ToStart => WorkerState::Starting,
            Life::Running(_) => WorkerState::Running,
            Life::Waiting(_) => WorkerState::Waiting,
            Life::Ending(..) => WorkerState::Ending,
            Life::Over => WorkerState::Ended,
        };
        let instance = self.running().map(|running| (running.handle.clone(), running.started));
        WorkerView { number: self.number, state, restarts: self.restarts, instance }
    }

    /// Does it live, or did it live for more than a moment last time?
    fn is_well(&self) -> bool {
        match self.life {
            Life::Running(_) => true,
            Life::Waiting(_) => self.lived.is_some_and(|lived| lived >= SHORT_LIFE),
            _ => false,
        }
    }
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

    /// Takes note of the instances that have ended, and starts what is to start. Returns whether
    /// anything has changed.
    pub(super) fn collect(
        &mut self,
        service: &Service,
        now: Instant,
        stops: bool,
        last: &mut Option<Outcome>,
    ) -> bool {
        let mut has_changed = false;
        for index in 0..self.workers.len() {
            has_changed |= self.collect_one(service, index, now, stops, last);
        }
        has_changed
    }

    fn collect_one(
        &mut self,
        service: &Service,
        index: usize,
        now: Instant,
        stops: bool,
        last: &mut Option<Outcome>,
    ) -> bool {
        let others_may_start = self.others_may_start(now);
        let is_draining = matches!(self.stage, Stage::Draining { .. });
        let Some(worker) = self.workers.get_mut(index) else { return false };
        match &worker.life {
            Life::ToStart | Life::Waiting(_) if stops || is_draining || self.has_ended_as_told => {
                worker.life = Life::Over;
            }
            Life::ToStart if others_may_start => self.start_worker(service, index),
            Life::Waiting(until) if *until <= now => self.start_worker(service, index),
            Life::Running(running) | Life::Ending(running, _) => {
                let Some(outcome) = running.take_outcome(now) else { return false };
                let end = End { outcome, lived: running.started.elapsed(), connections: running.left_open() };
                self.ended(service, index, end, stops, last);
            }
            _ => return false,
        }
        true
    }

    /// Has the first worker begun to listen, so that the others find its sockets held?
    fn others_may_start(&self, now: Instant) -> bool {
        let first = self.workers.first().and_then(Worker::running);
        first.is_none_or(|first| first.handle.takes_any()) || now >= later(self.started, FIRST_WORKER)
    }

    /// What follows from the end of an instance.
    fn ended(&mut self, service: &Service, index: usize, end: End, stops: bool, last: &mut Option<Outcome>) {
        let End { outcome, lived, connections } = end;
        let Some(worker) = self.workers.get_mut(index) else { return };
        worker.life = Life::Over;
        worker.lived = Some(lived);
        let number = worker.number;
        let is_as_told = worker.is_told_to_end && outcome.is_ok();
        self.has_ended_as_told |= is_as_told;
        match self.stage {
            Stage::Starting { .. } => {
                self.failure.get_or_insert_with(|| reason(&outcome));
                return;
            }
            Stage::Draining { .. } => {
                // The only outcome there is where an order ends what drains, too.
                if is_as_told && last.is_none() {
                    *last = Some(outcome);
                }
                return;
            }
            Stage::Serving => {}
        }
        let restart = service.supervision().options.restart;
        let is_ordered = matches!(&outcome, Err(error) if error.downcast_ref() == Some(&Terminated::Order));
        let left = self.workers.iter().filter(|worker| !matches!(worker.life, Life::Over)).count();
        if stops || is_as_told || is_ordered || !follows(restart, &outcome) {
            if left > 0 && !stops {
                let (generation, why) = (self.number, reason(&outcome));
                let ended = Event::InstanceEnded { generation, worker: number, why, left, connections };
                service.inner().report().tell(ended);
            }
            *last = Some(outcome);
            return;
        }
        self.start_anew(service, index, End { outcome, lived, connections }, last);
    }

    /// An instance has failed: its worker starts another one, unless that is of no use.
    fn start_anew(&mut self, service: &Service, index: usize, end: End, last: &mut Option<Outcome>) {
        let End { outcome, lived, connections } = end;
        let report = service.inner().report();
        let others = self.workers.iter().enumerate().filter(|(other, _)| *other != index);
        let others_are_well = others.map(|(_, worker)| worker).any(Worker::is_well);
        let Some(worker) = self.workers.get_mut(index) else { return };
        let (generation, number) = (self.number, worker.number);
        let after = match worker.backoff.failed(lived) {
            Next::StartAfter(after) => after,
            Next::GiveUp if others_are_well => {
                if worker.backoff.has_just_given_up() {
                    let (worker, instances, after) = (number, MAX_SHORT_LIVES, MAX_DELAY);
                    report.tell(Event::WorkerFails { generation, worker, instances, after });
                }
                MAX_DELAY
            }
            Next::GiveUp => {
                report.tell(Event::GaveUp { instances: MAX_SHORT_LIVES });
                // The others fare no better.
                self.handles().for_each(Handle::terminate);
                *last = Some(outcome);
                self.cause = DrainEnd::Failed;
                self.stage = Stage::Draining { since: Instant::now(), deadline: Instant::now() };
                return;
            }
        };
        worker.life = Life::Waiting(later(Instant::now(), after));
        worker.restarts = worker.restarts.saturating_add(1);
        report.counted_restart();
        let (worker, why) = (number, reason(&outcome));
        report.tell(Event::InstanceRestarted { generation, worker, why, after, connections });
    }

    /// Retires all instances: they go on with what they have.
    pub(super) fn retire(&mut self, service: &Service, now: Instant) {
        let options = &service.supervision().options;
        self.retire_with(options.drain_signal, options.drain_timeout, now);
    }

    /// The same for a sequential reload, where most programs are to end at once.
    pub(super) fn retire_for_successor(&mut self, service: &Service, now: Instant) {
        let options = &service.supervision().options;
        self.retire_with(options.drain_signal.or(Some(Signal::Term)), options.drain_timeout, now);
    }

    fn retire_with(&mut self, signal: Option<Signal>, timeout: Duration, now: Instant) {
        if matches!(self.stage, Stage::Draining { .. }) {
            return;
        }
        self.stage = Stage::Draining { since: now, deadline: later(now, timeout) };
        for handle in self.handles() {
            handle.retire();
            if let Some(signal) = signal {
                handle.signal(signal);
            }
        }
    }

    /// Ends the instances that have drained, and those whose time is over. At the end of the service
    /// one that handles signals `may_say_goodbye` first.
    pub(super) fn end_drained(&mut self, service: &Service, now: Instant, may_say_goodbye: bool) {
        let Stage::Draining { since, deadline } = self.stage else { return };
        let mut reset = 0;
        for worker in &mut self.workers {
            let (handle, is_late) = match &worker.life {
                Life::Running(running) => (&running.handle, now >= deadline),
                Life::Ending(running, until) if *until <= now => (&running.handle, true),
                _ => continue,
            };
            let lingers = handle.has_datagrams() && now < later(since, DATAGRAM_LINGER);
            let is_without = handle.open_connections() == 0 && !lingers;
            let done_since = is_without.then(|| worker.done_since.unwrap_or(now));
            worker.done_since = done_since;
            let is_done =
                done_since.is_some_and(|since| !handle.has_just_closed() || now >= later(since, LAST_LINES));
            if !is_done && !is_late {
                continue;
            }
            let is_first_time = matches!(worker.life, Life::Running(_));
            if !is_done && may_say_goodbye && is_first_time && handle.handles_signals() {
                handle.signal(Signal::Term);
            } else {
                reset += handle.reset_connections();
                handle.terminate();
            }
            match std::mem::replace(&mut worker.life, Life::Over) {
                Life::Running(running) | Life::Ending(running, _) => {
                    worker.life = Life::Ending(running, later(now, LAST_WORDS));
                }
                other => worker.life = other,
            }
        }
        if reset > 0 {
            service.inner().report().counted_reset(reset);
            let generation = self.number;
            service.inner().report().tell(Event::DrainTimeout {
                generation,
                connections: reset,
                cause: self.cause,
            });
        }
    }

    /// Ends what drains, for another one to come.
    pub(super) fn end_at_once(&mut self, service: &Service, now: Instant) {
        if let Stage::Draining { since, .. } = self.stage {
            self.stage = Stage::Draining { since, deadline: now };
            self.cause = DrainEnd::Generations;
            self.end_drained(service, now, false);
        }
    }

    /// Ends what has never served.
    pub(super) fn drop_at_once(&mut self) {
        self.handles().for_each(Handle::terminate);
        let now = Instant::now();
        self.cause = DrainEnd::Failed;
        self.stage = Stage::Draining { since: now, deadline: now };
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

/// Does `restart` have another instance follow one that ended so?
fn follows(restart: Restart, outcome: &Outcome) -> bool {
    match restart {
        Restart::Never => false,
        Restart::OnFailure => !matches!(outcome, Ok(Ended { code: 0 })),
        Restart::Always => true,
    }
}

/// `after` from `now`; in the far future where that is no moment.
fn later(now: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    now.checked_add(after).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}
