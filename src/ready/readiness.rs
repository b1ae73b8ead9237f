//! The loop that makes a try wait.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::coop::consume_budget;

use super::interrupt::interruptible;
use crate::error::Errno;
use crate::io::{AsyncFd, Events, sleep};

/// Repeats `attempt` until it is ready, sleeping in between until the socket changes.
///
/// `limit` bounds the whole wait; `None` waits for ever, and a limit of zero tries
/// once. `attempt` returns [`Poll::Pending`] where the host said `EAGAIN`. `has_tried` says that
/// it has just done so, by [`AsyncFd::try_io`]: the wait begins with a sleep then.
///
/// # Cancel safety
///
/// As safe as `attempt`: the loop itself holds nothing that could be lost.
///
/// # Errors
///
/// `EAGAIN` where the limit has passed; the reason where it is
/// [interrupted](interruptible).
pub async fn blocking<T>(
    io: &AsyncFd,
    mask: Events,
    limit: Option<Duration>,
    attempt: impl FnMut() -> Poll<T>,
    has_tried: bool,
) -> Result<T, Errno> {
    repeating(io, mask, limit, attempt, has_tried && limit != Some(Duration::ZERO)).await
}

/// As [`blocking`], for a receive. If it is [likely](AsyncFd::is_slow) that there
/// is nothing, sleeps before the first attempt.
///
/// # Cancel safety
///
/// As for [`blocking`].
///
/// # Errors
///
/// Those of [`blocking`].
pub async fn receiving<T>(
    io: &AsyncFd,
    limit: Option<Duration>,
    attempt: impl FnMut() -> Poll<T>,
    has_tried: bool,
) -> Result<T, Errno> {
    let sleeps_first = limit != Some(Duration::ZERO) && (has_tried || io.is_slow());
    repeating(io, Events::READ, limit, attempt, sleeps_first).await
}

async fn repeating<T>(
    io: &AsyncFd,
    mask: Events,
    limit: Option<Duration>,
    mut attempt: impl FnMut() -> Poll<T>,
    sleeps_first: bool,
) -> Result<T, Errno> {
    // A guest that never has to wait still yields to other tasks.
    consume_budget().await;
    // A limit too far away to be written down is none; one of zero needs no clock.
    let deadline = limit.filter(|limit| !limit.is_zero()).and_then(|limit| Instant::now().checked_add(limit));
    let mut tries_now = !sleeps_first;
    loop {
        // Try, clear, sleep: what arrives after the try ends the sleep.
        if tries_now && let Poll::Ready(done) = io.try_io(mask, &mut attempt) {
            return Ok(done);
        }
        if limit == Some(Duration::ZERO) {
            return Err(Errno::EAGAIN);
        }
        let has_tried = std::mem::replace(&mut tries_now, true);
        let mut ready = pin!(io.ready(mask));
        let polled = poll_fn(|context| Poll::Ready(ready.as_mut().poll(context))).await;
        // Another watcher may have cleared what arrived before this waker was registered: so it
        // tries once more.
        if io.is_watched()
            && let Poll::Ready(done) = attempt()
        {
            return Ok(done);
        }
        let slept = match (polled, deadline) {
            (Poll::Ready(polled), _) => polled,
            (Poll::Pending, None) => interruptible(ready).await.flatten(),
            (Poll::Pending, Some(deadline)) => interruptible(before(deadline, ready)).await.flatten(),
        };
        if let Err(errno) = slept {
            // What happened comes before a signal and the end of the time.
            return match if has_tried { Poll::Pending } else { attempt() } {
                Poll::Ready(done) => Ok(done),
                Poll::Pending => Err(errno),
            };
        }
    }
}

async fn before(deadline: Instant, ready: impl Future<Output = Result<(), Errno>>) -> Result<(), Errno> {
    let left = deadline.saturating_duration_since(Instant::now());
    tokio::select! {
        biased;
        polled = ready => polled,
        () = sleep(left) => Err(Errno::EAGAIN),
    }
}

/// Waits for `event`, for as long as `limit` allows; `None` is forever, and a limit
/// of zero polls once.
///
/// # Cancel safety
///
/// As safe as `event`.
///
/// # Errors
///
/// `EAGAIN` where the limit has passed; the reason where it is
/// [interrupted](interruptible).
pub async fn timeout<T>(limit: Option<Duration>, event: impl Future<Output = T>) -> Result<T, Errno> {
    consume_budget().await;
    let mut event = pin!(event);
    match limit {
        None => interruptible(event).await,
        Some(Duration::ZERO) => {
            poll_fn(|context| match event.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Ok(done)),
                Poll::Pending => Poll::Ready(Err(Errno::EAGAIN)),
            })
            .await
        }
        Some(limit) => {
            interruptible(async {
                tokio::select! {
                    biased;
                    done = event => Ok(done),
                    () = sleep(limit) => Err(Errno::EAGAIN),
                }
            })
            .await?
        }
    }
}

/// Repeats `attempt` while it fails with `EAGAIN`, where nothing signals when that ends: space in
/// the queue of a Unix name to which the socket is not connected. The backoff grows, up to a
/// twentieth of a second.
///
/// # Cancel safety
///
/// As safe as `attempt`.
///
/// # Errors
///
/// `EAGAIN` where the limit has passed; the reason where it is
/// [interrupted](interruptible), and those of `attempt`.
pub async fn retry_with_backoff<T, E: From<Errno>, F: Future<Output = Result<T, E>>>(
    limit: Option<Duration>,
    is_again: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut backoff = FIRST_BACKOFF;
    loop {
        match attempt().await {
            Err(error) if is_again(&error) => {}
            done => return done,
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Errno::EAGAIN.into());
        }
        interruptible(sleep(left.map_or(backoff, |left| left.min(backoff)))).await?;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(1);
const MAX_BACKOFF: Duration = Duration::from_millis(50);

#[cfg(test)]
#[path = "readiness/tests.rs"]
mod tests;
