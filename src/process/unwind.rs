//! What a thread remembers of its stack: the host's calls into the guest that are under way, and the places
//! that the guest may jump back to.
//!
//! An *activation* is one call of the guest by the host: of its start, of a handler. Its frames can be put
//! aside and restored ([`Frames`]), by the code that a tool has added to the module. A *checkpoint* has the
//! frames of an activation as they were when it was made, so it can be restored while that activation lasts.
//!
//! The host can't see which functions have returned. What it sees is the guest's stack pointer: a checkpoint
//! that was made [further down](activation::SLACK) the stack than the guest is now is of a function that has returned.

mod activation;
mod area;

use std::sync::Arc;

use crate::account::{Account, Charge};
use crate::error::{Errno, Jump};
use activation::{Activation, Checkpoint, is_beyond};
pub(crate) use area::{Area, FreeAreas, HeldArea};

/// What the host keeps for a checkpoint, or a place to return to, besides its frames.
const CHECKPOINT: u64 = 96;

/// The frames of one activation, put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    /// The guest's stack pointer.
    pub(crate) stack_pointer: i32,
    /// Where its thread-locals are, if it has any.
    pub(crate) tls_base: Option<i32>,
    /// The locals of its functions, and how far each one is.
    pub(crate) bytes: Arc<[u8]>,
}

impl Frames {
    /// Charges `account` for what the host keeps for them.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host holds too much for the guest.
    pub(crate) fn charged(&self, account: &Arc<Account>) -> Result<Charge, Errno> {
        let size = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        account.charge(size.saturating_add(CHECKPOINT))
    }
}

/// What a call wants of its activation's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwind {
    /// Keep them, as the checkpoint of this number.
    Checkpoint(u64),
    /// Have a copy of the process go on from them too.
    Fork,
    /// Have the thread be a child of its process, which goes on from them when the child has ended.
    Vfork,
}

/// What a call may do with the guest's stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StackAccess {
    /// Nothing: the module has no code to unwind itself, or the host has not called it.
    #[default]
    None,
    /// The guest's memory has no place for the frames.
    Full,
    /// Have the frames put aside.
    Unwinds {
        /// The guest's stack pointer.
        stack_pointer: i32,
    },
}

/// Where a call has begun to unwind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) stack_pointer: i32,
    pub(crate) tls_base: Option<i32>,
    /// Where the frames go.
    pub(crate) area: Area,
}

/// Where a process goes on when the child has ended that its thread is.
#[derive(Debug)]
struct ReturnPoint {
    activation: u64,
    frames: Frames,
    /// The child.
    pid: u32,
    _held: Charge,
}

/// The number of a return point, in the place of that of a checkpoint.
const RETURN_POINT: u64 = 0;

/// The activations of a thread.
#[derive(Debug, Default)]
pub(crate) struct Unwinding {
    /// The outermost first.
    activations: Vec<Activation>,
    last_activation: u64,
    last_checkpoint: u64,
    /// The innermost child's last.
    return_points: Vec<ReturnPoint>,
    /// The number of the thread that it is a copy of, whose places it may jump to.
    copied_from: Option<u32>,
    /// What the parent of a copy has prepared: the first activation's.
    inherited: Vec<Checkpoint>,
    /// What the call wants that has just begun to unwind.
    wanted: Option<Unwind>,
    /// Where that was.
    left: Option<Left>,
    /// What the call returns that the frames are being restored for.
    returning: Option<Result<u64, Errno>>,
    /// What the call may do that is made now, of those that may do anything.
    pub(crate) access: StackAccess,
    /// Frames are on their way: no other function of the guest may run.
    pub(crate) is_moving: bool,
    /// They have been restored, and the guest is told.
    is_arriving: bool,
    /// Where frames are put aside in the guest's memory.
    pub(crate) area: Option<HeldArea>,
}

impl Unwinding {
    /// The host calls the guest; returns the number of the activation.
    pub(crate) fn enter(&mut self, on_fiber: bool) -> u64 {
        self.last_activation = self.last_activation.wrapping_add(1);
        let number = self.last_activation;
        self.activations.push(Activation {
            number,
            on_fiber,
            checkpoints: std::mem::take(&mut self.inherited),
        });
        number
    }

    /// That call has ended.
    pub(crate) fn leave(&mut self) {
        let left = self.activations.pop();
        let is_left = |point: &ReturnPoint| left.as_ref().is_some_and(|left| left.number == point.activation);
        self.return_points.retain(|point| !is_left(point));
        self.wanted = None;
    }

    /// Does the guest's code run within another call of it by the host?
    pub(crate) fn is_nested(&self) -> bool {
        self.activations.len() > 1
    }

    /// The number by which the thread `tid` marks its places.
    pub(crate) fn owner(&self, tid: u32) -> u32 {
        self.copied_from.unwrap_or(tid)
    }

    /// For the copy of this thread, `tid`, in a child, whose stack is the same.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host holds too much for the guest.
    pub(crate) fn forked(&self, tid: u32, account: &Arc<Account>) -> Result<Self, Errno> {
        let copied_from = Some(self.owner(tid));
        let mut copy = Self { last_checkpoint: self.last_checkpoint, copied_from, ..Self::default() };
        for Checkpoint { number, frames, .. } in self.activations.iter().flat_map(|own| &own.checkpoints) {
            let held = frames.charged(account)?;
            copy.inherited.push(Checkpoint { number: *number, frames: frames.clone(), _held: held });
        }
        Ok(copy)
    }

