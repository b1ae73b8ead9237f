//! One call of a guest, in its two phases.
//!
//! A call decodes its arguments and tries once. Then it is done, or it returns its waiting half
//! as a value, a [`Wait`]: a function that makes the future which waits, tries again,
//! and writes the results. It owns what was decoded and records what was polled already, so nothing is
//! decoded twice and no state is kept for it elsewhere.
//!
//! The functions that wiggle generates return values and errors only. So waiting travels as
//! [`Error::Wait`], which [`Call::wait`] makes; `errno_from_error` has a number for it that is
//! never used, since the glue takes the [`Wait`] first.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;

use wiggle::GuestMemory;

use crate::error::Error;
use crate::process::{Thread, TraceAnnotation};

/// The future of a waiting half.
pub(crate) type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// Makes the future of a waiting half. The guest's memory may have moved since the call began.
type Resume = dyn for<'a> FnOnce(&'a mut Call<'_>, &'a mut GuestMemory<'_>) -> Waiting<'a> + Send;

/// The half of a call that waits.
pub(crate) struct Wait(Box<Resume>);

impl Wait {
    /// The future that does the rest of the call.
    ///
    /// # Errors
    ///
    /// The future has those of the call.
    pub(crate) fn resume<'a>(self, call: &'a mut Call<'_>, memory: &'a mut GuestMemory<'_>) -> Waiting<'a> {
        (self.0)(call, memory)
    }
}

/// A call: the thread that makes it, and what it says besides its results.
pub(crate) struct Call<'a> {
    thread: &'a mut Thread,
    /// What the trace says of the call besides its results.
    pub(crate) annotation: Option<TraceAnnotation>,
    /// A wait of it stops this thread, and nothing else is run here meanwhile.
    pub(crate) parks: bool,
    /// It is done, and others have their turn before it returns.
    pub(crate) gives_way: bool,
    wait: Option<Wait>,
}

impl<'a> Call<'a> {
    /// A call of `thread` that has not begun.
    #[inline]
    pub(crate) fn new(thread: &'a mut Thread) -> Self {
        Self { thread, annotation: None, parks: false, gives_way: false, wait: None }
    }

    /// Ends the first phase: `resume` makes the future that does the rest.
    #[cold]
    pub(crate) fn wait<F>(&mut self, resume: F) -> Error
    where
        F: for<'b> FnOnce(&'b mut Call<'_>, &'b mut GuestMemory<'_>) -> Waiting<'b> + Send + 'static,
    {
        self.wait = Some(Wait(Box::new(resume)));
        Error::Wait
    }

    /// The half that waits, where the first phase has ended so.
    #[inline]
    pub(crate) fn take_wait(&mut self) -> Option<Wait> {
        self.wait.take()
    }
}

impl Deref for Call<'_> {
    type Target = Thread;

    #[inline]
    fn deref(&self) -> &Thread {
        self.thread
    }
}

impl DerefMut for Call<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Thread {
        self.thread
    }
}

/// What a try found, for a call that may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried<T> {
    /// It is done.
    Done(T),
    /// It would wait. `has_polled` says that the thing was asked just now, and had nothing.
    Waits { has_polled: bool },
}

impl<T> Tried<T> {
    /// Would wait, and has not polled yet.
    pub(crate) const UNTRIED: Self = Self::Waits { has_polled: false };

    /// Would it wait, and has not polled?
    pub(crate) fn has_not_polled(&self) -> bool {
        matches!(self, Self::Waits { has_polled: false })
    }
}
