//! A thread that is a child of its own process for a while, in the same memory: `vfork`.
//!
//! The thread's calls act on the child until that ends or executes a program. Then they act on the parent again, and
//! the guest itself jumps back to where the child began, by an exception; or the host restores its stack
//! ([`Unwinding`](super::unwind::Unwinding)).

use std::cell::Cell;
use std::sync::Arc;

use super::{ExitStatus, Image, Process, Program, Signal, Thread};
use crate::error::Error;

/// A child that a thread is.
pub(crate) struct Vforked {
    parent: Arc<Process>,
    child: Arc<Process>,
    /// How it ends, unless it has got a program: then it goes on without the thread.
    status: Option<ExitStatus>,
}

impl Drop for Vforked {
    fn drop(&mut self) {
        if let Some(status) = self.status {
            self.child.close_all();
            self.child.end();
            self.child.tell_ended(status, None);
        }
    }
}

impl Thread {
    /// Is it a child of its process now?
    pub(crate) fn is_child(&self) -> bool {
        !self.children.is_empty()
    }

    /// Has the calls of this thread act on `child`. A thread that ends so, by a trap, ends the child too.
    pub(crate) fn enter_child(&mut self, child: Arc<Process>) {
        let parent = std::mem::replace(&mut self.process, Arc::clone(&child));
        self.children.push(Vforked { parent, child, status: Some(ExitStatus::Signalled(Signal::Abrt)) });
    }

    /// Ends the child that this thread is; its calls act on the parent again. Returns whether it was one.
    pub(crate) fn leave_child(&mut self, status: ExitStatus) -> bool {
        let Some(mut vforked) = self.children.pop() else { return false };
        self.process = Arc::clone(&vforked.parent);
        vforked.status = Some(status);
        true
    }

    /// Has `program` take the place of that of this thread. Where the thread is a child, only the child gets it, and the
    /// call returns.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`] where the thread is none; `EAGAIN` where the host can't start the child.
    pub(crate) fn replace_program(&mut self, program: Program, image: Image) -> Result<(), Error> {
        let Some(vforked) = self.children.last_mut() else {
            self.process.prepare_replacement(program, image);
            return Err(Error::Replaced);
        };
        let child = Arc::clone(&vforked.child);
        // Where the host can't start it the child goes on as it is.
        let image = Cell::new(Some(image));
        let begins = || image.take().into_iter().for_each(|image| child.become_program(image));
        child.family().launcher()?.start(Arc::clone(&child), program, &begins)?;
        vforked.status = None;
        self.process = Arc::clone(&vforked.parent);
        drop(self.children.pop());
        // Its frames are restored where it has begun so; another one returns from its call.
        if self.unwinding.return_from_child().is_some() { Err(Error::Replaced) } else { Ok(()) }
    }
}
