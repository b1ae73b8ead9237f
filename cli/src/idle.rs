//! `--idle-exit`: the end of a host that has nothing to do.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use wasock::Service;
use wasock::observe::status::{ServiceStatus, WorkerState};

use crate::manager;
use crate::report::say;

/// How often is looked, at least and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A guest that uses less than this part of a processor does no work: it waits, and looks now and then.
const WORK: u32 = 100;

/// Ends the service of `service` gracefully once it has done nothing for `time`.
///
/// # Errors
///
/// Where the host has no thread for it.
pub(crate) fn watch(service: &Service, time: Duration) -> io::Result<()> {
    let service = service.clone();
    let works = move || {
        let (shortest, longest) = LOOKS;
        let pause = (time / 4).clamp(shortest, longest);
        let mut before = Look::of(&service.status());
        let mut idle_since = Instant::now();
        loop {
            thread::sleep(pause);
            let now = Look::of(&service.status());
            if now.is_idle_since(&before) {
                if idle_since.elapsed() >= time {
                    break;
                }
            } else {
                idle_since = Instant::now();
            }
            before = now;
        }
        // Before the drain: with that the process may end.
        say!("wasock: nothing to do for {time:?}: the host ends (--idle-exit)");
        // Clients that come meanwhile wait in the queues, which are the service manager's.
        service.drain();
        manager::drains();
    };
    thread::Builder::new().name("wasock-idle".to_owned()).spawn(works).map(drop)
}

/// What shows whether a service works.
struct Look {
    when: Instant,
    is_busy: bool,
    accepted: u64,
    bytes: u64,
    cpu_time: Duration,
}

impl Look {
    fn of(status: &ServiceStatus) -> Self {
        let waits = status.listeners.iter().any(|it| it.queue_length.is_some_and(|length| length > 0));
        let has_connections = status.generations.iter().any(|it| it.open_connections > 0);
        let mut workers = status.generations.iter().flat_map(|it| &it.workers);
        let starts = workers.any(|it| matches!(it.state, WorkerState::Starting | WorkerState::Waiting));
        let metrics = &status.metrics;
        Self {
            when: Instant::now(),
            is_busy: waits || has_connections || starts,
            accepted: metrics.listeners.iter().map(|it| it.accepted).fold(0, u64::saturating_add),
            bytes: metrics.received_bytes.saturating_add(metrics.sent_bytes),
            cpu_time: metrics.cpu_time,
        }
    }

    fn is_idle_since(&self, before: &Self) -> bool {
        let elapsed = self.when.saturating_duration_since(before.when);
        let works = self.cpu_time.saturating_sub(before.cpu_time) > elapsed / WORK;
        !self.is_busy && !works && self.accepted == before.accepted && self.bytes == before.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(seconds: u64, cpu_ms: u64, bytes: u64) -> Option<Look> {
        let when = Instant::now().checked_add(Duration::from_secs(seconds))?;
        Some(Look { when, is_busy: false, accepted: 1, bytes, cpu_time: Duration::from_millis(cpu_ms) })
    }

    #[test]
    fn work_is_bytes_and_processor_time() {
        let (Some(before), Some(idle)) = (look(0, 0, 7), look(1, 9, 7)) else { return };
        assert!(idle.is_idle_since(&before));
        let busy = [look(1, 20, 7), look(1, 0, 8), look(1, 0, 7).map(|it| Look { is_busy: true, ..it })];
        assert!(busy.iter().flatten().all(|it| !it.is_idle_since(&before)) && busy.len() == 3);
    }
}
