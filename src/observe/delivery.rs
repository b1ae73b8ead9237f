//! Delivers events to an observer, on a thread that the guest never waits for.
//!
//! The thread exists while events are pending, and a moment longer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Event, Observer, contained};

/// How many events may wait for the observer. More than a busy second brings, less
/// than a host would notice in its memory.
const LIMIT: usize = 16 * 1024;

/// How long the thread waits for more before it ends.
const LINGER: Duration = Duration::from_secs(1);

/// The events of one guest, on their way to its observer.
#[derive(Clone)]
pub(crate) struct Delivery {
    observer: Arc<dyn Observer>,
    wants_connections: bool,
    inline: bool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    events: VecDeque<Event>,
    missed: u64,
    has_thread: bool,
    /// Is the observer being called right now?
    is_observing: bool,
}

impl Delivery {
    /// For `observer`.
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        let (wants_connections, inline) = (observer.wants_connections(), observer.inline());
        Self { observer, wants_connections, inline, shared: Arc::default() }
    }

    /// Does the observer want an event for each connection?
    pub(crate) fn wants_connections(&self) -> bool {
        self.wants_connections
    }

    /// Queues `event`; an [inline](Observer::inline) observer is called here instead.
    /// Never blocks.
    pub(crate) fn send(&self, event: Event) {
        let mut pending = self.shared.lock();
        if self.inline {
            // The lock keeps the events apart, and in order.
            return self.observe(&event);
        }
        if pending.events.len() >= LIMIT {
            pending.missed += 1;
        } else {
            if pending.missed > 0 {
                let count = std::mem::take(&mut pending.missed);
                pending.events.push_back(Event::Missed { count });
            }
            pending.events.push_back(event);
        }
        if pending.has_thread {
            self.shared.changed.notify_all();
        } else {
            let delivery = self.clone();
            let thread = thread::Builder::new().name("wasock-events".to_owned());
            // A host without a thread to spare tries again with the next event.
            pending.has_thread = thread.spawn(move || delivery.run()).is_ok();
        }
    }

    /// Calls the observer; its panic is caught here.
    fn observe(&self, event: &Event) {
        contained("observer", || self.observer.observe(event));
    }

    /// Waits until the observer has taken every event so far, for `limit` at most;
    /// tells whether it has. Stops its thread meanwhile.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pending = self.shared.lock();
        while pending.has_thread && (pending.is_observing || !pending.events.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            pending = self.shared.wait(pending, left);
        }
        pending.events.is_empty()
    }

    fn run(&self) {
        let mut pending = self.shared.lock();
        let mut idle_since = Instant::now();
        loop {
            if let Some(event) = pending.events.pop_front() {
                pending.is_observing = true;
                drop(pending);
                let watched = Observing(&self.shared);
                self.observe(&event);
                drop(watched);
                pending = self.shared.lock();
                idle_since = Instant::now();
                continue;
            }
            if pending.missed > 0 {
                let count = std::mem::take(&mut pending.missed);
                pending.events.push_back(Event::Missed { count });
                continue;
            }
            let left = LINGER.saturating_sub(idle_since.elapsed());
            if left.is_zero() {
                pending.has_thread = false;
                return;
            }
            pending = self.shared.wait(pending, left);
        }
    }
}

/// Notes the end of a call of the observer, also where it panicked: the thread is gone
/// then, and the next event starts another.
struct Observing<'a>(&'a Shared);

impl Drop for Observing<'_> {
    fn drop(&mut self) {
        let mut pending = self.0.lock();
        pending.is_observing = false;
        if thread::panicking() {
            pending.has_thread = false;
        }
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, pending: MutexGuard<'a, Pending>, limit: Duration) -> MutexGuard<'a, Pending> {
        self.changed.wait_timeout(pending, limit).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("wants_connections", &self.wants_connections).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

    fn numbered(number: u64) -> Event {
        Event::Missed { count: number }
    }

    #[test]
    fn events_arrive_in_order() {
        let (sender, receiver) = mpsc::channel();
        let delivery = Delivery::new(Arc::new(move |event: &Event| drop(sender.send(event.clone()))));
        for number in 1..=1000 {
            delivery.send(numbered(number));
        }
        for number in 1..=1000 {
            assert_eq!(receiver.recv_timeout(WAIT_TIMEOUT), Ok(numbered(number)));
        }
        assert!(delivery.flush(WAIT_TIMEOUT));
    }

    #[test]
    fn a_slow_observer_delays_no_guest_and_gets_what_it_missed() {
        let (release, held) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let held = Mutex::new(held);
        let delivery = Delivery::new(Arc::new(move |event: &Event| {
            let _released = held.lock().map(|held| held.recv());
            let _nobody = sender.send(event.clone());
        }));
        let sent = u64::try_from(LIMIT).unwrap_or(0) + 100;
        for number in 1..=sent {
            delivery.send(numbered(1_000_000 + number));
        }
        assert!(!delivery.flush(Duration::from_millis(10)));
        // From here on it is fast.
        drop(release);
        let mut heard = 0;
        let mut missed = 0;
        while heard + missed < sent {
            match receiver.recv_timeout(WAIT_TIMEOUT) {
                Ok(Event::Missed { count }) if count < 1_000_000 => missed += count,
                Ok(_) => heard += 1,
                Err(error) => {
                    assert_eq!(Some(error), None, "{heard} heard, {missed} missed");
                }
            }
        }
        assert!((99..=100).contains(&missed), "{missed}");
    }

    #[test]
    fn an_observer_that_panics_gets_the_next_event() {
        let (sender, receiver) = mpsc::channel();
        let delivery = Delivery::new(Arc::new(move |event: &Event| {
            assert_ne!(*event, numbered(1), "as the test wants it");
            let _nobody = sender.send(event.clone());
        }));
        delivery.send(numbered(1));
        assert!(delivery.flush(WAIT_TIMEOUT));
        delivery.send(numbered(2));
        assert_eq!(receiver.recv_timeout(WAIT_TIMEOUT), Ok(numbered(2)));
    }
}
