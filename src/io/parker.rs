//! A thread that parks until it is woken or a descriptor is ready.
//!
//! # Correctness
//!
//! A waker stores `is_due` and then looks where the thread is; the thread stores that it
//! is in the kernel and then loads `is_due`. All of it is sequentially consistent, so
//! either the thread sees that it is due and does not park, or the waker sees where it
//! parks.
//!
//! One waker of each sleep in the kernel rings the wake descriptor, and *claims* that before it
//! does. The thread that comes back sees the claim, and takes the ring away before it goes on, even where it has to
//! wait for it. So the descriptor is quiet unless its thread sleeps or is about to run: an epoll that
//! other threads wait at may have it.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Wake, Waker};

use super::wake_fd::{PollAnswer, PollInterest, WakeFd};
use crate::error::Errno;
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::atomic::{AtomicBool, AtomicU8};
use crate::sync::thread::{self, Thread};

/// It is not in the kernel's poll.
const AWAY: u8 = 0;

/// It is there, or about to be: then the wake descriptor wakes it.
const POLLING: u8 = 1;

/// So it is, and a waker rings the wake descriptor.
const RUNG: u8 = 2;

/// The current thread, which parks.
///
/// What it waited for may keep its wakers for long after its end: until there is a change. Its wake descriptor goes with the
/// thread, so that these keep none of the host's descriptors.
pub struct Parker {
    shared: Arc<Shared>,
    /// Made when it is first needed.
    wake_fd: OnceCell<Arc<WakeFd>>,
}

/// What wakes a thread.
struct Shared {
    thread: Thread,
    /// It was woken. The thread's own park token is not enough: a
    /// guest that waits in `memory.atomic.wait` in between parks too, and uses it up.
    is_due: AtomicBool,
    /// [`AWAY`], [`POLLING`] or [`RUNG`].
    place: AtomicU8,
    /// The thread's, which is there while it polls.
    wake_fd: OnceLock<Weak<WakeFd>>,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Either the thread sees that it is due after it set its place, or this sees the place.
    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, SeqCst);
        if self.place.compare_exchange(POLLING, RUNG, SeqCst, SeqCst).is_ok()
            && let Some(wake_fd) = self.wake_fd.get().and_then(Weak::upgrade)
        {
            wake_fd.wake();
        } else {
            self.thread.unpark();
        }
    }
}

impl Parker {
    /// For the current thread.
    pub fn new() -> Self {
        let shared = Arc::new(Shared {
            thread: thread::current(),
            is_due: AtomicBool::new(false),
            place: AtomicU8::new(AWAY),
            wake_fd: OnceLock::new(),
        });
        Self { shared, wake_fd: OnceCell::new() }
    }

    /// Wakes it, from any thread.
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.shared))
    }

    /// Parks until it is woken.
    pub fn park(&self) {
        // A wake-up between the poll and here makes this return at once.
        while !self.shared.is_due.swap(false, SeqCst) {
            thread::park();
        }
    }

    /// Parks until one of `watched` is ready, or it is woken. Returns what the kernel reports of them, which is
    /// nothing where it was woken before it parked.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`: then it did not park.
    pub fn park_in_poll(&self, watched: &[PollInterest]) -> Result<Vec<PollAnswer>, Errno> {
        Ok(self.park_by(|wake_fd| wake_fd.poll(watched))?.unwrap_or_default())
    }

    /// Parks by `sleep`, which the ring of the wake descriptor is to end. `None` where it was woken before it parked.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`, and those of `sleep`.
    pub(super) fn park_by<T>(
        &self,
        sleep: impl FnOnce(&WakeFd) -> Result<T, Errno>,
    ) -> Result<Option<T>, Errno> {
        let wake_fd = match self.wake_fd.get() {
            Some(wake_fd) => wake_fd,
            None => {
                let wake_fd = Arc::new(WakeFd::new()?);
                self.shared.wake_fd.get_or_init(|| Arc::downgrade(&wake_fd));
                self.wake_fd.get_or_init(|| wake_fd)
            }
        };
        let Shared { is_due, place, .. } = &*self.shared;
        place.store(POLLING, SeqCst);
        let slept = if is_due.load(SeqCst) { Ok(None) } else { sleep(wake_fd).map(Some) };
        if place.swap(AWAY, SeqCst) == RUNG {
            wake_fd.reset();
        }
        is_due.swap(false, SeqCst);
        slept
    }
}
