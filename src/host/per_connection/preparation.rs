//! A program on its way to serve.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::super::Guest;
use super::super::service::Service;
use super::super::template::Template;
use super::program::Program;
use super::pulse::Pulse;
use crate::error::Terminated;
use crate::io::{block_on, start_thread};

/// What is prepared on a thread of its own: to link compiles nothing, but takes its time, and a module that is
/// copied is started there. Dropping it ends what runs there.
pub(super) struct Preparation {
    pub(super) number: u32,
    outcome: Arc<Mutex<Option<wasmtime::Result<Program>>>>,
    _wanted: oneshot::Sender<()>,
}

impl Preparation {
    /// Begins to prepare `guest` as the generation `number`, whose instances are made by `template`. What the
    /// module runs meanwhile has to return within the time for a new generation, and `pulse` lets it be ended.
    ///
    /// # Errors
    ///
    /// Where the host can't start a thread.
    pub(super) fn start(
        service: &Service,
        pulse: &Arc<Pulse>,
        template: Template,
        guest: Guest,
        number: u32,
    ) -> wasmtime::Result<Self> {
        let (wanted, unwanted) = oneshot::channel();
        let pulse = Arc::clone(pulse);
        let outcome = Arc::new(Mutex::default());
        let prepared = Prepared { outcome: Arc::clone(&outcome), service: service.clone(), found: None };
        let prepares = move || {
            let mut prepared = prepared;
            let program = block_on(async {
                tokio::select! {
                    program = Program::prepare(&prepared.service, &pulse, &template, guest, number) => program,
                    _ = unwanted => Err(wasmtime::Error::new(Terminated::Order)),
                }
            });
            prepared.found = Some(program.map_err(wasmtime::Error::new).flatten());
        };
        start_thread("wasock-prepare".to_owned(), prepares).map_err(wasmtime::Error::new)?;
        Ok(Self { number, outcome, _wanted: wanted })
    }

    /// What came of it, once.
    pub(super) fn take(&self) -> Option<wasmtime::Result<Program>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Tells the service what came of it, also after a panic of the host's.
struct Prepared {
    outcome: Arc<Mutex<Option<wasmtime::Result<Program>>>>,
    service: Service,
    found: Option<wasmtime::Result<Program>>,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let failed = || Err(wasmtime::Error::new(Terminated::HostPanic("prepared a program")));
        let found = self.found.take().unwrap_or_else(failed);
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        self.service.inner().changed();
    }
}
