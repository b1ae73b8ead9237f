//! Which tokio runtime drives a socket.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockWriteGuard, Weak, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle, Id, Runtime};
use tokio::task::AbortHandle;

use super::HostRuntime;
use crate::error::Errno;

/// How many runtimes are remembered as able to drive sockets. Forgetting an older one costs its
/// sockets a thread switch for each wait, and nothing else.
const MOST: usize = 64;

/// The runtime of the host's own, and those of embedders that may drive sockets too.
pub(super) struct OwnReactor {
    started: OnceLock<Handle>,
    /// One at a time: a second runtime would have to be ended again.
    starting: Mutex<()>,
    /// The runtimes that their owners have [named](can_drive).
    named: RwLock<Vec<Id>>,
}

impl OwnReactor {
    pub(super) const fn new() -> Self {
        Self { started: OnceLock::new(), starting: Mutex::new(()), named: RwLock::new(Vec::new()) }
    }

    fn handle(&self) -> Result<Handle, Errno> {
        if let Some(handle) = self.started.get() {
            return Ok(handle.clone());
        }
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = self.started.get() {
            return Ok(handle.clone());
        }
        let handle = start()?;
        Ok(self.started.get_or_init(|| handle).clone())
    }

    fn is_named(&self, runtime: &Handle) -> bool {
        self.named.read().unwrap_or_else(PoisonError::into_inner).contains(&runtime.id())
    }

    fn named(&self) -> RwLockWriteGuard<'_, Vec<Id>> {
        self.named.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that `runtime` has its driver for I/O enabled, and may drive sockets.
///
/// There is no way to ask a runtime: it panics where it has none.
pub(crate) fn can_drive(runtime: &Handle) {
    let id = runtime.id();
    let mut named = own().named();
    if !named.contains(&id) {
        if named.len() >= MOST {
            named.remove(0);
        }
        named.push(id);
    }
}

/// Notes that `runtime` ends.
pub(crate) fn no_longer_drives(runtime: &Handle) {
    let id = runtime.id();
    own().named().retain(|named| *named != id);
}

/// A runtime of the caller's thread, which drives sockets as long as this lives.
pub(crate) struct DrivingRuntime {
    // Before the runtime: nothing is registered with one that ends.
    _named: Named,
    runtime: Runtime,
}

/// A runtime is [named](can_drive) as long as this lives.
struct Named(Handle);

impl DrivingRuntime {
    /// What `builder` builds, with every driver.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptors for it.
    pub(crate) fn build(builder: &mut Builder) -> Result<Self, Errno> {
        let runtime = builder.enable_all().build()?;
        can_drive(runtime.handle());
        Ok(Self { _named: Named(runtime.handle().clone()), runtime })
    }

    /// As [`Runtime::block_on`].
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Ends it without a wait for what its threads still do, where a drop waits for that.
    #[cfg(feature = "components")]
    pub(crate) fn end_in_background(self) {
        no_longer_drives(self.runtime.handle());
        self.runtime.shutdown_background();
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        no_longer_drives(&self.0);
    }
}

fn own() -> &'static OwnReactor {
    &HostRuntime::of_process().reactor
}

/// The runtime of the caller where that was [named](can_drive), or else one of our own with a
/// single thread, which the first socket starts and all such sockets share.
///
/// Another runtime of the caller's may lack what a socket needs, and may end before it.
///
/// # Errors
///
/// `EAGAIN` where the host can't start that thread, `ENFILE` where it has no descriptors
/// for it.
pub fn reactor() -> Result<Handle, Errno> {
    match Handle::try_current() {
        Ok(current) if own().is_named(&current) => Ok(current),
        _ => own_reactor(),
    }
}

/// Calls `poll` inside of a runtime, for what can do without one of its own but not without any:
/// the streams of tokio that an embedder gives to a guest move their work to its threads.
///
/// # Errors
///
/// Those of [`own_reactor`], where the caller is in no runtime.
pub(crate) fn inside_a_runtime<T>(poll: impl FnOnce() -> T) -> Result<T, Errno> {
    if Handle::try_current().is_ok() {
        return Ok(poll());
    }
    let own = own_reactor()?;
    let _inside = own.enter();
    Ok(poll())
}

/// The runtime for blocking embedders, whatever runtime the caller may be inside.
///
/// # Errors
///
/// `EAGAIN` where the host can't start its thread, `ENFILE` where it has no descriptors
/// for it. A later call tries again.
pub(crate) fn own_reactor() -> Result<Handle, Errno> {
    own().handle()
}

/// Is it the runtime of wasock's own?
pub(super) fn is_own_reactor(runtime: &Handle) -> bool {
    own().started.get().is_some_and(|own| own.id() == runtime.id())
}

/// The one that all descriptors have which this thread makes for `runtime`, one after the other: they are many.
pub(super) fn shared(runtime: Handle) -> Arc<Handle> {
    thread_local! {
        static LAST: RefCell<Weak<Handle>> = const { RefCell::new(Weak::new()) };
    }
    LAST.with_borrow_mut(|last| {
        let known = last.upgrade().filter(|known| known.id() == runtime.id());
        known.unwrap_or_else(|| {
            let made = Arc::new(runtime);
            *last = Arc::downgrade(&made);
            made
        })
    })
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

/// Runs `task` on `reactor`. If it panics, `failed` is called: waiters for the task would
/// wait forever.
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

    const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

    #[test]
    fn a_panic_of_a_task_is_reported_and_its_end_is_not() {
        let reactor = own_reactor();
        assert!(reactor.is_ok());
        let Ok(reactor) = reactor else { return };
        let (sender, receiver) = channel();
        let told = sender.clone();
        let panics = async { std::panic::resume_unwind(Box::new(())) };
        _ = spawn_guarded(&reactor, panics, move || _ = told.send(()));
        assert_eq!(receiver.recv_timeout(WAIT_TIMEOUT), Ok(()));
        _ = spawn_guarded(&reactor, async {}, move || _ = sender.send(()));
        // The sender goes with the task, and has said nothing.
        assert_eq!(receiver.recv_timeout(WAIT_TIMEOUT), Err(RecvTimeoutError::Disconnected));
    }
}
