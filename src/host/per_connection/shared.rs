//! What the workers of a service share.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::super::connection_options::{ConnectionOptions, Spawn};
use super::super::service::Service;
use super::generation::{Entered, Generation};
use super::listener::Listener;
use super::pulse::Pulse;
use crate::error::Errno;
use crate::observe::Limit;
use crate::process::ConnectionAs;
use crate::socket::listen::LimitExceeded;

/// What the workers are at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Accepting,
    /// Nobody is let in any more.
    Draining,
    Ended,
}

pub(super) struct Shared {
    pub(super) service: Service,
    pub(super) listeners: Vec<Arc<Listener>>,
    pub(super) shown_as: ConnectionAs,
    pub(super) pulse: Arc<Pulse>,
    /// How many workers there are.
    workers: AtomicUsize,
    /// How many of them accept.
    accepting: AtomicUsize,
    /// Does the first worker listen? The others begin then, for it is the one that reports it.
    pub(super) listens: watch::Sender<bool>,
    /// Woken when an instance has ended, and with it perhaps what a listener waits for.
    pub(super) ended: Notify,
    permits: Arc<Semaphore>,
    max_instances: u32,
    last_instance: AtomicU64,
    /// What new connections get.
    serving: Mutex<Option<Arc<Generation>>>,
    failure: Mutex<Option<wasmtime::Error>>,
}

impl Shared {
    pub(super) fn new(service: &Service) -> wasmtime::Result<Arc<Self>> {
        let default = ConnectionOptions::default();
        let options = service.supervision().connections.as_ref().unwrap_or(&default);
        let open = |given| Listener::open(given, service).map(Arc::new);
        let listeners = options.listeners.iter().map(open);
        let listeners = listeners.collect::<Result<Vec<_>, Errno>>().map_err(wasmtime::Error::new)?;
        Ok(Arc::new(Self {
            service: service.clone(),
            listeners,
            shown_as: options.shown_as,
            pulse: Pulse::start().map_err(wasmtime::Error::new)?,
            workers: AtomicUsize::new(0),
            accepting: AtomicUsize::new(0),
            listens: watch::Sender::new(false),
            ended: Notify::new(),
            permits: Arc::new(Semaphore::new(
                usize::try_from(options.max_instances).unwrap_or(usize::MAX >> 4),
            )),
            max_instances: options.max_instances,
            last_instance: AtomicU64::new(0),
            serving: Mutex::default(),
            failure: Mutex::default(),
        }))
    }

    /// What runs tasks in an executor of the embedder's, where it has given one.
    pub(super) fn spawn(&self) -> Option<&Spawn> {
        self.service.supervision().connections.as_ref()?.spawn.as_ref()
    }

    /// Runs `task` beside the caller, which is a task of a worker's.
    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self.spawn() {
            Some(spawn) => spawn(Box::pin(task)),
            None => drop(tokio::spawn(task)),
        }
    }

    /// A permit for one more instance, and whether it had to be waited for. `None` at the end.
    pub(super) async fn permit(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let permits = || Arc::clone(&self.permits);
        match permits().try_acquire_owned() {
            Ok(permit) => Some((permit, false)),
            Err(_) => permits().acquire_owned().await.ok().map(|permit| (permit, true)),
        }
    }

    /// The limit to the number of instances, which keeps connections waiting.
    pub(super) fn limit(&self) -> LimitExceeded {
        LimitExceeded { limit: Limit::Instances, most: self.max_instances }
    }

    /// One more instance of the generation that serves, if one does.
    pub(super) fn enter(&self) -> Option<Entered> {
        let serving = self.serving();
        // Counted under the lock: a generation that serves no more has all of its instances counted.
        let number = self.last_instance.fetch_add(1, Relaxed);
        serving.as_ref().map(|generation| Entered::new(generation, number))
    }

    /// From now on new connections get an instance of `generation`.
    pub(super) fn serve(&self, generation: &Arc<Generation>) {
        self.pulse.add(generation.program.ticker());
        let policy = generation.template.service.policy();
        self.listeners.iter().for_each(|listener| listener.filter().decide_by(policy));
        *self.serving() = Some(Arc::clone(generation));
    }

    /// No more instances are made.
    pub(super) fn stop_serving(&self) {
        let last = self.serving().take();
        drop(last);
    }

    fn serving(&self) -> MutexGuard<'_, Option<Arc<Generation>>> {
        unpoisoned(&self.serving)
    }

    /// Whoever comes from now on is refused, but for those at listeners that others have too. Once no worker
    /// accepts any more: to one that does, a listener over AF_UNIX that is shut down is ready for ever, and has none.
    pub(super) fn refuse_all(&self) {
        let report = self.service.inner().report();
        for listener in &self.listeners {
            report.reset_waiting(listener.local().clone(), listener.shut_down());
        }
    }

    /// The service can't go on.
    pub(super) fn fail(&self, error: wasmtime::Error) {
        unpoisoned(&self.failure).get_or_insert(error);
        self.service.inner().changed();
    }

    pub(super) fn take_failure(&self) -> Option<wasmtime::Error> {
        unpoisoned(&self.failure).take()
    }

    /// One more worker is about to accept.
    pub(super) fn worker_starts(&self) {
        self.workers.fetch_add(1, SeqCst);
        self.accepting.fetch_add(1, SeqCst);
    }

    /// A worker takes no connection any more: those that it has taken have their instances.
    pub(super) fn worker_accepts_no_more(&self) {
        self.accepting.fetch_sub(1, SeqCst);
        self.service.inner().changed();
    }

    /// A worker has ended.
    pub(super) fn worker_ended(&self) {
        self.workers.fetch_sub(1, SeqCst);
        self.service.inner().changed();
    }

    /// Does any worker accept?
    pub(super) fn is_accepting(&self) -> bool {
        self.accepting.load(SeqCst) > 0
    }

    /// Does any worker run?
    pub(super) fn has_workers(&self) -> bool {
        self.workers.load(SeqCst) > 0
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind each of them is whole whenever it is unlocked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
