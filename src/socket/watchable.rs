//! Things that have news now and then.

use std::task::{Context, Poll};

use super::Interest;
use super::listen::Queue;

/// What was heard of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something: look what it is. There may be more later.
    Some,
    /// The last there will ever be: the peer has ended, or the thing is gone.
    Last,
}

/// Something that can be watched by whoever watches many things: a socket, or a
/// queue of the host's own.
pub trait Watchable: Send + Sync {
    /// Forgets what was heard so far, and has `context` woken once by what comes
    /// after. Ready where that is there already.
    ///
    /// There is one place for a waker per interest: who asks last is woken. A waker
    /// that is not needed any more is dropped.
    fn poll_news(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Heard>;
}

impl Watchable for Queue {
    fn poll_news(&self, _: Interest, context: &mut Context<'_>) -> Poll<Heard> {
        self.watch(context).map(|()| Heard::Last)
    }
}
