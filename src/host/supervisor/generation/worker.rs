//! A worker: one instance after another, in one place.

use std::time::{Duration, Instant};

use super::super::super::restart::{Backoff, SHORT_LIFE};
use super::super::super::supervision::WorkerView;
use super::super::instance::Running;
use crate::observe::status::WorkerState;

pub(super) struct Worker {
    pub(super) number: u32,
    pub(super) life: Life,
    pub(super) backoff: Backoff,
    /// Was its instance sent a signal that ends programs?
    pub(super) is_told_to_end: bool,
    /// How often it was started anew.
    pub(super) restarts: u64,
    /// How long its last instance lived.
    pub(super) lived: Option<Duration>,
    /// Since when its instance, which is retired, has no connection any more.
    pub(super) done_since: Option<Instant>,
}

pub(super) enum Life {
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
    pub(super) fn running(&self) -> Option<&Running> {
        match &self.life {
            Life::Running(running) | Life::Ending(running, _) => Some(running),
            _ => None,
        }
    }

    /// How it stands.
    pub(super) fn view(&self) -> WorkerView {
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
    pub(super) fn is_well(&self) -> bool {
        match self.life {
            Life::Running(_) => true,
            Life::Waiting(_) => self.lived.is_some_and(|lived| lived >= SHORT_LIFE),
            _ => false,
        }
    }
}
