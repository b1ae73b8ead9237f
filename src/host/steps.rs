//! How a service is driven: by looks at how things stand.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use super::outcome::Ended;
use crate::io::{Watchers, sleep};

type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a look has led to.
pub(super) enum Step {
    Done(wasmtime::Result<Ended>),
    /// Something was changed, from which more may follow.
    Again,
    /// Nothing is to be done before this moment, unless something changes.
    Wait(Option<Instant>),
}

/// Calls `step` whenever `changes` says so or a moment has come, until it is done.
///
/// # Cancel safety
///
/// As safe as `step`: nothing is held between two of its calls but the wait for the next one.
///
/// # Errors
///
/// Those of the last step.
pub(super) async fn drive(
    changes: &Watchers,
    mut step: impl FnMut(Instant) -> Step,
) -> wasmtime::Result<Ended> {
    let mut wait: Option<(Instant, Pause)> = None;
    poll_fn(|context| {
        loop {
            // First it is watched, then it is looked at: no change lies between.
            changes.add(context.waker());
            let now = Instant::now();
            let next = match step(now) {
                Step::Done(outcome) => return Poll::Ready(outcome),
                Step::Again => continue,
                Step::Wait(next) => next,
            };
            if wait.as_ref().map(|(until, _)| *until) != next {
                wait = next.map(|until| {
                    let pause: Pause = Box::pin(sleep(until.saturating_duration_since(now)));
                    (until, pause)
                });
            }
            let Some((_, pause)) = &mut wait else { return Poll::Pending };
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            wait = None;
        }
    })
    .await
}
