//! Work of a call that goes on when the call has returned.

use std::sync::{Arc, Mutex};
use std::task::Context;

use tokio::task::AbortHandle;

use super::{Process, unpoisoned};
use crate::error::Errno;
use crate::io::{Events, Pollable, Watchers, reactor, spawn_guarded};

/// Work that a task of the host's does. It ends with this.
#[derive(Debug)]
pub(crate) struct Background<T> {
    shared: Arc<Shared<T>>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared<T> {
    outcome: Mutex<Option<T>>,
    done: Watchers,
}

impl<T: Send + 'static> Background<T> {
    /// Has a task do `work` for the guest `process`, which ends where that panics.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where the host can't start a reactor.
    pub(crate) fn start(
        process: &Process,
        what: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<Self, Errno> {
        let shared = Arc::new(Shared { outcome: Mutex::new(None), done: Watchers::default() });
        let told = Arc::clone(&shared);
        let work = async move {
            let outcome = work.await;
            *unpoisoned(&told.outcome) = Some(outcome);
            told.done.wake_all();
        };
        let signals = Arc::clone(process.signals());
        let task = spawn_guarded(&reactor()?, work, move || signals.host_failed(what));
        Ok(Self { shared, task })
    }

    /// Looks at the outcome, where there is one yet.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        unpoisoned(&self.shared.outcome).as_mut().map(look)
    }
}

/// It is ready when it is done.
impl<T: Send> Pollable for Background<T> {
    fn register(&self, _: Events, context: &mut Context<'_>) -> bool {
        self.shared.done.add(context.waker());
        false
    }

    fn look(&self) -> Events {
        Events::IN.when(unpoisoned(&self.shared.outcome).is_some())
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
