//! Which tokio runtime drives a socket.

use std::future::pending;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle};

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
