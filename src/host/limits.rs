//! How long a guest may run, and how much processor time it may use.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::task::AbortHandle;

use super::epoch::Ticker;
use super::idle::{IdleLimits, end_idle};
use crate::error::{Errno, Terminated};
use crate::io::{own_reactor, spawn_guarded};
use crate::process::{HandlerClock, Process};
use crate::service::Limits;

/// How often running code checks how much processor time it has used, at most and at least:
///  in between, as often as half of what is left allows.
const LOOKS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// Sees to the limits of one guest while this lives.
pub(super) struct EnforcedLimits {
    tasks: Vec<AbortHandle>,
}

impl EnforcedLimits {
    /// From now on.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where the host can't start a thread for its clock.
    pub(super) fn enforce(process: &Arc<Process>, ticker: Option<Arc<Ticker>>) -> Result<Self, Errno> {
        let mut limits = Self::enforce_idle(process)?;
        let guest = Arc::downgrade(process);
        if let Some(timeout) = process.service().limits().timeout {
            limits.add(process, end_after(guest.clone(), timeout))?;
        }
        if let (Some(clock), Some(ticker)) = (process.handler_clock(), &ticker) {
            let period = (clock.limit() / 4).clamp(LOOKS.0, LOOKS.1);
            limits.add(process, interrupt_handlers(guest.clone(), Arc::clone(ticker), period))?;
        }
        if process.cpu_time().is_some()
            && let Some(ticker) = ticker
        {
            limits.add(process, count_running(guest, ticker))?;
        }
        Ok(limits)
    }

    /// The limits to idle connections alone: for an instance of which others see to the rest.
    ///
    /// # Errors
    ///
    /// As for [`enforce`](Self::enforce).
    pub(super) fn enforce_idle(process: &Arc<Process>) -> Result<Self, Errno> {
        let mut limits = Self { tasks: Vec::new() };
        let Limits { idle_timeout: reset, drain_idle: drain, .. } = *process.service().limits();
        if reset.is_some() || drain.is_some() {
            limits.add(process, end_idle(Arc::downgrade(process), IdleLimits { reset, drain }))?;
        }
        Ok(limits)
    }

    /// On a thread that the guest cannot occupy.
    fn add(
        &mut self,
        process: &Arc<Process>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Errno> {
        let signals = Arc::clone(process.signals());
        let failed = move || signals.host_failed("kept its time");
        self.tasks.push(spawn_guarded(&own_reactor()?, task, failed));
        Ok(())
    }
}

impl Drop for EnforcedLimits {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn end_after(guest: Weak<Process>, timeout: Duration) {
    tokio::time::sleep(timeout).await;
    if let Some(guest) = guest.upgrade() {
        guest.family().terminate(Terminated::Timeout(timeout));
    }
}

/// Has a handler that computes see that its time is over.
async fn interrupt_handlers(guest: Weak<Process>, ticker: Arc<Ticker>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(process) = guest.upgrade() else { return };
        if process.handler_clock().is_some_and(HandlerClock::is_over) {
            ticker.tick();
        }
    }
}

/// Makes code that runs count its processor time, again and again.
async fn count_running(guest: Weak<Process>, ticker: Arc<Ticker>) {
    loop {
        let Some(process) = guest.upgrade() else { return };
        let Some(time) = process.cpu_time() else { return };
        let (polling, left) = (time.polling(), time.left());
        drop(process);
        if polling > 0 {
            ticker.tick();
        }
        let (shortest, longest) = LOOKS;
        tokio::time::sleep((left / (2 * polling.max(1))).clamp(shortest, longest)).await;
    }
}

/// Polls the code of a guest: counts its processor time, and contains a panic of the
/// host's, which ends the guest alone.
///
/// # Errors
///
/// Those of `life`; [`Terminated::HostPanic`].
pub(super) async fn contained<T>(
    process: &Process,
    life: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    let mut life = pin!(life);
    std::future::poll_fn(|context| {
        // What `life` has is dropped after a panic, and used no more.
        let poll = AssertUnwindSafe(|| process.counted(|| life.as_mut().poll(context)));
        match catch_unwind(poll) {
            Ok(polled) => polled,
            Err(_) => Poll::Ready(Err(wasmtime::Error::new(Terminated::HostPanic("ran its code")))),
        }
    })
    .await
}
