//! Which tokio runtime drives a socket.

use std::future::pending;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::AbortHandle;

use crate::error::Errno;

/// The runtime of the caller, or else one of our own with a single thread.
///
/// An async embedder's sockets live on the embedder's runtime. A blocking embedder,
/// and one whose executor is not tokio's, has none: the first socket then starts
/// the thread that all such sockets share.
///
/// # Errors
///
/// `EAGAIN` where the host can't start that thread, `ENFILE` where it has no descriptors
/// for it.
pub fn reactor() -> Result<Handle, Errno> {
    Handle::try_current().or_else(|_| own_reactor())
}

/// The runtime for blocking embedders, whatever runtime the caller may be inside.
///
/// # Errors
///
/// `EAGAIN` where the host can't start its thread, `ENFILE` where it has no descriptors
/// for it. A later call tries again.
pub(crate) fn own_reactor() -> Result<Handle, Errno> {
    static OWN: OnceLock<Handle> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(handle) = OWN.get() {
        return Ok(handle.clone());
    }
    // One at a time: a second runtime would have to be ended again.
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = OWN.get() {
        return Ok(handle.clone());
    }
    let handle = start()?;
    Ok(OWN.get_or_init(|| handle).clone())
}

/// Starts a thread that drives a runtime until the process ends.
///
/// tokio's runtimes of several threads panic where the operating system refuses one, so
/// this is one of a single thread, which is started here. The runtime is made on that
/// thread: what fails there, were it by a panic, is an error here.
fn start() -> Result<Handle, Errno> {
    let (sender, receiver) = mpsc::sync_channel::<io::Result<Handle>>(1);
    thread::Builder::new().name("wasock-reactor".to_owned()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(sender.send(Err(error))),
        };
        if sender.send(Ok(runtime.handle().clone())).is_ok() {
            runtime.block_on(pending::<()>());
        }
    })?;
    // tokio fails by a panic where it has no descriptors for its signals.
    Ok(receiver.recv().map_err(|_| Errno::ENFILE)??)
}

/// Runs `task` on `reactor`. Where it panics, `failed` is called: whoever relies on the task
/// would wait for ever.
pub(crate) fn spawn_guarded(
    reactor: &Handle,
    task: impl Future<Output = ()> + Send + 'static,
    failed: impl FnOnce() + Send + 'static,
) -> AbortHandle {
    let guard = AtPanic::new(failed);
    let task = reactor.spawn(async move {
        // It goes after the task.
        let _guard = guard;
        task.await;
    });
    task.abort_handle()
}

/// Calls a function where its thread panics before this goes.
pub(crate) struct AtPanic<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> AtPanic<F> {
    pub(crate) fn new(failed: F) -> Self {
        Self(Some(failed))
    }
}

impl<F: FnOnce()> Drop for AtPanic<F> {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(failed) = self.0.take()
        {
            failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_panic_of_a_task_is_heard_of_and_its_end_is_not() {
        let reactor = own_reactor();
        assert!(reactor.is_ok());
        let Ok(reactor) = reactor else { return };
        let (sender, receiver) = channel();
        let told = sender.clone();
        let panics = async { std::panic::resume_unwind(Box::new(())) };
        _ = spawn_guarded(&reactor, panics, move || _ = told.send(()));
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(()));
        _ = spawn_guarded(&reactor, async {}, move || _ = sender.send(()));
        // The sender goes with the task, and has said nothing.
        assert_eq!(receiver.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}
