//! The end of what drains, and of the service.

use std::time::Instant;

use super::super::outcome::reason;
use super::super::supervision::ReloadError;
use super::Supervisor;
use super::generation::{Generation, Stage};
use crate::observe::{DrainEnd, Event};

impl Supervisor {
    /// Ends what has drained, and forgets what has ended.
    pub(super) fn end_drained(&mut self, now: Instant) -> bool {
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

    /// The service ends: all drain, and whoever comes is refused.
    pub(super) fn begin_to_drain(&mut self, now: Instant) {
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
    pub(super) fn end_with_what_drains(&mut self) -> bool {
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

    pub(super) fn refuse_reloads(&mut self) {
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
