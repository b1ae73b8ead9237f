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

use super::HostRuntime;
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
        let rename = name.clone();
        let named: Work = Box::new(move || {
            call_this_thread(&rename);
            work();
        });
        // In a statement of its own: the lock is free then.
        let idle = self.take_idle(stack);
        if let Some(worker) = idle {
            *locked(&worker.work) = Some(named);
            worker.has_come.notify_one();
            return Ok(());
        }
        let started = Builder::new().name(name).stack_size(stack).spawn(move || self.live(stack, named));
        started.map(drop).map_err(|_| Errno::EAGAIN)
    }

    /// The worker that has been idle for the shortest time of those with `stack` bytes of stack.
    fn take_idle(&self, stack: usize) -> Option<Arc<PooledThread>> {
        let mut idle = locked(&self.idle);
        let found = idle.iter().rposition(|worker| worker.stack >= stack)?;
        Some(idle.remove(found))
    }

    /// The loop of one worker thread. A panic ends it.
    fn live(&self, stack: usize, mut work: Work) {
        let worker = Arc::new(PooledThread { stack, work: Mutex::default(), has_come: Condvar::new() });
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
    /// Waits for work; `None` after the timeout, or if enough workers are idle already.
    ///
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
        // `start` has taken this worker and is about to hand it work.
        let brought = self.has_come.wait_while(locked(&self.work), |work| work.is_none());
        brought.unwrap_or_else(PoisonError::into_inner).take()
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

    /// One test, because the idle threads are shared by the process.
    #[test]
    fn a_thread_that_is_idle_works_again() {
        let (sender, receiver) = channel();
        let (release, held) = channel::<()>();
        // Two at once need two threads.
        let first = tell(&sender);
        let holds = move || {
            first();
            _ = held.recv_timeout(WAIT_TIMEOUT);
        };
        assert_eq!(start("guest-a".to_owned(), holds), Ok(()));
        let one = receiver.recv_timeout(WAIT_TIMEOUT);
        assert_eq!(start("guest-b".to_owned(), tell(&sender)), Ok(()));
        let other = receiver.recv_timeout(WAIT_TIMEOUT);
        assert!(one.is_ok() && other.is_ok());
        assert_ne!(one, other);
        drop(release);
        let is_known = |found: &ThreadId| [&one, &other].iter().any(|known| known.as_ref() == Ok(found));
        let again = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            start("guest-c".to_owned(), tell(&sender)).is_ok()
                && receiver.recv_timeout(WAIT_TIMEOUT).is_ok_and(|found| is_known(&found))
        });
        assert!(again, "no thread is used again");
        // A small stack is none for work that needs a large one.
        let told = tell(&sender);
        let deep = || {
            std::hint::black_box(&[1_u8; 2 * STACK]);
            told();
        };
        assert_eq!(start_with_stack("guest-f".to_owned(), 8 * STACK, deep), Ok(()));
        assert!(receiver.recv_timeout(WAIT_TIMEOUT).is_ok_and(|found| !is_known(&found)));
        // A panic ends its own thread only.
        let panics = || std::panic::resume_unwind(Box::new(()));
        assert_eq!(start("guest-d".to_owned(), panics), Ok(()));
        assert_eq!(start("guest-e".to_owned(), tell(&sender)), Ok(()));
        assert!(receiver.recv_timeout(WAIT_TIMEOUT).is_ok());
    }
}
