//! Which tokio runtime drives a socket.

use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::Errno;

/// The runtime of the caller, or else one of our own with a single thread.
///
/// An async embedder's sockets live on the embedder's runtime. A blocking embedder,
/// and one whose executor is not tokio's, has none: the first socket then starts
/// the thread that all such sockets share.
///
/// # Errors
///
/// `EAGAIN` where the host can't start that thread.
pub fn reactor() -> Result<Handle, Errno> {
    Handle::try_current().or_else(|_| own_reactor())
}

/// The runtime for blocking embedders, whatever runtime the caller may be inside.
///
/// # Errors
///
/// `EAGAIN` where the host can't start its thread.
pub(crate) fn own_reactor() -> Result<Handle, Errno> {
    static OWN: OnceLock<Runtime> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(runtime) = OWN.get() {
        return Ok(runtime.handle().clone());
    }
    // One at a time: a second runtime would have to be ended again.
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = OWN.get() {
        return Ok(runtime.handle().clone());
    }
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_name("wasock-reactor").enable_all().build()?;
    Ok(OWN.get_or_init(|| runtime).handle().clone())
}
