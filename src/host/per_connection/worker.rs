//! What accepts, and runs the instances of what it has accepted: a thread with a runtime of its own, or a
//! task in an executor of the embedder's, which runs the instances too.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::watch;

use super::instance::{self, Unserved};
use super::listener::Listener;
use super::shared::{Phase, Shared};
use crate::error::{Errno, Terminated};
use crate::io::{DrivingRuntime, start_thread};
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
        let worker = Worker::new(shared, number, phase.subscribe());
        match shared.spawn() {
            Some(spawn) => spawn(Box::pin(worker.work())),
            None => {
                let works = move || worker.own_thread();
                start_thread(format!("wasock-worker-{number}"), works).map_err(wasmtime::Error::new)?;
            }
        }
    }
    Ok(())
}

/// One worker, which tells the service when it accepts no more, and when it has ended.
struct Worker {
    shared: Arc<Shared>,
    number: u32,
    phase: watch::Receiver<Phase>,
    accepts: bool,
    has_ended: bool,
}

impl Worker {
    fn new(shared: &Arc<Shared>, number: u32, phase: watch::Receiver<Phase>) -> Self {
        shared.worker_starts();
        Self { shared: Arc::clone(shared), number, phase, accepts: true, has_ended: false }
    }

    fn own_thread(mut self) {
        let runtime = DrivingRuntime::build(Builder::new_current_thread().event_interval(EVENT_INTERVAL));
        match runtime {
            // Instances that are left are dropped with the runtime, which ends them.
            Ok(runtime) => runtime.block_on(self.work_here()),
            Err(errno) => self.fail(errno),
        }
    }

    async fn work(mut self) {
        self.work_here().await;
    }

    async fn work_here(&mut self) {
        if let Err(errno) = self.accept_until_the_end().await {
            return self.fail(errno);
        }
        self.accepts_no_more();
        wait_for(&mut self.phase, Phase::Ended).await;
        self.has_ended = true;
    }

    async fn accept_until_the_end(&mut self) -> Result<(), Errno> {
        if self.number > 0 {
            let mut listens = self.shared.listens.subscribe();
            tokio::select! {
                () = async { drop(listens.wait_for(|listens| *listens).await) } => {}
                () = wait_for(&mut self.phase, Phase::Draining) => {}
            }
        }
        if *self.phase.borrow() >= Phase::Draining {
            return Ok(());
        }
        let open = |listener: &Arc<Listener>| {
            let socket = listener.socket(self.number)?;
            Ok::<Accepting, Errno>(Box::pin(accept_all(
                Arc::clone(&self.shared),
                Arc::clone(listener),
                socket,
            )))
        };
        let accepting = match self.shared.listeners.iter().map(open).collect::<Result<Vec<_>, _>>() {
            // Shut down since the look at the phase.
            Err(Errno::EBADF) => return Ok(()),
            accepting => accepting?,
        };
        self.shared.listens.send_replace(true);
        // What accepts is dropped then, and with it its listeners: no connection is lost.
        tokio::select! {
            biased;
            () = wait_for(&mut self.phase, Phase::Draining) => {}
            () = all(accepting) => {}
        }
        Ok(())
    }

    fn accepts_no_more(&mut self) {
        if std::mem::take(&mut self.accepts) {
            self.shared.worker_accepts_no_more();
        }
    }

    fn fail(&mut self, errno: Errno) {
        self.shared.fail(wasmtime::Error::new(errno));
        self.has_ended = true;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.fail(wasmtime::Error::new(Terminated::HostPanic("ran instances")));
        } else if !self.has_ended {
            self.shared
                .fail(wasmtime::Error::msg("the executor of the instances has ended before the service"));
        }
        self.accepts_no_more();
        self.shared.worker_ended();
    }
}

/// Waits until the service is at `wanted`, or gone.
async fn wait_for(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    drop(phase.wait_for(|phase| *phase >= wanted).await);
}

type Accepting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs them side by side.
async fn all(mut accepting: Vec<Accepting>) {
    poll_fn(|context| {
        accepting.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if accepting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Makes an instance for each connection of `listener`, which this worker has as `socket`.
async fn accept_all(shared: Arc<Shared>, listener: Arc<Listener>, socket: Arc<Socket>) {
    while let Some((permit, has_waited)) = shared.permit().await {
        let Some(accepted) = listener.accept(&shared, &socket, has_waited).await else { return };
        let unserved = Unserved::new(accepted, &listener);
        let Some(entered) = shared.enter() else { return };
        let served = instance::serve(Arc::clone(&shared), entered, unserved, permit);
        tracing::trace!("a task of {} bytes", size_of_val(&served));
        shared.run(served);
    }
}
