//! Descriptors that a thread watches by itself.
//!
//! A thread that drives one future, and stops while that has nothing to do, can have the
//! kernel wake it: one wake-up, where the reactor would be woken first and wake it then.
//! The reactor need not even know of such a descriptor.
//!
//! # Correctness
//!
//! The thread polls its future in *turns*. A [wait](poll_wait) for a descriptor notes it
//! for that turn. When the future has nothing to do, the thread sleeps until the kernel
//! says that one of those noted is ready, or until it is woken by another thread. Then
//! it throws the notes away and begins the next turn, in which every such wait is over,
//! maybe without need: whoever waited looks again.
//!
//! The kernel is asked what is ready, not what became so. So nothing is missed between a
//! look and the sleep, and nobody has to forget anything.
//!
//! A wait is noted only where it would have this very thread woken. One in a part of the
//! future which is polled only when that part was woken goes to the reactor.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use super::Interest;

/// How many are noted at most; others go to the reactor. Every sleep asks the kernel
/// about each.
const MOST: usize = 512;

thread_local! {
    static HERE: RefCell<Option<PollRound>> = const { RefCell::new(None) };
    /// The last turn of this thread, of whichever parker_poll.
    static LAST: Cell<u64> = const { Cell::new(0) };
}

struct PollRound {
    thread: ThreadId,
    number: u64,
    waker: Waker,
    interests: Vec<(Weak<OwnedFd>, Interest)>,
    is_off: bool,
}

/// The turn in which a wait was noted. No other one is the same: a future may go to
/// another thread.
pub(super) type RoundId = Option<(ThreadId, u64)>;

/// Held by a thread that drives a future and watches what this waits for.
pub(crate) struct ParkerPoll {
    /// That of whoever drives this one.
    outer: Option<PollRound>,
}

impl ParkerPoll {
    /// Begins, for a future that is polled with `waker`.
    pub(crate) fn begin(waker: &Waker) -> Self {
        let round = PollRound {
            thread: thread::current().id(),
            number: 0,
            waker: waker.clone(),
            interests: Vec::new(),
            is_off: true,
        };
        let outer = HERE.replace(Some(round));
        Self { outer }
    }

    /// Begins a turn. `is_off` sends all waits of this turn to the reactor.
    pub(crate) fn next_round(&self, is_off: bool) {
        HERE.with_borrow_mut(|round| {
            if let Some(round) = round {
                round.number = LAST.get() + 1;
                LAST.set(round.number);
                round.interests.clear();
                round.is_off = is_off;
            }
        });
    }

    /// What was noted in this turn and is still open.
    pub(crate) fn interests(&self) -> Vec<(Arc<OwnedFd>, Interest)> {
        HERE.with_borrow(|round| {
            let interests = round.iter().flat_map(|round| &round.interests);
            interests.filter_map(|(fd, interest)| Some((fd.upgrade()?, *interest))).collect()
        })
    }
}

impl Drop for ParkerPoll {
    fn drop(&mut self) {
        HERE.set(self.outer.take());
    }
}

/// Waits for `fd` by a parker_poll: true when that is over, false where this thread keeps none
/// for this future. `interests` belongs to the wait.
pub(super) fn poll_wait(
    interests: &mut RoundId,
    context: &Context<'_>,
    fd: &Arc<OwnedFd>,
    interest: Interest,
) -> Poll<bool> {
    HERE.with_borrow_mut(|round| {
        let round = round.as_mut().filter(|round| round.waker.will_wake(context.waker()));
        match (*interests, round) {
            (Some(before), Some(round)) if before == (round.thread, round.number) => Poll::Pending,
            (Some(_), _) => Poll::Ready(true),
            (None, Some(round)) if !round.is_off && round.interests.len() < MOST => {
                round.interests.push((Arc::downgrade(fd), interest));
                *interests = Some((round.thread, round.number));
                Poll::Pending
            }
            (None, _) => Poll::Ready(false),
        }
    })
}
