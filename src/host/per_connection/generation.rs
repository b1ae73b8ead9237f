//! One generation: the module that its instances are made of, and those that live.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::live_instances::LiveInstances;
use super::super::service::Service;
use super::super::supervision::GenerationView;
use super::super::template::Template;
use super::super::{Handle, WasockCtx};
use super::program::Program;
use crate::observe::DrainEnd;
use crate::observe::status::GenerationState;

/// What a generation is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    Draining {
        deadline: Instant,
    },
    /// What was left was told to end.
    Ending,
}

pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) program: Program,
    /// What its instances are given.
    pub(super) template: Template,
    pub(super) live: Arc<LiveInstances>,
    state: Mutex<State>,
    started: Instant,
    service: Service,
}

#[derive(Clone, Copy)]
struct State {
    stage: Stage,
    cause: DrainEnd,
}

/// One instance, counted as long as this lives.
pub(super) struct Entered {
    pub(super) generation: Arc<Generation>,
    /// The number of the instance.
    pub(super) number: u64,
}

impl Generation {
    pub(super) fn new(service: &Service, number: u32, program: Program, template: Template) -> Self {
        let live = Arc::new(LiveInstances::default());
        service.supervision().live.add(&live);
        let state = State { stage: Stage::Serving, cause: DrainEnd::Timeout };
        Self {
            number,
            program,
            template,
            live,
            state: Mutex::new(state),
            started: Instant::now(),
            service: service.clone(),
        }
    }

    /// How it stands. It has no worker of its own: those of the service serve all generations.
    pub(super) fn view(&self) -> GenerationView {
        let (state, deadline) = match self.stage() {
            Stage::Serving => (GenerationState::Serving, None),
            Stage::Draining { deadline } => (GenerationState::Draining, Some(deadline)),
            Stage::Ending => (GenerationState::Draining, None),
        };
        GenerationView {
            number: self.number,
            state,
            started: self.started,
            deadline,
            workers: Vec::new(),
            for_connections: Some(Arc::clone(&self.live)),
            service: Arc::clone(&self.template.service),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole whenever the lock is free.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stage(&self) -> Stage {
        self.state().stage
    }

    /// Why its connections are reset, where they are.
    pub(super) fn cause(&self) -> DrainEnd {
        self.state().cause
    }

    /// Its instances go on, up to the deadline.
    pub(super) fn drain(&self, now: Instant, timeout: Duration) {
        const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
        let deadline = now.checked_add(timeout).or_else(|| now.checked_add(FAR)).unwrap_or(now);
        {
            let mut state = self.state();
            if state.stage != Stage::Serving {
                return;
            }
            state.stage = Stage::Draining { deadline };
        }
        self.live.all().iter().for_each(Handle::retire);
    }

    /// What is left of it ends now.
    pub(super) fn end_at_once(&self, now: Instant, cause: DrainEnd) {
        let mut state = self.state();
        if state.stage != Stage::Ending {
            *state = State { stage: Stage::Draining { deadline: now }, cause };
        }
    }

    /// Resets the connections that are left at the deadline, and ends their instances. Returns how
    /// many there were.
    pub(super) fn end_if_due(&self, now: Instant) -> usize {
        {
            let mut state = self.state();
            match state.stage {
                Stage::Draining { deadline } if deadline <= now => state.stage = Stage::Ending,
                _ => return 0,
            }
        }
        let left = self.live.all();
        let reset = left.iter().map(Handle::reset_connections).sum();
        left.iter().for_each(Handle::terminate);
        reset
    }

    /// Ends what is left of it, as the service ends.
    pub(super) fn end(&self) {
        self.state().stage = Stage::Ending;
        self.live.all().iter().for_each(Handle::terminate);
    }

    /// When it is to be looked at again, if nothing changes before.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        match self.stage() {
            Stage::Draining { deadline } if deadline > now => Some(deadline),
            _ => None,
        }
    }
}

impl Entered {
    /// One more of `generation`.
    pub(super) fn new(generation: &Arc<Generation>, number: u64) -> Self {
        generation.live.enter();
        Self { generation: Arc::clone(generation), number }
    }

    /// It runs from now on, by this context.
    pub(super) fn begun(&self, ctx: &WasockCtx) {
        self.generation.live.add(self.number, ctx);
        // What was told to all meanwhile it has not heard.
        match self.generation.stage() {
            Stage::Serving => {}
            Stage::Draining { .. } => ctx.handle().retire(),
            Stage::Ending => ctx.handle().terminate(),
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let was_last = self.generation.live.leave(self.number);
        if was_last && self.generation.stage() != Stage::Serving {
            self.generation.service.inner().changed();
        }
    }
}
