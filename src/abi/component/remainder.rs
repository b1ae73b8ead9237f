//! What was written and is still to be delivered.
//!
//! A guest may write, end the connection and never ask again: what it wrote goes out all the
//! same. A task of the host's sees to that, one for each remainder, and only while there is one. It has
//! the host's socket for itself, so that the connection lasts that long, and the guest's number for it once the guest
//! has dropped that: the connection counts as open, and a drain waits for it. Where bytes are lost the peer sees a reset,
//! never an end in order.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::descriptor::Number;
use crate::account::Charge;
use crate::error::Errno;
use crate::io::{Either, Events, Pollable, Watchers, coarse_until, either, reactor, spawn_guarded};
use crate::process::{Delivery, Process};
use crate::socket::{Connected, ShutdownHow, Socket};

/// How long a peer may take nothing of a remainder once the guest has neither the socket nor a stream of it:
/// nobody else waits for it then.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });

/// What the host holds for one besides its bytes: the socket of the kernel's, and a task.
const TASK: u64 = 6 * 1024;

/// Bytes on their way.
#[derive(Default)]
pub(crate) struct Remainder {
    state: Mutex<State>,
    done: Watchers,
    /// What waits until it is kept.
    kept: Watchers,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<(), Errno>>,
    /// Is this direction over then?
    then_end: bool,
    /// The number of the socket, which the guest has dropped.
    number: Option<Arc<Number>>,
}

impl Remainder {
    /// Has the host deliver `rest`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host holds too much for the guest; `EAGAIN` where it can't start a reactor.
    pub(super) fn deliver(
        connected: &Connected,
        socket: &Arc<Socket>,
        process: &Arc<Process>,
        rest: &[u8],
    ) -> Result<Arc<Self>, Errno> {
        let bytes = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let held = process.host_memory().charge(bytes.saturating_add(TASK))?;
        let reactor = reactor()?;
        let this = Arc::new(Self::default());
        let delivery = Delivery::begin(process, socket);
        let work = deliver(Arc::clone(&this), connected.clone(), delivery, rest.to_vec(), held);
        let signals = Arc::clone(process.signals());
        spawn_guarded(&reactor, work, move || signals.host_failed("delivered what was written"));
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

    /// Keeps the socket open as `number` until all is delivered, for the guest has it no more.
    pub(super) fn keep(&self, number: &Arc<Number>) {
        let mut state = self.state();
        if state.outcome.is_none() {
            state.number = Some(Arc::clone(number));
            drop(state);
            self.kept.wake_all();
        }
    }

    fn is_kept(&self) -> bool {
        self.state().number.is_some()
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
    delivery: Delivery,
    bytes: Vec<u8>,
    held: Charge,
) {
    let sending = send_all(&remainder, &connected, delivery.process(), &bytes);
    let outcome = delivery.unless_cut(sending).await.unwrap_or(Err(Errno::ECONNABORTED));
    if outcome.is_err() {
        delivery.reset_when_closed();
    }
    let (then_end, number) = {
        let mut state = remainder.state();
        state.outcome = Some(outcome);
        (state.then_end, state.number.take())
    };
    // One that is reset has its end by that, once the guest has dropped it too.
    if then_end && outcome.is_ok() {
        // A peer that is gone sees nothing of it.
        let _gone = connected.shutdown(ShutdownHow::Write);
    }
    drop(held);
    let process = Arc::clone(delivery.process());
    drop(delivery);
    if number.is_some() {
        drop(number);
        // The guest may wait, and notice nothing of it.
        process.instance().note_waiting();
    }
    remainder.done.wake_all();
}

async fn send_all(
    remainder: &Remainder,
    connected: &Connected,
    process: &Process,
    bytes: &[u8],
) -> Result<(), Errno> {
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
            Poll::Pending => writable(remainder, connected).await?,
        }
    }
    Ok(())
}

/// Waits until the peer takes more: as long as it likes while the guest has the socket or a stream of it, for what to do
/// about that is the guest's to decide.
async fn writable(remainder: &Remainder, connected: &Connected) -> Result<(), Errno> {
    let io = connected.registration();
    let mut ready = pin!(io.ready(Events::WRITE));
    let found = poll_fn(|context| {
        if let Poll::Ready(found) = ready.as_mut().poll(context) {
            return Poll::Ready(Some(found));
        }
        // First it is watched, then asked: no change lies between.
        remainder.kept.add(context.waker());
        if remainder.is_kept() { Poll::Ready(None) } else { Poll::Pending }
    });
    match found.await {
        Some(found) => found.map(drop),
        // A timer of the kernel's would be a second descriptor for each remainder.
        None => match either(ready, pin!(coarse_until(Instant::now() + PATIENCE))).await {
            Either::First(found) => found.map(drop),
            Either::Second(()) => Err(Errno::ETIMEDOUT),
        },
    }
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
