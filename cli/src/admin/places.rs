//! Places for connections of operators.
//!
//! Whoever comes gets one. Where all are taken, the oldest connection gives way that does not wait for the
//! service: whatever its client holds back (the head, the body, the reading of the answer), it has had its
//! time. A reload is what may be waited for, and only a few wait at once. So no client keeps an operator out.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How many connections there may be at once, for each of which a descriptor is
/// [kept](super::reserve_descriptors).
const MOST: usize = 32;

/// How many of them may wait for the service.
pub(super) const MOST_WAITING: usize = 8;

/// How long a connection has its place at least. A request is there when its connection is accepted, or in
/// no time.
const LEAST_LIFE: Duration = Duration::from_millis(50);

/// The places of all connections.
#[derive(Default)]
pub(super) struct Places {
    /// The oldest first.
    taken: Mutex<Vec<Arc<Place>>>,
    left: Notify,
}

/// The place of one connection.
pub(super) struct Place {
    since: Instant,
    waits: AtomicBool,
    gives_way: Notify,
}

/// A place, until this is dropped.
pub(super) struct Taken {
    places: Arc<Places>,
    pub(super) place: Arc<Place>,
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection its place.
    pub(super) fn take(self: &Arc<Self>) -> Taken {
        let place = Arc::new(Place {
            since: Instant::now(),
            waits: AtomicBool::new(false),
            gives_way: Notify::new(),
        });
        self.taken().push(Arc::clone(&place));
        Taken { places: Arc::clone(self), place }
    }

    /// Waits until there is a place, for which the oldest connection that may gives way.
    pub(super) async fn wait_for_one(&self) {
        while let Some(until) = self.make_room() {
            tokio::select! {
                () = self.left.notified() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Tells the connection that is to give way; returns when to look again, where there is no place yet.
    fn make_room(&self) -> Option<Instant> {
        let taken = self.taken();
        if taken.len() < MOST {
            return None;
        }
        let now = Instant::now();
        let oldest = taken.iter().find(|place| !place.waits.load(SeqCst));
        let due = oldest.map_or(now, |oldest| oldest.since) + LEAST_LIFE;
        if let Some(oldest) = oldest.filter(|_| due <= now) {
            oldest.gives_way.notify_one();
        }
        Some(due.max(now + LEAST_LIFE))
    }
}

impl Place {
    /// Waits until it is to give way.
    pub(super) async fn gives_way(&self) {
        self.gives_way.notified().await;
    }

    /// It waits for the service, as long as the result lives.
    pub(super) fn waits(&self) -> Waits<'_> {
        self.waits.store(true, SeqCst);
        Waits(self)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waits.load(SeqCst)
    }
}

/// See [`Place::waits`].
pub(super) struct Waits<'a>(&'a Place);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waits.store(false, SeqCst);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.places.taken().retain(|place| !Arc::ptr_eq(place, &self.place));
        self.places.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has this connection been told to give way?
    async fn is_told(taken: &Taken) -> bool {
        let told = taken.place.gives_way();
        tokio::time::timeout(Duration::ZERO, told).await.is_ok()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_oldest_that_does_not_wait_gives_way() {
        let places = Arc::new(Places::default());
        let taken: Vec<_> = (0..MOST).map(|_| places.take()).collect();
        let [first, second, third, ..] = taken.as_slice() else { return };
        let waits = first.place.waits();
        // None is too young for long.
        let due = places.make_room();
        assert!(due.is_some());
        tokio::time::sleep(LEAST_LIFE).await;
        assert!(places.make_room().is_some());
        assert!(!is_told(first).await && is_told(second).await && !is_told(third).await);
        drop(waits);
        assert!(places.make_room().is_some());
        assert!(is_told(first).await);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_place_that_is_left_is_for_the_next() {
        let places = Arc::new(Places::default());
        let mut taken: Vec<_> = (0..MOST).map(|_| places.take()).collect();
        assert!(places.make_room().is_some());
        taken.pop();
        assert!(places.make_room().is_none());
        places.wait_for_one().await;
    }
}
