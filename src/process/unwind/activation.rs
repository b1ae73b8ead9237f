//! One call of the guest by the host: the places in it that the guest may jump back to.

use super::Frames;
use crate::account::Charge;

/// A checkpoint may be this many bytes further down the stack than the function that uses it: C libraries make
/// it in a small function of their own.
const SLACK: u32 = 256;

/// How many checkpoints of one depth, give or take the slack, are kept: a loop makes one in each of its rounds, and
/// uses the last.
const MOST_OF_ONE_DEPTH: usize = 256;

#[derive(Debug)]
pub(super) struct Checkpoint {
    /// Its name in the guest's memory. No number is used twice by a thread, and none is 0.
    pub(super) number: u64,
    pub(super) frames: Frames,
    pub(super) _held: Charge,
}

#[derive(Debug)]
pub(super) struct Activation {
    pub(super) number: u64,
    /// The code has the stack of a fiber.
    pub(super) on_fiber: bool,
    /// The oldest first: none was made further up the stack than those before it.
    pub(super) checkpoints: Vec<Checkpoint>,
}

impl Activation {
    pub(super) fn find(&self, number: u64) -> Option<&Checkpoint> {
        let at = self.checkpoints.binary_search_by_key(&number, |checkpoint| checkpoint.number).ok()?;
        self.checkpoints.get(at)
    }

    /// Forgets what was made further down than `stack_pointer`.
    pub(super) fn forget_below(&mut self, stack_pointer: i32) {
        let is_alive = |other: &Checkpoint| !is_beyond(other.frames.stack_pointer, stack_pointer);
        let kept = self.checkpoints.iter().rposition(is_alive).map_or(0, |last| last.saturating_add(1));
        self.checkpoints.truncate(kept);
    }

    /// Where there are many as far down as `stack_pointer`, forgets the oldest of these.
    pub(super) fn forget_one_of_many(&mut self, stack_pointer: i32) {
        let own = stack_pointer.cast_unsigned();
        let is_near = |other: &&Checkpoint| own.abs_diff(other.frames.stack_pointer.cast_unsigned()) <= SLACK;
        let near = self.checkpoints.iter().rev().take_while(is_near).count();
        if near < MOST_OF_ONE_DEPTH {
            return;
        }
        let first = self.checkpoints.len().saturating_sub(near);
        let is_same = |other: &Checkpoint| other.frames.stack_pointer == stack_pointer;
        let oldest = self.checkpoints.iter().skip(first).position(is_same).unwrap_or(0);
        self.checkpoints.remove(first.saturating_add(oldest));
    }
}

/// Is `pointer` so far below `other` that its function can't be one that is still running there? The stack grows
/// down, in addresses without a sign.
pub(super) fn is_beyond(pointer: i32, other: i32) -> bool {
    pointer.cast_unsigned().saturating_add(SLACK) < other.cast_unsigned()
}
