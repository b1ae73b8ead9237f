//! Driving a future on a thread that may stop.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use rustix::event::{PollFd, PollFlags};

use crate::error::Errno;
use crate::socket::{Interest, Vigil, own_reactor};

/// A thread that waits below, and what wakes it.
struct Sleeper {
    thread: Thread,
    /// It has something to look at. The thread's own memory of that is not enough: a
    /// guest that waits in `memory.atomic.wait` in between parks too, and uses it up.
    is_due: AtomicBool,
    /// It sleeps at descriptors, or is about to: then its bell wakes it.
    is_at_descriptors: AtomicBool,
    /// Made when it is first needed.
    bell: OnceLock<OwnedFd>,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Either the thread sees that it is due after it said where it is, or this sees
    /// where it is.
    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, SeqCst);
        if self.is_at_descriptors.load(SeqCst)
            && let Some(bell) = self.bell.get()
        {
            // A counter that is full has rung.
            let _full = rustix::io::write(bell, &1_u64.to_ne_bytes());
        } else {
            self.thread.unpark();
        }
    }
}

impl Sleeper {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current(),
            is_due: AtomicBool::new(false),
            is_at_descriptors: AtomicBool::new(false),
            bell: OnceLock::new(),
        })
    }

    /// Sleeps until somebody wakes it.
    fn sleep(&self) {
        // A wake-up between the poll and here makes this return at once.
        while !self.is_due.swap(false, SeqCst) {
            thread::park();
        }
    }

    /// Sleeps until one of `watched` is ready, or somebody wakes it.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`: then it did not sleep.
    fn sleep_at(&self, watched: &[(Arc<OwnedFd>, Interest)]) -> Result<(), Errno> {
        let bell = match self.bell.get() {
            Some(bell) => bell,
            None => {
                let bell = new_bell()?;
                self.bell.get_or_init(|| bell)
            }
        };
        let mut asked: Vec<PollFd<'_>> = Vec::with_capacity(watched.len() + 1);
        asked.push(PollFd::new(bell, PollFlags::IN));
        asked.extend(watched.iter().map(|(fd, interest)| PollFd::new(fd, interest.to_poll())));
        self.is_at_descriptors.store(true, SeqCst);
        let slept = if self.is_due.load(SeqCst) { Ok(0) } else { rustix::event::poll(&mut asked, None) };
        self.is_at_descriptors.store(false, SeqCst);
        self.is_due.swap(false, SeqCst);
        if asked.first().is_some_and(|bell| !bell.revents().is_empty()) {
            let _rung = rustix::io::read(bell, &mut [0; 8]);
        }
        match slept {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(target_os = "linux")]
fn new_bell() -> Result<OwnedFd, Errno> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

#[cfg(not(target_os = "linux"))]
fn new_bell() -> Result<OwnedFd, Errno> {
    Err(Errno::ENOTSUP)
}

/// Runs `future` to its end on this thread, which stops while nothing is ready.
///
/// For embedders without an executor. It works inside a tokio runtime too, where
/// tokio's own blocking calls panic: the sockets then live on a reactor thread of
/// ours, so that stopping one of the caller's threads never stops its own events.
/// Descriptors that the future waits for are watched by this thread itself, where it
/// can: that saves a wake-up.
///
/// # Errors
///
/// `EAGAIN` where the host can't start the thread of that reactor.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Errno> {
    thread_local! {
        static HERE: (Arc<Sleeper>, Waker) = {
            let sleeper = Sleeper::new();
            (Arc::clone(&sleeper), Waker::from(sleeper))
        };
    }
    let reactor = own_reactor()?;
    let _inside = reactor.enter();
    // A task of the caller's runtime has a budget, and what is over it waits for the
    // scheduler, which does not run while this thread is ours.
    let mut future = pin!(tokio::task::unconstrained(future));
    HERE.with(|(sleeper, waker)| {
        let vigil = Vigil::begin(waker);
        let mut context = Context::from_waker(waker);
        // Without a bell, the reactor watches.
        let mut has_failed = false;
        loop {
            vigil.next_turn(has_failed);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            let noted = vigil.noted();
            has_failed = !noted.is_empty() && sleeper.sleep_at(&noted).is_err();
            if noted.is_empty() {
                sleeper.sleep();
            }
        }
    })
}

#[cfg(test)]
#[path = "block_on/tests.rs"]
mod tests;
