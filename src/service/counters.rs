//! What is counted of a service and at its listeners.
//!
//! A counter is one atomic word beside what it counts, and costs no system call.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use super::report::unpoisoned;
use crate::address::Address;
use crate::observe::{Histogram, Limit, ListenerMetrics, Metrics};

/// How many listeners are remembered: a guest may listen at one port after another, and each costs
/// memory. The oldest that are gone are forgotten first.
const MOST: usize = 1024;

/// The counters of a service.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) restarts: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) failed_reloads: AtomicU64,
    pub(super) drain_resets: AtomicU64,
    pub(super) instantiations: Histogram,
    reached: [AtomicU64; Limit::ALL.len()],
    pub(super) instances: AtomicU64,
    pub(super) failed_instances: AtomicU64,
    pub(super) drain_cuts: AtomicU64,
    listeners: Mutex<Vec<Arc<ListenerCounters>>>,
}

/// The counters of one listener.
#[derive(Debug)]
pub(super) struct ListenerCounters {
    local: Address,
    pub(super) accepted: AtomicU64,
    pub(super) queue_full: AtomicU64,
    pub(super) shrunk: AtomicU64,
    pub(super) policy: AtomicU64,
    pub(super) peer_limit: AtomicU64,
    pub(super) left_waiting: AtomicU64,
    pub(super) idle: AtomicU64,
    pub(super) limit_reached: AtomicU64,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    /// Those of the listener at `local`.
    pub(super) fn of(&self, local: &Address) -> Arc<ListenerCounters> {
        let mut listeners = unpoisoned(&self.listeners);
        if let Some(known) = listeners.iter().find(|known| known.local == *local) {
            return Arc::clone(known);
        }
        if listeners.len() >= MOST
            && let Some(gone) = listeners.iter().position(|known| Arc::strong_count(known) == 1)
        {
            listeners.remove(gone);
        }
        let new = Arc::new(ListenerCounters {
            local: local.clone(),
            accepted: AtomicU64::new(0),
            queue_full: AtomicU64::new(0),
            shrunk: AtomicU64::new(0),
            policy: AtomicU64::new(0),
            peer_limit: AtomicU64::new(0),
            left_waiting: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            limit_reached: AtomicU64::new(0),
        });
        listeners.push(Arc::clone(&new));
        new
    }

    /// A limit was reached.
    pub(super) fn count_reached(&self, limit: Limit) {
        if let Some(counter) = self.of_limit(limit) {
            count(counter);
        }
    }

    /// How often it was.
    pub(super) fn reached(&self, limit: Limit) -> u64 {
        self.of_limit(limit).map_or(0, |counter| counter.load(Relaxed))
    }

    fn of_limit(&self, limit: Limit) -> Option<&AtomicU64> {
        let place = Limit::ALL.iter().position(|it| *it == limit)?;
        self.reached.get(place)
    }

    /// All of them now.
    pub(super) fn read(&self) -> Metrics {
        let listeners = unpoisoned(&self.listeners);
        Metrics {
            listeners: listeners.iter().map(|listener| listener.read()).collect(),
            restarts: self.restarts.load(Relaxed),
            reloads: self.reloads.load(Relaxed),
            failed_reloads: self.failed_reloads.load(Relaxed),
            drain_resets: self.drain_resets.load(Relaxed),
            drain_cuts: self.drain_cuts.load(Relaxed),
            instantiations: self.instantiations.read(),
            connection_instances: self.instances.load(Relaxed),
            failed_connection_instances: self.failed_instances.load(Relaxed),
            ..Metrics::default()
        }
    }
}

impl ListenerCounters {
    fn read(&self) -> ListenerMetrics {
        ListenerMetrics {
            local: self.local.clone(),
            accepted: self.accepted.load(Relaxed),
            refused_queue_full: self.queue_full.load(Relaxed),
            refused_shrunk: self.shrunk.load(Relaxed),
            refused_policy: self.policy.load(Relaxed),
            refused_peer_limit: self.peer_limit.load(Relaxed),
            left_waiting: self.left_waiting.load(Relaxed),
            idle_resets: self.idle.load(Relaxed),
            limit_reached: self.limit_reached.load(Relaxed),
        }
    }
}
