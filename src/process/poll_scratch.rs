//! The buffers that a poll works with.

use std::sync::Arc;

use super::OpenFile;
use crate::account::{Account, Charge};
use crate::ready::PollSetBuffer;

/// How many subscriptions are part of what every thread is charged for.
const FREE: u32 = 256;

/// For more than this many the buffers are not kept.
const KEPT: u32 = 4096;

/// What a subscription takes here: its numbers, a word for the kernel, one for what stands behind
/// it, an event, and in a memory that is shared a copy of the guest's own 56 bytes.
const BYTES: u64 = 32 + 8 + 8 + 32 + 56;

/// A subscription as the guest has written it: its numbers, and nothing of what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The guest's own word.
    pub(crate) userdata: u64,
    /// Until when, for a clock.
    pub(crate) timeout: u64,
    /// A descriptor, or a clock.
    pub(crate) id: u32,
    /// Of a clock.
    pub(crate) flags: u16,
    /// What it asks for.
    pub(crate) kind: u8,
}

/// After so many looks in vain, one after the other, the thread mostly waits.
const LOOKS_IN_VAIN: u8 = 4;

/// So many waits sleep before they look then. Then one looks again, so that a guess that has become wrong costs little:
/// to sleep for nothing costs several times as much as a look.
const SLEEPS: u8 = 7;

/// Guesses whether a look would find nothing, from what the last ones of a thread have found.
#[derive(Debug, Default)]
pub(crate) struct LookGuess {
    /// How many looks have found nothing, one after the other.
    looks_in_vain: u8,
    /// How many of the next waits sleep before they look, since they are likely to find nothing.
    sleeps: u8,
}

impl LookGuess {
    /// Is a look likely to find nothing?
    pub(crate) fn may_sleep_first(&self) -> bool {
        self.sleeps > 0
    }

    /// A wait begins, which sleeps before it looks.
    pub(crate) fn sleeps_first(&mut self) {
        self.sleeps = self.sleeps.saturating_sub(1);
    }

    /// A wait has looked.
    pub(crate) fn has_looked(&mut self, is_in_vain: bool) {
        self.looks_in_vain = if is_in_vain { self.looks_in_vain.saturating_add(1) } else { 0 };
        self.sleeps = if self.looks_in_vain >= LOOKS_IN_VAIN { SLEEPS } else { 0 };
    }

    /// A wait that has slept found several events: these are there to be found, mostly.
    pub(crate) fn has_found_several(&mut self) {
        *self = Self::default();
    }
}

/// The buffers of one poll. A thread keeps them between its calls, so that they allocate nothing.
#[derive(Default)]
pub(crate) struct PollScratch {
    /// What is asked for.
    pub(crate) subscriptions: Vec<Subscription>,
    /// What the kernel is asked.
    pub(crate) poll_set: PollSetBuffer,
    /// What stands behind the descriptors, where others may close them meanwhile.
    pub(crate) held: Vec<Arc<OpenFile>>,
    /// The events, as the guest gets them.
    pub(crate) events: Vec<[u8; 32]>,
    /// Whether it is to look before it sleeps.
    pub(crate) guess: LookGuess,
    charge: Option<Charge>,
    /// For how many subscriptions the buffers are charged.
    count: u32,
}

impl PollScratch {
    /// Charges buffers for `count` subscriptions; returns whether the account had that much left. A refusal
    /// is not a denial yet: there is another way, which takes less.
    #[inline]
    pub(crate) fn has_room(&mut self, count: u32, account: &Arc<Account>) -> bool {
        if count <= self.count.max(FREE) {
            return true;
        }
        let charge = self.charge.get_or_insert_with(|| Charge::none(account));
        let has_room = charge.resize_quietly(u64::from(count) * BYTES);
        if has_room {
            self.count = count;
        }
        has_room
    }

    /// Gives back what is too large to be kept.
    #[inline]
    pub(crate) fn trim(&mut self) {
        if self.count > KEPT {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_sleep_first_after_some_looks_in_vain_one_after_the_other() {
        let mut guess = LookGuess::default();
        for is_in_vain in [true, true, true, false, true, true, true] {
            guess.has_looked(is_in_vain);
            assert!(!guess.may_sleep_first());
        }
        for _ in 0..2 {
            guess.has_looked(true);
            let slept = (0..100).take_while(|_| {
                let may_sleep = guess.may_sleep_first();
                guess.sleeps_first();
                may_sleep
            });
            assert_eq!(slept.count(), usize::from(SLEEPS));
        }
        guess.has_looked(true);
        guess.has_found_several();
        assert!(!guess.may_sleep_first());
        guess.has_looked(true);
        assert!(!guess.may_sleep_first());
    }
}
