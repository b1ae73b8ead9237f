//! Signals that come by the clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Signal, Signals};
use crate::error::{Errno, Terminated};
use crate::io::{own_reactor, sleep, spawn_guarded};
use crate::process::unpoisoned;

/// The shortest interval of a signal that comes again and again: below it the host
/// would do nothing else. "Implementations may place limitations on the granularity of
/// timer values. ... [they] shall be rounded up" - setitimer(3p)
const SHORTEST: Duration = Duration::from_millis(1);

impl Signals {
    /// Sends `signal` to the process after `interval`, once or again and again. What was
    /// set before for this signal is void; an interval of zero sets nothing.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where the host can't start a thread for its clock.
    pub(crate) fn set_alarm(
        self: &Arc<Self>,
        signal: Signal,
        interval: Duration,
        repeats: bool,
    ) -> Result<(), Errno> {
        if interval.is_zero() {
            if let Some(earlier) = unpoisoned(&self.alarms).remove(&signal) {
                earlier.abort();
            }
            return Ok(());
        }
        let interval = if repeats { interval.max(SHORTEST) } else { interval };
        let signals = Arc::downgrade(self);
        // Not on the guest's own runtime: a guest that computes does not let it run.
        let ended = Arc::downgrade(self);
        let task = async move {
            let mut due = Instant::now();
            loop {
                // Late or not, one interval after the last; a time beyond the clock is for
                // ever.
                let Some(next) = due.checked_add(interval) else { return };
                due = next.max(Instant::now());
                sleep(due.saturating_duration_since(Instant::now())).await;
                let Some(signals) = signals.upgrade() else { return };
                signals.to_process(signal);
                if !repeats {
                    return;
                }
            }
        };
        let task = spawn_guarded(&own_reactor()?, task, move || {
            if let Some(signals) = ended.upgrade() {
                signals.terminate(Terminated::HostPanic("waited for its alarms"));
            }
        });
        if let Some(earlier) = unpoisoned(&self.alarms).insert(signal, task) {
            earlier.abort();
        }
        Ok(())
    }

    pub(crate) fn forget_alarms(&self) {
        for (_, alarm) in std::mem::take(&mut *unpoisoned(&self.alarms)) {
            alarm.abort();
        }
    }
}
