//! One instance of a service, on a thread of its own.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::super::{Ended, Guest, Handle, WasockCtx};
use crate::error::{Errno, Terminated};
use crate::io::{DrivingRuntime, start_thread};
use crate::service;

/// How an instance has ended.
pub(super) type Outcome = wasmtime::Result<Ended>;

/// How long one whose time is over may take to end.
const STUCK: Duration = Duration::from_secs(1);

/// A running instance.
pub(super) struct Running {
    pub(super) handle: Handle,
    pub(super) started: Instant,
    /// How long it may run.
    timeout: Option<Duration>,
    outcome: Arc<Mutex<Option<Outcome>>>,
    left_open: Arc<AtomicUsize>,
}

impl Running {
    /// Starts `guest` with `ctx`, on a thread with a runtime of its own.
    ///
    /// # Errors
    ///
    /// Where the host can't start the thread.
    pub(super) fn start(
        guest: Guest,
        ctx: WasockCtx,
        name: String,
        service: &Arc<service::ServiceState>,
    ) -> Result<Self, Errno> {
        // Its calls wait in the kernel, each for exactly what it waits for.
        let guest = guest.own_thread(true);
        let (handle, timeout) = (ctx.handle(), ctx.thread.process().service().limits().timeout);
        let left_open = ctx.thread.process().instance().left_open();
        let outcome = Arc::new(Mutex::default());
        let ends = Ends { outcome: Arc::clone(&outcome), service: Arc::clone(service), found: None };
        start_thread(name, move || {
            let mut ends = ends;
            ends.found = Some(run(&guest, ctx));
        })?;
        Ok(Self { handle, started: Instant::now(), timeout, outcome, left_open })
    }

    /// How many connections ended with it.
    pub(super) fn left_open(&self) -> usize {
        self.left_open.load(SeqCst)
    }

    /// How it has ended, once. One that is stuck in a call of the system's long after its time was over
    /// is given up: what it has is closed, and its thread is left behind.
    pub(super) fn take_outcome(&self, now: Instant) -> Option<Outcome> {
        let outcome = unpoisoned(&self.outcome).take();
        let timeout = self.timeout.filter(|_| self.given_up_at().is_some_and(|at| at <= now));
        outcome.or_else(|| {
            let why = Terminated::Timeout(timeout?);
            self.handle.abandon();
            Some(Err(wasmtime::Error::new(why)))
        })
    }

    /// When it is given up.
    pub(super) fn given_up_at(&self) -> Option<Instant> {
        self.started.checked_add(self.timeout?)?.checked_add(STUCK)
    }
}

fn run(guest: &Guest, ctx: WasockCtx) -> Outcome {
    let runtime = DrivingRuntime::build(&mut Builder::new_current_thread()).map_err(wasmtime::Error::new)?;
    runtime.block_on(guest.run(ctx))
}

/// Tells the service that the instance has ended, also after a panic of the host's.
struct Ends {
    outcome: Arc<Mutex<Option<Outcome>>>,
    service: Arc<service::ServiceState>,
    found: Option<Outcome>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let failed = || Err(wasmtime::Error::new(Terminated::HostPanic("ran an instance")));
        *unpoisoned(&self.outcome) = Some(self.found.take().unwrap_or_else(failed));
        self.service.changed();
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
