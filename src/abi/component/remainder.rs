//! What was written and is still to be delivered.
//!
//! A guest may write, end the connection and never ask again: what it wrote goes out all the
//! same. A task of the host's sees to that, one for each remainder, and only while there is one. It has
//! the host's socket for itself, so that the connection lasts that long.

use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::account::Charge;
use crate::error::Errno;
use crate::io::{Events, Pollable, Watchers, reactor, spawn_guarded};
use crate::process::{Delivery, Process};
use crate::ready::timeout;
use crate::socket::{Connected, ShutdownHow};

/// How long a peer may take nothing of a remainder. Nobody else waits for it: the guest may have
/// ended the connection long ago.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the host holds for one besides its bytes: the socket of the kernel's, and a task.
const TASK: u64 = 6 * 1024;

/// Bytes on their way.
pub(crate) struct Remainder {
    state: Mutex<State>,
    done: Watchers,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<(), Errno>>,
    /// Is this direction over then?
    then_end: bool,
}

impl Remainder {
    /// Has the host deliver `rest`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host holds too much for the guest; `EAGAIN` where it can't start a reactor.
    pub(super) fn deliver(
        connected: &Connected,
        process: &Arc<Process>,
        rest: &[u8],
    ) -> Result<Arc<Self>, Errno> {
        let bytes = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let held = process.host_memory().charge(bytes.saturating_add(TASK))?;
        let this = Arc::new(Self { state: Mutex::default(), done: Watchers::default() });
        // Known before the task runs: the guest may end first.
        let held = (held, process.deliveries().begin());
        let work = deliver(Arc::clone(&this), connected.clone(), Arc::clone(process), rest.to_vec(), held);
        let signals = Arc::clone(process.signals());
        spawn_guarded(&reactor()?, work, move || signals.host_failed("delivered what was written"));
        Ok(this)
    }

    /// How it has ended.
    pub(super) fn outcome(&self) -> Option<Result<(), Errno>> {
        self.state().outcome
    }

    /// Has the direction end once all is delivered; false where it is already.
    pub(super) fn then_end(&self) -> bool {
        let mut state = self.state();
        state.then_end = true;
        state.outcome.is_none()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole whenever it is unlocked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends `bytes`, then ends the direction where that was asked for meanwhile.
async fn deliver(
    remainder: Arc<Remainder>,
    connected: Connected,
    process: Arc<Process>,
    bytes: Vec<u8>,
    held: (Charge, Delivery),
) {
    let outcome = send_all(&connected, &process, &bytes).await;
    let then_end = {
        let mut state = remainder.state();
        state.outcome = Some(outcome);
        state.then_end
    };
    if then_end {
        // A peer that is gone sees nothing of it.
        let _gone = connected.shutdown(ShutdownHow::Write);
    }
    drop(held);
    remainder.done.wake_all();
}

async fn send_all(connected: &Connected, process: &Process, bytes: &[u8]) -> Result<(), Errno> {
    let io = connected.registration();
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        let attempt = || match connected.try_send(&[IoSlice::new(rest)]) {
            Err(Errno::EAGAIN) => Poll::Pending,
            done => Poll::Ready(done),
        };
        match connected.try_io(Events::WRITE, attempt) {
            Poll::Ready(count) => {
                let count = count?;
                sent += count;
                process.instance().usage().sent(count);
            }
            Poll::Pending => match timeout(Some(PATIENCE), io.ready(Events::WRITE)).await {
                Ok(ready) => ready?,
                Err(_) => return Err(Errno::ETIMEDOUT),
            },
        }
    }
    Ok(())
}

/// It is ready when it is done.
impl Pollable for Remainder {
    fn register(&self, _: Events, context: &mut Context<'_>) -> bool {
        self.done.add(context.waker());
        false
    }

    fn look(&self) -> Events {
        Events::OUT.when(self.outcome().is_some())
    }
}
