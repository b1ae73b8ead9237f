//! Reloads. At an order the module is read anew, and the files that say how it runs; the service
//! goes over to them, or nothing changes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Result, ensure};
use tokio::sync::{mpsc, oneshot};
use wasock::{Guest, ReloadError, Service, WasockCtxBuilder};

use crate::args::RunArgs;
use crate::invocation::{Invocation, Mistakes};
use crate::report::{Lines, say};
use crate::watch::{self, FileState};
use crate::{manager, run, serve, start, text_file, wall};

/// How many orders may wait. Those that wait are done as one.
const MOST_WAITING: usize = 64;

/// Has a service go over to the files as they are now. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reloader {
    orders: mpsc::Sender<Order>,
    refused: Arc<AtomicU64>,
    named: Arc<Mutex<Named>>,
}

/// What was named, now and at the start.
struct Named {
    /// The module that serves.
    module: String,
    /// What the last order has read, good or not, as it was then.
    files: Vec<(PathBuf, FileState)>,
}

/// What has become of a reload: the number of the generation that serves now, or why nothing has
/// changed.
pub(crate) type Outcome = Result<u32, ReloadFailure>;

/// Who waits for that.
type Order = oneshot::Sender<Outcome>;

/// Why a reload has changed nothing.
#[derive(Clone, Debug)]
pub(crate) enum ReloadFailure {
    /// What was read is no good: a sentence, and lines about it.
    Unusable(String),
    /// These keys differ, which are of the host's process.
    NeedsRestart(Vec<String>),
    /// The new generation did not serve.
    Failed(ReloadError),
}

impl fmt::Display for ReloadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(why) => f.write_str(why),
            Self::NeedsRestart(keys) => {
                write!(f, "these keys need a restart of the host: {}", keys.join(", "))
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Reloader {
    /// Starts the thread that reads and compiles: what `invocation` says is what runs.
    ///
    /// # Errors
    ///
    /// Where the host has no thread for it, or no descriptors.
    pub(crate) fn start(invocation: Invocation, args: &RunArgs, service: &Service) -> Result<Self> {
        text_file::refuse_pipes();
        let (orders, waiting) = mpsc::channel(MOST_WAITING);
        let (runtime, refused) = (start::runtime()?, Arc::<AtomicU64>::default());
        let named = Named { module: args.module().to_owned(), files: watch::files(args) };
        let named = Arc::new(Mutex::new(named));
        let (names, refuses) = (Arc::clone(&named), Arc::clone(&refused));
        let mut worker = Worker { invocation, service: service.clone(), refused: refuses, named: names };
        let works = move || {
            let mut waiting: mpsc::Receiver<Order> = waiting;
            while let Some(first) = waiting.blocking_recv() {
                let mut answers = vec![first];
                // Those that came meanwhile mean the files as they are now.
                while let Ok(another) = waiting.try_recv() {
                    answers.push(another);
                }
                manager::reloads();
                let outcome = runtime.block_on(worker.reload());
                manager::reloaded(&outcome.clone().map_err(|why| why.to_string()));
                for answer in answers {
                    let _unheard = answer.send(outcome.clone());
                }
            }
        };
        thread::Builder::new().name("wasock-reload".to_owned()).spawn(works)?;
        Ok(Self { orders, refused, named })
    }

    /// Orders a reload, of which nobody waits to hear: a line says what has become of it.
    pub(crate) fn order(&self) {
        // Where the queue is full, one that waits means the files as they are now, too.
        let _waits = self.orders.try_send(oneshot::channel().0);
    }

    /// Orders a reload, and returns what has become of it.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped, the reload goes on.
    pub(crate) async fn reload(&self) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let over = Err(ReloadFailure::Failed(ReloadError::NotRunning));
        if self.orders.send(answer).await.is_err() {
            return over;
        }
        outcome.await.unwrap_or(over)
    }

    /// The module that serves, as it was named.
    pub(crate) fn module(&self) -> String {
        unpoisoned(&self.named).module.clone()
    }

    /// The files that the last order has read, as they were just before.
    pub(crate) fn files(&self) -> Vec<(PathBuf, FileState)> {
        unpoisoned(&self.named).files.clone()
    }

    /// How many were refused before there was a new generation: what was read was no good.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

/// Does one reload after the other.
struct Worker {
    /// What the generation that serves was made of.
    invocation: Invocation,
    service: Service,
    refused: Arc<AtomicU64>,
    named: Arc<Mutex<Named>>,
}

/// What a reload needs: all of it is good.
struct Prepared {
    guest: Guest,
    ctx: WasockCtxBuilder,
    invocation: Invocation,
    module: String,
}

impl Worker {
    async fn reload(&mut self) -> Outcome {
        let Prepared { guest, ctx, invocation, module } = match self.prepare() {
            Ok(prepared) => prepared,
            Err(failure) => {
                self.refused.fetch_add(1, Relaxed);
                return Err(failure);
            }
        };
        match self.service.reload_with(guest, ctx).await {
            Ok(generation) => {
                self.invocation = invocation;
                unpoisoned(&self.named).module = module;
                Ok(generation)
            }
            Err(error) => {
                // The others are reported as events.
                if let ReloadError::Settings(why) = &error {
                    say!("wasock: no reload, the running program goes on: {why}");
                }
                Err(ReloadFailure::Failed(error))
            }
        }
    }

    /// Reads everything, and compiles the module: all of it is good, or nothing is changed.
    fn prepare(&self) -> Result<Prepared, ReloadFailure> {
        let (args, invocation) = self.invocation.again().map_err(unusable)?;
        unpoisoned(&self.named).files = watch::files(&args);
        let keys = self.invocation.lasting_differences(&invocation);
        if !keys.is_empty() {
            let failure = ReloadFailure::NeedsRestart(keys);
            say!("wasock: reload refused: {failure}");
            return Err(failure);
        }
        let prepared = load(&args).and_then(|guest| Ok((guest, serve::settings(&args)?)));
        let (guest, ctx) = prepared.map_err(|error| {
            say!("wasock: no reload, the running program goes on: {error:#}");
            ReloadFailure::Unusable(format!("{error:#}"))
        })?;
        Ok(Prepared { guest, ctx, invocation, module: args.module().to_owned() })
    }
}

/// Loads the module, if the wall lets the new generation have what it needs.
fn load(args: &RunArgs) -> Result<Guest> {
    let missing = wall::lacks(args);
    let what = missing.as_deref().unwrap_or_default();
    ensure!(
        missing.is_none(),
        "the wall that stands since the start (Landlock) leaves out {what}: that takes a restart"
    );
    run::load(Path::new(args.module()), args)
}

/// Says what is wrong with the command line as it reads now, and with its file.
fn unusable(mistakes: Mistakes) -> ReloadFailure {
    let mut lines = Lines::default();
    let why = match mistakes {
        Mistakes::InFile(found) => {
            lines = found;
            "its file has mistakes (--config)".to_owned()
        }
        Mistakes::Unreadable(why) => why,
        Mistakes::Usage(error) => crate::reason(&error),
        Mistakes::NoModule => crate::NO_MODULE.to_owned(),
    };
    // Who has asked for it gets the same, the sentence first.
    let found = lines.to_string();
    let found = found.lines().map(|line| line.strip_prefix("wasock: ").unwrap_or(line));
    let failure = [why.as_str()].into_iter().chain(found).collect::<Vec<_>>().join("\n");
    lines.line(format_args!("wasock: no reload, the running program goes on: {why}"));
    lines.say();
    ReloadFailure::Unusable(failure)
}

/// Whole whenever the lock is free.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
