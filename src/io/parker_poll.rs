//! Descriptors that a thread watches by itself.
//!
//! A thread that drives one future, and stops while that has nothing to do, can have the
//! kernel wake it: one wake-up, where the reactor would be woken first and wake it then.
//! The reactor need not even know of such a descriptor.
//!
//! # Correctness
//!
//! The thread polls its future in *rounds*. A [wait](poll_wait) for a descriptor adds an interest
//! to that round. When the future is pending, the thread parks until the kernel reports that one of
//! the interests is ready, or until another thread wakes it. Then it discards the interests and
//! begins the next round, in which every such wait returns, maybe spuriously: the waiter tries
//! again.
//!
//! The kernel reports what is ready, not what became ready. So nothing is missed between a try
//! and the park, and there is no readiness to clear.
//!
//! A wait is noted only where it would have this very thread woken. One in a part of the
//! future which is polled only when that part was woken goes to the reactor.

use std::cell::{Cell, RefCell};
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use rustix::event::PollFlags;

use super::Events;
use super::wake_fd::PollAnswer;
use crate::error::Errno;

/// How many a thread watches by itself at most; others go to the reactor. Every sleep asks the kernel
/// about each.
pub(crate) const MOST_WATCHED: usize = 512;

thread_local! {
    static HERE: RefCell<Option<PollRound>> = const { RefCell::new(None) };
    /// The last round of this thread, of any [`ParkerPoll`].
    static LAST: Cell<u64> = const { Cell::new(0) };
}

struct PollRound {
    thread: ThreadId,
    number: u64,
    waker: Waker,
    interests: Vec<(Weak<OwnedFd>, Events)>,
    /// The interest that is [noted](note) next if the round has the same ones once more.
    next: usize,
    is_off: bool,
    /// What the kernel reported when the thread parked after the round of this number, for one
    /// [look](take_answers).
    answers: (u64, Vec<PollAnswer>),
}

/// The round in which an interest was added. It is unique across threads, since a future may move to
/// another thread.
pub(crate) type RoundId = Option<(ThreadId, u64)>;

/// Held by a thread that drives a future and watches what this waits for.
pub(crate) struct ParkerPoll {
    /// The round of an outer `ParkerPoll` on this thread.
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
            next: 0,
            is_off: true,
            answers: (0, Vec::new()),
        };
        let outer = HERE.replace(Some(round));
        Self { outer }
    }

    /// Begins a round, with what the kernel has reported since the one before. That the thread could not park
    /// sends all waits of this round to the reactor.
    pub(super) fn next_round(&self, answers: Result<Vec<PollAnswer>, Errno>) {
        HERE.with_borrow_mut(|round| {
            if let Some(round) = round {
                round.is_off = answers.is_err();
                round.answers = (round.number, answers.unwrap_or_default());
                round.number = LAST.get() + 1;
                LAST.set(round.number);
                round.interests.clear();
                round.next = 0;
            }
        });
    }

    /// The interests of this round whose descriptors are still open.
    pub(crate) fn interests(&self) -> Vec<(Arc<OwnedFd>, Events)> {
        HERE.with_borrow(|round| {
            let interests = round.iter().flat_map(|round| &round.interests);
            interests.filter_map(|(fd, mask)| Some((fd.upgrade()?, *mask))).collect()
        })
    }
}

impl Drop for ParkerPoll {
    fn drop(&mut self) {
        HERE.set(self.outer.take());
    }
}

/// Waits for `fd` in the parker's poll: true when the wait is over, false if this thread
/// has no `ParkerPoll` for this future. `interests` belongs to the wait.
pub(super) fn poll_wait(
    interests: &mut RoundId,
    context: &Context<'_>,
    fd: &Arc<OwnedFd>,
    mask: Events,
) -> Poll<bool> {
    HERE.with_borrow_mut(|round| {
        let round = round.as_mut().filter(|round| round.waker.will_wake(context.waker()));
        match (*interests, round) {
            (Some(before), Some(round)) if before == (round.thread, round.number) => Poll::Pending,
            (Some(_), _) => Poll::Ready(true),
            (None, Some(round)) if !round.is_off && round.interests.len() < MOST_WATCHED => {
                round.interests.push((Arc::downgrade(fd), mask));
                *interests = Some((round.thread, round.number));
                Poll::Pending
            }
            (None, _) => Poll::Ready(false),
        }
    })
}

/// The round that this thread is in.
pub(crate) fn this_round() -> RoundId {
    HERE.with_borrow(|round| round.as_ref().map(|round| (round.thread, round.number)))
}

/// What the kernel reported of all of `asked`, in that order, when the thread parked after the round `noted`, in which
/// the caller has noted its interests: right after the park it need not ask again. `None` where much may have happened
/// since: in a later round, for a second look, and for what it was not asked about.
pub(crate) fn take_answers(
    noted: RoundId,
    mut asked: impl Iterator<Item = (RawFd, Events)>,
) -> Option<Vec<PollFlags>> {
    let noted = noted?;
    let answers = HERE.with_borrow_mut(|round| {
        let round = round.as_mut().filter(|round| (round.thread, round.answers.0) == noted)?;
        Some(std::mem::take(&mut round.answers.1))
    })?;
    let mut left = answers.iter();
    let mut found = Vec::with_capacity(answers.len());
    asked.try_for_each(|(fd, mask)| {
        let answer = left.find(|answer| answer.fd == fd && answer.mask == mask)?;
        found.push(answer.found);
        Some(())
    })?;
    Some(found)
}

/// Adds an interest to this round, for a waiter that comes again in each; false if this thread has
/// no `ParkerPoll` for this future. What a round has already, in the same order, is not added again.
pub(super) fn note(context: &Context<'_>, fd: &Arc<OwnedFd>, mask: Events) -> bool {
    HERE.with_borrow_mut(|round| {
        let round = round.as_mut().filter(|round| !round.is_off && round.waker.will_wake(context.waker()));
        let Some(round) = round else { return false };
        let is_next = |(known, of): &(Weak<OwnedFd>, Events)| {
            std::ptr::eq(known.as_ptr(), Arc::as_ptr(fd)) && *of == mask
        };
        if round.interests.get(round.next).is_some_and(is_next) {
            round.next = (round.next + 1) % round.interests.len();
            return true;
        }
        if round.interests.len() >= MOST_WATCHED {
            return false;
        }
        round.interests.push((Arc::downgrade(fd), mask));
        round.next = 0;
        true
    })
}
