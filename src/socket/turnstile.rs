//! How many connections may come in a second: at a held listener, and from each peer.
//!
//! Nobody is refused. A listener that has taken as many as it may is *held back*: its socket leaves the gates
//! of all instances (see [`held`](super::held)) until the next one may come, so that nothing reports it and the clients
//! wait in its queue. A connection whose peer has had as many as one may is *parked*: the host has it, those of
//! other peers pass, and an accept gets it when its time has come. An event descriptor in each gate says
//! that.
//!
//! Rates are kept by the time at which the next one would come if all came evenly (the generic cell rate
//! algorithm); a second's worth may come at once.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::Refusal;
use super::held::HeldSocket;
use super::listen::{AcceptFilter, LimitExceeded, Peer, PendingConnection, peer_of, reset};
use crate::error::Errno;
use crate::io::own_reactor;
use crate::observe::Limit;

/// How many may be parked. Beyond that the listener is held back until one of them may go on.
const MOST_PARKED: usize = 1024;

/// How many peers are remembered; those that have been quiet for a second are forgotten first.
const MOST_PEERS: usize = 4096;

/// How many connections an accept looks at, at most: of peers that are beyond their rate each is parked.
const MOST_LOOKS: usize = 64;

/// How many connections may come in a second; `None` is as many as come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptRates {
    /// At each listener.
    pub per_listener: Option<u32>,
    /// From each peer, at each listener.
    pub per_peer: Option<u32>,
}

impl AcceptRates {
    /// Is there no limit?
    pub fn is_unlimited(self) -> bool {
        self == Self::default()
    }
}

/// When the next connection would come, if all came evenly.
#[derive(Clone, Copy, Debug)]
struct Pace(Instant);

impl Pace {
    /// When one more may come, of so many a second.
    fn due(self, rate: u32, now: Instant) -> Instant {
        let spare = Duration::from_secs(1).saturating_sub(interval(rate));
        self.0.max(now).checked_sub(spare).map_or(now, |due| due.max(now))
    }

    /// One has come, or has its time.
    fn take(&mut self, rate: u32, now: Instant) {
        let next = self.0.max(now);
        self.0 = next.checked_add(interval(rate)).unwrap_or(next);
    }
}

fn interval(rate: u32) -> Duration {
    Duration::from_secs(1).checked_div(rate).unwrap_or(Duration::from_secs(1))
}

/// Stands before a held listener.
pub(crate) struct Turnstile {
    socket: Weak<HeldSocket>,
    /// Readable while a parked connection may go on.
    wake: OwnedFd,
    /// One accept at a time looks whether one may pass and takes it: of two that look at the same moment each would find
    /// that it may. Before the locks of the state and of what `next` takes from.
    turn: Mutex<()>,
    state: Mutex<State>,
}

struct State {
    pace: Pace,
    peers: HashMap<Peer, Pace>,
    /// By the time at which each may go on, and a number.
    parked: BTreeMap<(Instant, u64), PendingConnection>,
    last_parked: u64,
    held_back_until: Option<Instant>,
}

