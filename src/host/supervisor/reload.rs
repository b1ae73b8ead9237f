//! One generation takes the place of another.

use std::time::Instant;

use super::super::Handle;
use super::super::supervision::{Release, Reload, ReloadError, ReloadMode};
use super::generation::{Generation, Stage};
use super::{FROM_NOTHING, Supervisor};
use crate::address::Address;
use crate::observe::Event;

impl Supervisor {
    /// Is the generation that starts ready, or a failure?
    pub(super) fn settle_candidate(&mut self, now: Instant) -> bool {
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
    pub(super) fn roll_back(&mut self, why: ReloadError) {
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

    /// A signal that ends programs was sent to those that live: nothing that has not begun, or has not taken over yet,
    /// goes on after that. Where there is no other, the one that starts has had the signal itself.
    pub(super) fn end_reloads(&mut self) {
        self.refuse_reloads();
        let is_beside_another =
            |it: &Generation| matches!(it.stage, Stage::Starting { before, .. } if before != FROM_NOTHING);
        if self.generations.last().is_some_and(is_beside_another) {
            self.roll_back(ReloadError::NotRunning);
        }
    }

    /// Begins the reload that was asked for first, if none is on its way.
    pub(super) fn begin_reload(&mut self, now: Instant) -> bool {
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
}
