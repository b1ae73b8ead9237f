//! How a generation ends, once it is retired.

use std::time::{Duration, Instant};

use super::super::super::Handle;
use super::super::super::service::Service;
use super::worker::Life;
use super::{DATAGRAM_LINGER, Generation, LAST_LINES, Stage, later};
use crate::observe::{DrainEnd, Event};
use crate::process::Signal;

/// How long an instance that got SIGTERM at its deadline has to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Generation {
    /// Retires all instances: they go on with what they have.
    pub(in crate::host::supervisor) fn retire(&mut self, service: &Service, now: Instant) {
        let options = &service.supervision().options;
        self.retire_with(options.drain_signal, options.drain_timeout, now);
    }

    /// The same for a sequential reload, where most programs are to end at once.
    pub(in crate::host::supervisor) fn retire_for_successor(&mut self, service: &Service, now: Instant) {
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
    pub(in crate::host::supervisor) fn end_drained(
        &mut self,
        service: &Service,
        now: Instant,
        may_say_goodbye: bool,
    ) {
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
    pub(in crate::host::supervisor) fn end_at_once(&mut self, service: &Service, now: Instant) {
        if let Stage::Draining { since, .. } = self.stage {
            self.stage = Stage::Draining { since, deadline: now };
            self.cause = DrainEnd::Generations;
            self.end_drained(service, now, false);
        }
    }

    /// Ends what has never served.
    pub(in crate::host::supervisor) fn drop_at_once(&mut self) {
        self.handles().for_each(Handle::terminate);
        let now = Instant::now();
        self.cause = DrainEnd::Failed;
        self.stage = Stage::Draining { since: now, deadline: now };
    }
}
