//! What follows from the end of an instance.

use std::time::{Duration, Instant};

use super::super::super::Handle;
use super::super::super::outcome::{Ended, reason};
use super::super::super::restart::{MAX_DELAY, MAX_SHORT_LIVES, Next};
use super::super::super::service::Service;
use super::super::super::supervision::Restart;
use super::super::instance::Outcome;
use super::worker::{Life, Worker};
use super::{FIRST_WORKER, Generation, Stage, later};
use crate::error::Terminated;
use crate::observe::{DrainEnd, Event};

/// The end of an instance.
struct End {
    outcome: Outcome,
    lived: Duration,
    /// How many connections ended with it.
    connections: usize,
}

impl Generation {
    /// Takes note of the instances that have ended, and starts what is to start. Returns whether
    /// anything has changed.
    pub(in crate::host::supervisor) fn collect(
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
}

/// Does `restart` have another instance follow one that ended so?
fn follows(restart: Restart, outcome: &Outcome) -> bool {
    match restart {
        Restart::Never => false,
        Restart::OnFailure => !matches!(outcome, Ok(Ended { code: 0 })),
        Restart::Always => true,
    }
}
