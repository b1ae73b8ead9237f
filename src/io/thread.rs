//! A pool of host threads. Each runs one work item after another: a guest thread, or a
//! blocking call.
//!
//! A guest that starts a thread for each connection starts thousands in a second, and most of
//! what a new thread of the host costs is for what the last one had already: its stack, its
//! stack for signals, its place in the C library. So an idle thread is kept for a moment. Work
//! never waits for one: if none is idle, a new thread is started.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use super::{HostRuntime, room};
use crate::error::Errno;

/// The stack of a host thread that runs no guest's code on it.
const STACK: usize = 512 * 1024;

/// The maximum number of idle threads in the process.
const MOST: usize = 32;

/// How long an idle thread is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The name of an idle thread; the search for guest threads ignores it.
const NAME: &str = "wasock-idle";

type Work = Box<dyn FnOnce() + Send>;

/// The threads that wait for work.
pub(super) struct ThreadPool {
    /// Last in, first out, so that the others' timeouts run.
    ///
    /// The lock is taken before that of a [`PooledThread`].
    idle: Mutex<Vec<Arc<PooledThread>>>,
}

/// Where an idle thread waits for work.
struct PooledThread {
    /// The size of its stack.
    stack: usize,
    work: Mutex<Option<Work>>,
    has_come: Condvar,
}

/// Runs `work` on a host thread that is named `name` meanwhile.
///
/// # Errors
///
/// `EAGAIN` where the host can't start another thread.
pub(crate) fn start(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    start_with_stack(name, STACK, work)
}

/// As [`start`], on a thread with `stack` bytes of stack or more.
///
/// # Errors
///
/// As for [`start`].
pub(crate) fn start_with_stack(
    name: String,
    stack: usize,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), Errno> {
    HostRuntime::of_process().threads.start(name, stack, work)
}

/// Takes a thread with `stack` bytes of stack or more for work that comes later.
///
/// # Errors
///
/// As for [`start`].
pub(crate) fn reserve(stack: usize) -> Result<ReservedThread, Errno> {
    let worker = HostRuntime::of_process().threads.reserve(stack.max(STACK))?;
    Ok(ReservedThread { worker: Some(worker) })
}

/// A thread that waits for its work. It is free again where this is dropped.
pub(crate) struct ReservedThread {
    worker: Option<Arc<PooledThread>>,
}

impl ReservedThread {
    /// Runs `work`, as [`start`] does.
    pub(crate) fn start(mut self, name: &str, work: impl FnOnce() + Send + 'static) {
        if let Some(worker) = self.worker.take() {
            worker.bring(named(name.to_owned(), work));
        }
    }
}

impl Drop for ReservedThread {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.bring(Box::new(|| ()));
        }
    }
}

/// Runs `work` under this name.
fn named(name: String, work: impl FnOnce() + Send + 'static) -> Work {
    Box::new(move || {
        call_this_thread(&name);
        work();
    })
}

impl ThreadPool {
    pub(super) const fn new() -> Self {
        Self { idle: Mutex::new(Vec::new()) }
    }

    fn start(
        &'static self,
        name: String,
        stack: usize,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), Errno> {
        let work = named(name.clone(), work);
        // In a statement of its own: the lock is free then.
        let idle = self.take_idle(stack);
        if let Some(worker) = idle {
            worker.bring(work);
            return Ok(());
        }
        let worker = PooledThread::new(stack);
        self.spawn(name, move || self.live(&worker, work), stack)
    }

    fn reserve(&'static self, stack: usize) -> Result<Arc<PooledThread>, Errno> {
        let idle = self.take_idle(stack);
        if let Some(worker) = idle {
            return Ok(worker);
        }
        let worker = PooledThread::new(stack);
        let own = Arc::clone(&worker);
        let waits = move || {
            if let Some(work) = own.brought() {
                self.live(&own, work);
            }
        };
        self.spawn(NAME.to_owned(), waits, stack)?;
        Ok(worker)
    }

    /// A new thread of the host's.
    fn spawn(
        &'static self,
        name: String,
        life: impl FnOnce() + Send + 'static,
        stack: usize,
    ) -> Result<(), Errno> {
        room::for_thread()?;
        let started = Builder::new().name(name).stack_size(stack).spawn(life);
        started.map(drop).map_err(|_| Errno::EAGAIN)
    }

    /// The worker that has been idle for the shortest time of those with `stack` bytes of stack.
    fn take_idle(&self, stack: usize) -> Option<Arc<PooledThread>> {
        let mut idle = locked(&self.idle);
        let found = idle.iter().rposition(|worker| worker.stack >= stack)?;
        Some(idle.remove(found))
    }