    /// The thread is the child `pid` from now on; its process goes on later from `frames`, for which `held` is charged.
    pub(crate) fn begin_child(&mut self, frames: Frames, held: Charge, pid: u32) {
        let activation = self.activations.last().map_or(0, |last| last.number);
        self.return_points.push(ReturnPoint { activation, frames, pid, _held: held });
    }

    /// The child has ended that the thread was: how its process goes on, if that is by its frames.
    pub(crate) fn return_from_child(&self) -> Option<Jump> {
        let point = self.return_points.last()?;
        Some(Jump { activation: point.activation, checkpoint: RETURN_POINT, value: point.pid.into() })
    }

    /// Is there an activation whose frames can be put aside?
    pub(crate) fn is_entered(&self) -> bool {
        !self.activations.is_empty()
    }

    /// Has the code the stack of a fiber, as far as is known?
    pub(crate) fn is_on_fiber(&self) -> bool {
        self.activations.last().is_some_and(|activation| activation.on_fiber)
    }

    /// From now on it has.
    pub(crate) fn set_on_fiber(&mut self) {
        if let Some(activation) = self.activations.last_mut() {
            activation.on_fiber = true;
        }
    }

    /// A call wants the frames.
    pub(crate) fn want(&mut self, unwind: Unwind) {
        self.wanted = Some(unwind);
    }

    /// Does a call want frames?
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// The call begins to unwind, here.
    pub(crate) fn begin(&mut self, left: Left) {
        self.left = Some(left);
        self.is_moving = true;
    }

    /// What was wanted, and where, once.
    pub(crate) fn take_wanted(&mut self) -> Option<(Unwind, Left)> {
        Some((self.wanted.take()?, self.left.take()?))
    }

    /// The frames are about to be restored, for a call that returns `answer`.
    pub(crate) fn return_with(&mut self, answer: Result<u64, Errno>) {
        self.wanted = None;
        self.returning = Some(answer);
        self.is_moving = true;
    }

    /// The frames have been restored up to the call that is made now; the guest is told next.
    pub(crate) fn begin_to_arrive(&mut self) {
        self.is_arriving = true;
    }

    /// The frames have been put aside, or restored.
    pub(crate) fn arrive(&mut self) {
        self.is_moving = false;
        self.is_arriving = false;
    }

    /// Does nothing of the guest's run now but what the tool has added to it, which makes no calls?
    pub(crate) fn is_without_calls(&self) -> bool {
        self.is_moving && (self.is_arriving || !self.is_returning())
    }

    /// Are frames being put aside?
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_moving && self.wanted.is_some()
    }

    /// Are frames restored, up to the call that is made now?
    pub(crate) fn is_returning(&self) -> bool {
        self.returning.is_some()
    }

    /// What the call returns, once.
    pub(crate) fn take_returning(&mut self) -> Option<Result<u64, Errno>> {
        self.returning.take()
    }

    /// A number for a new checkpoint.
    pub(crate) fn next_checkpoint(&mut self) -> u64 {
        self.last_checkpoint = self.last_checkpoint.saturating_add(1);
        self.last_checkpoint
    }

    /// Keeps the innermost activation's frames as the checkpoint `number`, and forgets those of functions
    /// that have returned.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host holds too much for the guest.
    pub(crate) fn keep(&mut self, number: u64, frames: Frames, account: &Arc<Account>) -> Result<(), Errno> {
        let Some(activation) = self.activations.last_mut() else { return Ok(()) };
        activation.forget_below(frames.stack_pointer);
        activation.forget_one_of_many(frames.stack_pointer);
        let held = frames.charged(account)?;
        activation.checkpoints.push(Checkpoint { number, frames, _held: held });
        Ok(())
    }

    /// How the guest jumps to the checkpoint `number`, at which `value` is returned, from where its stack
    /// pointer is `stack_pointer`; nothing where there is no such checkpoint, or its function has returned.
    pub(crate) fn jump(&self, number: u64, value: u64, stack_pointer: i32) -> Option<Jump> {
        let activation =
            self.activations.iter().rev().find(|activation| activation.find(number).is_some())?;
        let checkpoint = activation.find(number)?;
        let is_alive = !is_beyond(checkpoint.frames.stack_pointer, stack_pointer);
        is_alive.then_some(Jump { activation: activation.number, checkpoint: number, value })
    }

    /// The frames of the checkpoint of `jump`; those further down are forgotten, for their functions are left.
    pub(crate) fn land(&mut self, jump: Jump) -> Option<Frames> {
        let activation = self.activations.last_mut().filter(|last| last.number == jump.activation)?;
        if jump.checkpoint == RETURN_POINT {
            let frames = self.return_points.pop()?.frames;
            activation.forget_below(frames.stack_pointer);
            return Some(frames);
        }
        let frames = activation.find(jump.checkpoint)?.frames.clone();
        activation.forget_below(frames.stack_pointer);
        Some(frames)
    }
}

#[cfg(test)]
#[path = "unwind/tests.rs"]
mod tests;