impl Turnstile {
    /// # Errors
    ///
    /// Where the host has no descriptor left.
    pub(super) fn before(socket: Weak<HeldSocket>) -> Result<Arc<Self>, Errno> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let state = State {
            pace: Pace(Instant::now()),
            peers: HashMap::new(),
            parked: BTreeMap::new(),
            last_parked: 0,
            held_back_until: None,
        };
        Ok(Arc::new(Self { socket, wake, turn: Mutex::new(()), state: Mutex::new(state) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole whenever it is unlocked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is readable while a parked connection may go on.
    pub(super) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Is the listener to report nothing for a while?
    pub(super) fn is_held_back(&self) -> bool {
        self.lock().held_back_until.is_some_and(|until| until > Instant::now())
    }

    /// May a parked connection go on?
    pub(super) fn has_due(&self) -> bool {
        self.lock().parked.first_key_value().is_some_and(|((due, _), _)| *due <= Instant::now())
    }

    /// The next connection that may pass; `next` takes one from the queue.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where none may pass now; those of `next`.
    pub(super) fn accept(
        self: &Arc<Self>,
        filter: &dyn AcceptFilter,
        mut next: impl FnMut() -> Result<PendingConnection, Refusal>,
    ) -> Result<PendingConnection, Refusal> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..MOST_LOOKS {
            let now = Instant::now();
            if let Some(parked) = self.next_parked(now) {
                return Ok(parked);
            }
            self.hold_back_if_due(filter, now);
            if self.is_held_back() {
                return Err(Errno::EAGAIN.into());
            }
            let pending = next()?;
            match self.pass(filter.rates(), pending, now) {
                Ok(pending) => {
                    // So that nothing reports the next one too early.
                    self.hold_back_if_due(filter, now);
                    return Ok(pending);
                }
                Err(reached) => filter.is_full(reached),
            }
        }
        Err(Errno::EAGAIN.into())
    }

    /// The parked connection whose time has come.
    fn next_parked(&self, now: Instant) -> Option<PendingConnection> {
        let mut state = self.lock();
        let is_due = |state: &State| state.parked.first_key_value().is_some_and(|((due, _), _)| *due <= now);
        let parked = if is_due(&state) { state.parked.pop_first() } else { None };
        if !is_due(&state) {
            // Nothing to read is as good.
            let _none = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        parked.map(|(_, pending)| pending)
    }

    /// Holds the listener back where it has taken as many as it may, and reports that.
    fn hold_back_if_due(self: &Arc<Self>, filter: &dyn AcceptFilter, now: Instant) {
        let Some((until, reached)) = self.begin_to_hold_back(filter.rates(), now) else { return };
        filter.is_full(reached);
        if let Some(socket) = self.socket.upgrade() {
            socket.close_gates();
        }
        self.later(until, |turnstile, socket| {
            turnstile.lock().held_back_until = None;
            socket.open_gates();
        });
    }

    /// Until when the listener is held back from now on, and by which limit.
    fn begin_to_hold_back(&self, rates: AcceptRates, now: Instant) -> Option<(Instant, LimitExceeded)> {
        let mut state = self.lock();
        if state.held_back_until.is_some_and(|until| until > now) {
            return None;
        }
        let by_rate = rates.per_listener.and_then(|rate| {
            let due = state.pace.due(rate, now);
            (due > now).then_some((due, LimitExceeded { limit: Limit::AcceptRate, most: rate }))
        });
        let by_parked = || {
            let ((due, _), _) =
                state.parked.first_key_value().filter(|_| state.parked.len() >= MOST_PARKED)?;
            let most = rates.per_peer.unwrap_or(0);
            Some((*due, LimitExceeded { limit: Limit::AcceptRatePerPeer, most }))
        };
        let (until, reached) = by_rate.or_else(by_parked)?;
        state.held_back_until = Some(until);
        Some((until, reached))
    }

    /// Counts a connection, and parks it where its peer has had as many as it may.
    fn pass(
        self: &Arc<Self>,
        rates: AcceptRates,
        pending: PendingConnection,
        now: Instant,
    ) -> Result<PendingConnection, LimitExceeded> {
        let mut state = self.lock();
        if let Some(rate) = rates.per_listener {
            state.pace.take(rate, now);
        }
        let Some((rate, peer)) = rates.per_peer.zip(peer_of(&pending.peer)) else { return Ok(pending) };
        if state.peers.len() >= MOST_PEERS {
            state.peers.retain(|_, pace| pace.0 > now);
        }
        let pace = state.peers.entry(peer).or_insert(Pace(now));
        let due = pace.due(rate, now);
        pace.take(rate, now);
        if due <= now {
            return Ok(pending);
        }
        state.last_parked += 1;
        let key = (due, state.last_parked);
        state.parked.insert(key, pending);
        drop(state);
        self.later(due, |turnstile, socket| {
            let _full = rustix::io::write(&turnstile.wake, &1_u64.to_ne_bytes());
            socket.wake_waiters();
        });
        Err(LimitExceeded { limit: Limit::AcceptRatePerPeer, most: rate })
    }

    /// Calls `call` then, if the socket is still there.
    fn later(self: &Arc<Self>, at: Instant, call: impl FnOnce(&Self, &HeldSocket) + Send + 'static) {
        let turnstile = Arc::downgrade(self);
        let waits = async move {
            tokio::time::sleep_until(at.into()).await;
            if let Some(turnstile) = turnstile.upgrade()
                && let Some(socket) = turnstile.socket.upgrade()
            {
                call(&turnstile, &socket);
            }
        };
        match own_reactor() {
            Ok(reactor) => drop(reactor.spawn(waits)),
            // The next accept looks at the clock itself.
            Err(errno) => tracing::debug!("a listener has no clock: {errno}"),
        }
    }

    /// Resets what is parked; tells how many they were.
    pub(super) fn close(&self) -> usize {
        let parked = std::mem::take(&mut self.lock().parked);
        parked.values().for_each(|pending| reset(&pending.socket));
        parked.len()
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Turnstile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turnstile").field("parked", &self.lock().parked.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, UnixName};
    use crate::socket::listen::{Capacity, ListenerQuota, RejectReason};
    use std::sync::Condvar;

    struct OneASecond;

    impl AcceptFilter for OneASecond {
        fn listens(&self, _: &Address, _: Capacity) {}
        fn admit(&self, _: &Address) -> Result<(), crate::policy::Denial> {
            Ok(())
        }
        fn quota(&self) -> Option<&ListenerQuota> {
            None
        }
        fn rates(&self) -> AcceptRates {
            AcceptRates { per_listener: Some(1), per_peer: None }
        }
        fn rejected(&self, _: Address, _: RejectReason) {}
        fn is_full(&self, _: LimitExceeded) {}
    }

    fn pending() -> Result<PendingConnection, Refusal> {
        let socket = eventfd(0, EventfdFlags::CLOEXEC).map_err(Errno::from)?;
        let peer = Address::Unix(UnixName::unnamed());
        Ok(PendingConnection { socket, peer, permit: None, _held: None })
    }

    #[test]
    fn two_that_accept_at_the_same_moment_do_not_both_pass() -> Result<(), Errno> {
        let turnstile = Turnstile::before(Weak::new())?;
        let (taking, both) = (Mutex::new(0), Condvar::new());
        // Waits for the other one, which must not come.
        let next = || {
            let mut taking = taking.lock().unwrap_or_else(PoisonError::into_inner);
            *taking += 1;
            both.notify_all();
            let _met = both.wait_timeout_while(taking, Duration::from_millis(200), |taking| *taking < 2);
            pending()
        };
        let accepts = || turnstile.accept(&OneASecond, next);
        let passed = std::thread::scope(|scope| {
            let accepting = [scope.spawn(accepts), scope.spawn(accepts)];
            accepting.into_iter().filter_map(|it| it.join().ok()).filter(Result::is_ok).count()
        });
        assert_eq!(passed, 1);
        Ok(())
    }

    #[test]
    fn a_seconds_worth_may_come_at_once_and_the_others_evenly() {
        let now = Instant::now();
        let mut pace = Pace(now);
        let dues: Vec<_> = (0..5)
            .map(|_| {
                let due = pace.due(2, now);
                pace.take(2, now);
                due.saturating_duration_since(now).as_millis()
            })
            .collect();
        assert_eq!(dues, [0, 0, 500, 1000, 1500]);
        // After a while it is as at first.
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.due(2, later), later);
    }

    #[test]
    fn one_a_second_is_one_a_second() {
        let now = Instant::now();
        let mut pace = Pace(now);
        assert_eq!(pace.due(1, now), now);
        pace.take(1, now);
        assert_eq!(pace.due(1, now), now + Duration::from_secs(1));
    }
}