    /// The loop of one worker thread. A panic ends it.
    fn live(&self, worker: &Arc<PooledThread>, mut work: Work) {
        loop {
            work();
            call_this_thread(NAME);
            match worker.next(self) {
                Some(next) => work = next,
                None => return,
            }
        }
    }
}

impl PooledThread {
    fn new(stack: usize) -> Arc<Self> {
        Arc::new(Self { stack, work: Mutex::default(), has_come: Condvar::new() })
    }

    /// Hands it its work: nobody else does.
    fn bring(&self, work: Work) {
        *locked(&self.work) = Some(work);
        self.has_come.notify_one();
    }

    /// Waits for what is about to be brought.
    fn brought(&self) -> Option<Work> {
        let brought = self.has_come.wait_while(locked(&self.work), |work| work.is_none());
        brought.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits for work; `None` after the timeout, or if enough workers are idle already.
    fn next(self: &Arc<Self>, pool: &ThreadPool) -> Option<Work> {
        {
            let mut idle = locked(&pool.idle);
            if idle.len() >= MOST {
                return None;
            }
            idle.push(Arc::clone(self));
        }
        let (mut work, _) = self
            .has_come
            .wait_timeout_while(locked(&self.work), IDLE_TIMEOUT, |work| work.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = work.take() {
            return Some(work);
        }
        drop(work);
        let mut idle = locked(&pool.idle);
        if let Some(place) = idle.iter().position(|worker| Arc::ptr_eq(worker, self)) {
            idle.remove(place);
            return None;
        }
        drop(idle);
        // Somebody has taken this worker and is about to hand it work.
        self.brought()
    }
}

/// What is behind these locks is consistent whenever they are unlocked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names the calling thread, for tools that inspect the process.
fn call_this_thread(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _nameless = rustix::thread::set_name(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{ThreadId, current};

    const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

    fn tell(to: &Sender<ThreadId>) -> impl FnOnce() + Send + 'static + use<> {
        let to = to.clone();
        move || _ = to.send(current().id())
    }

    #[test]
    fn a_reserved_thread_works_when_it_is_told_and_is_free_otherwise() {
        static OWN: ThreadPool = ThreadPool::new();
        let reserve = || OWN.reserve(STACK).map(|worker| ReservedThread { worker: Some(worker) });
        let (sender, receiver) = channel();
        let reserved = reserve();
        assert!(receiver.recv_timeout(Duration::from_millis(20)).is_err());
        reserved.into_iter().for_each(|reserved| reserved.start("guest-a", tell(&sender)));
        let first = receiver.recv_timeout(WAIT_TIMEOUT);
        assert!(first.is_ok());
        drop(reserve());
        assert_eq!(OWN.start("guest-b".to_owned(), STACK, tell(&sender)), Ok(()));
        assert!(receiver.recv_timeout(WAIT_TIMEOUT).is_ok());
    }

    #[test]
    fn a_thread_that_is_idle_works_again() {
        // Other tests have other threads.
        static OWN: ThreadPool = ThreadPool::new();
        let start = |name: &str, work: Work| OWN.start(name.to_owned(), STACK, work);
        let (sender, receiver) = channel();
        let (release, held) = channel::<()>();
        // Two at once need two threads.
        let first = tell(&sender);
        let holds = move || {
            first();
            _ = held.recv_timeout(WAIT_TIMEOUT);
        };
        assert_eq!(start("guest-a", Box::new(holds)), Ok(()));
        let one = receiver.recv_timeout(WAIT_TIMEOUT);
        assert_eq!(start("guest-b", Box::new(tell(&sender))), Ok(()));
        let other = receiver.recv_timeout(WAIT_TIMEOUT);
        assert!(one.is_ok() && other.is_ok());
        assert_ne!(one, other);
        drop(release);
        let is_known = |found: &ThreadId| [&one, &other].iter().any(|known| known.as_ref() == Ok(found));
        let again = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            start("guest-c", Box::new(tell(&sender))).is_ok()
                && receiver.recv_timeout(WAIT_TIMEOUT).is_ok_and(|found| is_known(&found))
        });
        assert!(again, "no thread is used again");
        // A small stack is none for work that needs a large one.
        let told = tell(&sender);
        let deep = || {
            std::hint::black_box(&[1_u8; 2 * STACK]);
            told();
        };
        assert_eq!(OWN.start("guest-f".to_owned(), 8 * STACK, deep), Ok(()));
        assert!(receiver.recv_timeout(WAIT_TIMEOUT).is_ok_and(|found| !is_known(&found)));
        // A panic ends its own thread only.
        let panics = || std::panic::resume_unwind(Box::new(()));
        assert_eq!(start("guest-d", Box::new(panics)), Ok(()));
        assert_eq!(start("guest-e", Box::new(tell(&sender))), Ok(()));
        assert!(receiver.recv_timeout(WAIT_TIMEOUT).is_ok());
    }
}
