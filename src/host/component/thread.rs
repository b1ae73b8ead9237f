//! A component on a thread of its own.
//!
//! The thread polls the future of its life, and parks while that waits: what waits for a descriptor of the kernel's
//! alone is woken by it, as a module's thread is ([`threads`](super::super::threads)). With the async functions of the
//! component model that future is one of many, each of which the engine polls when it was woken itself: no park of the
//! whole says which. Then the thread has a reactor of its own, and no other thread stands between the kernel and it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::unconstrained;

use super::super::interrupt::until_the_end;
use super::super::limits::contained;
use super::super::outcome::{Ended, ended, error_of};
use super::run::deliver_the_rest;
use crate::error::{Errno, Terminated};
use crate::io::{DrivingRuntime, ReservedThread, park_on, reactor, sleep, start_thread};
use crate::observe::Event;
use crate::process::{MAIN, Process, Threads};

/// How long the thread may take to end before the end is reported without it.
const WAIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The message if the thread is gone without an outcome.
const HOST_FAILED: Terminated = Terminated::HostPanic("ran its thread");

/// What the thread waits by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsBy {
    /// The kernel's poll of all that its future waits for.
    Poll,
    /// A reactor of its own, which wakes what waits for one thing.
    Reactor,
}

/// Runs `life` on a thread of its own, the `reserved` one if there is one, until it is over or the guest is ended.
///
/// # Cancel safety
///
/// Dropping the future ends the guest; its thread ends soon after.
///
/// # Errors
///
/// Where the host can't start the thread, and those of `life`.
pub(super) async fn run_on_own_thread<F>(
    process: Arc<Process>,
    threads: Arc<Threads>,
    reserved: Option<ReservedThread>,
    waits_by: WaitsBy,
    life: F,
) -> wasmtime::Result<Ended>
where
    F: Future<Output = wasmtime::Result<Ended>> + Send + 'static,
{
    let cannot_start = |errno: Errno| wasmtime::Error::new(errno).context("cannot start the guest's thread");
    // What drives what the thread can't watch is there before it is.
    let reactor = reactor().map_err(cannot_start)?;
    let (sender, mut receiver) = oneshot::channel();
    let end = EndAtDrop(Arc::clone(&threads));
    let own = (Arc::clone(&process), Arc::clone(&threads));
    let lives = move || {
        let (process, threads) = own;
        let driver = Driver::new(waits_by, reactor);
        {
            let _left = Leave(Arc::clone(&threads));
            let _counted = process.instance().usage().own_thread();
            let lived = driver.drive(until_the_end(&threads, MAIN, contained(&process, life)));
            let _unheard = sender.send(lived);
        }
        driver.drive_what_is_left(&process);
    };
    let name = format!("guest-{MAIN}");
    match reserved {
        Some(reserved) => reserved.start(&name, lives),
        None => start_thread(name, lives).map_err(cannot_start)?,
    }
    tokio::select! {
        biased;
        // Nothing ends it before its time but the drop of this future.
        lived = &mut receiver => match lived {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => Err(wasmtime::Error::new(HOST_FAILED)),
        },
        ending = process.signals().ended() => {
            drop(end);
            process.close_all();
            let is_late = tokio::select! {
                _ = receiver => false,
                () = sleep(WAIT_TIMEOUT) => true,
            };
            if is_late {
                process.leave_behind(threads);
                process.report().tell(Event::ThreadsLeftBehind { count: 1 });
            }
            ended(Err(error_of(ending)))
        }
    }
}

/// What drives the future of the thread.
enum Driver {
    /// The thread parks, and this reactor, which is another thread's, drives what it can't watch.
    Parks(Handle),
    /// Its own reactor.
    Own(DrivingRuntime),
}

impl Driver {
    /// A host without descriptors for a reactor more has the other one serve the thread.
    fn new(waits_by: WaitsBy, reactor: Handle) -> Self {
        let own = || DrivingRuntime::build(&mut Builder::new_current_thread()).ok();
        match waits_by {
            WaitsBy::Reactor => own().map_or(Self::Parks(reactor), Self::Own),
            WaitsBy::Poll => Self::Parks(reactor),
        }
    }

    fn drive<F: Future>(&self, future: F) -> F::Output {
        match self {
            Self::Parks(reactor) => {
                let _inside = reactor.enter();
                park_on(future)
            }
            // What is over a task's budget would wait for a scheduler that has nothing else to run.
            Self::Own(runtime) => runtime.block_on(unconstrained(future)),
        }
    }

    /// Drives what the guest has left to the host where nobody else does, and waits for none of its calls that block.
    fn drive_what_is_left(self, process: &Process) {
        if let Self::Own(runtime) = self {
            runtime.block_on(deliver_the_rest(process));
            runtime.end_in_background();
        }
    }
}

/// Ends the thread when it goes, should that not have ended.
struct EndAtDrop(Arc<Threads>);

impl Drop for EndAtDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The thread ends.
struct Leave(Arc<Threads>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.leave(MAIN);
    }
}
