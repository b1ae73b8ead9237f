//! A thread that accepts, and runs the instances of what it has accepted.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::filter::CurrentFilter;
use super::instance::{self, Unserved};
use super::listener::{Listener, accept};
use super::shared::{Phase, Shared};
use crate::error::{Errno, Terminated};
use crate::io::{can_drive, no_longer_drives, start_thread};
use crate::socket::Socket;

/// After so many polls the runtime looks for what has come in. By itself it would do so after 61,
/// which take half a second where each is one of code that computes.
const EVENT_INTERVAL: u32 = 8;

/// Starts as many as the service has workers.
///
/// # Errors
///
/// Where the host can't start a thread.
pub(super) fn start_all(shared: &Arc<Shared>, phase: &watch::Sender<Phase>) -> wasmtime::Result<()> {
    for number in 0..shared.service.supervision().options.workers {
        let (shared, phase) = (Arc::clone(shared), phase.subscribe());
        shared.workers.fetch_add(1, SeqCst);
        let end = WorkerEnd(Arc::clone(&shared));
        let works = move || {
            let _end = end;
            if let Err(error) = work(&shared, number == 0, phase) {
                shared.fail(error);
            }
        };
        start_thread(format!("wasock-worker-{number}"), works).map_err(wasmtime::Error::new)?;
    }
    Ok(())
}

fn work(shared: &Arc<Shared>, is_first: bool, phase: watch::Receiver<Phase>) -> wasmtime::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build();
    let runtime = runtime.map_err(|error| wasmtime::Error::new(Errno::from(error)))?;
    can_drive(runtime.handle());
    // Instances that are left are dropped with the runtime, which ends them.
    let runtime = NamedRuntime(runtime);
    runtime.0.block_on(accept_until_the_end(shared, is_first, phase)).map_err(wasmtime::Error::new)
}

async fn accept_until_the_end(
    shared: &Arc<Shared>,
    is_first: bool,
    mut phase: watch::Receiver<Phase>,
) -> Result<(), Errno> {
    if !is_first {
        let mut listens = shared.listens.subscribe();
        tokio::select! {
            _ = listens.wait_for(|listens| *listens) => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {}
        }
    }
    let open =
        |listener: &Listener| Ok::<_, Errno>((listener.socket(is_first)?, Arc::clone(listener.filter())));
    let sockets = shared.listeners.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    shared.listens.send_replace(true);
    let accepting: Vec<_> = sockets
        .into_iter()
        .map(|(socket, filter)| tokio::spawn(accept_all(Arc::clone(shared), socket, filter)))
        .collect();
    // Where the sender is gone, so is the service.
    drop(phase.wait_for(|phase| *phase >= Phase::Draining).await);
    for task in accepting {
        task.abort();
        // With it goes its listener.
        let _aborted = task.await;
    }
    drop(phase.wait_for(|phase| *phase >= Phase::Ended).await);
    Ok(())
}

/// Makes an instance for each connection of `listener`.
async fn accept_all(shared: Arc<Shared>, listener: Arc<Socket>, filter: Arc<CurrentFilter>) {
    while let Some((permit, has_waited)) = shared.permit().await {
        let Some(accepted) = accept(&shared, &listener, filter.as_ref(), has_waited).await else { return };
        let unserved = Unserved::new(accepted);
        let Some(entered) = shared.enter() else { return };
        let served = instance::serve(Arc::clone(&shared), entered, unserved, permit);
        tracing::trace!("a task of {} bytes", size_of_val(&served));
        tokio::spawn(served);
    }
}

/// A runtime that drives sockets as long as this lives.
struct NamedRuntime(Runtime);

impl Drop for NamedRuntime {
    fn drop(&mut self) {
        no_longer_drives(self.0.handle());
    }
}

/// Tells the service that the worker has ended, also after a panic of the host's.
struct WorkerEnd(Arc<Shared>);

impl Drop for WorkerEnd {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(wasmtime::Error::new(Terminated::HostPanic("ran instances")));
        }
        self.0.worker_ended();
    }
}
