//! Reloads: the module is read and compiled anew, and the service goes over to it, or nothing changes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use anyhow::Result;
use tokio::sync::{mpsc, oneshot};
use wasock::Service;

use crate::args::RunArgs;
use crate::report::say;
use crate::{manager, run, start};

/// How many orders may wait. Those that wait are done as one.
const MOST_WAITING: usize = 64;

/// The number of the generation that serves now, or why nothing has changed.
type Outcome = Result<u32, String>;

/// Has a service go over to its module as it is now. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reloader {
    orders: mpsc::Sender<oneshot::Sender<Outcome>>,
    refused: Arc<AtomicU64>,
}

impl Reloader {
    /// Starts the thread that reads and compiles.
    ///
    /// # Errors
    ///
    /// Where the host has no thread for it, or no descriptors.
    pub(crate) fn start(args: &Arc<RunArgs>, service: &Service) -> Result<Self> {
        let (orders, mut waiting) = mpsc::channel::<oneshot::Sender<Outcome>>(MOST_WAITING);
        let (args, service, runtime) = (Arc::clone(args), service.clone(), start::runtime()?);
        let refused = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&refused);
        let works = move || {
            while let Some(first) = waiting.blocking_recv() {
                let mut answers = vec![first];
                // Those that came meanwhile mean the file as it is now.
                while let Ok(another) = waiting.try_recv() {
                    answers.push(another);
                }
                manager::reloads();
                let module = args.command.first().map(String::as_str).unwrap_or_default();
                let outcome = match run::load(Path::new(module), &args) {
                    // What comes of it is reported as an event, too.
                    Ok(guest) => runtime.block_on(service.reload(guest)).map_err(|why| why.to_string()),
                    Err(error) => {
                        counter.fetch_add(1, Relaxed);
                        say!("wasock: no reload, the running program goes on: {error:#}");
                        Err(format!("{error:#}"))
                    }
                };
                manager::reloaded(&outcome);
                for answer in answers {
                    let _unheard = answer.send(outcome.clone());
                }
            }
        };
        thread::Builder::new().name("wasock-reload".to_owned()).spawn(works)?;
        Ok(Self { orders, refused })
    }

    /// Orders a reload, of which nobody waits to hear: a line says what has become of it.
    pub(crate) fn order(&self) {
        // Where the queue is full, one that waits means the file as it is now, too.
        let _waits = self.orders.try_send(oneshot::channel().0);
    }

    /// Orders a reload, and returns what has become of it.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped, the reload goes on.
    pub(crate) async fn reload(&self) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let over = || Err("the service does not run any more".to_owned());
        if self.orders.send(answer).await.is_err() {
            return over();
        }
        outcome.await.unwrap_or_else(|_| over())
    }

    /// How many were refused because the module did not load.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}
