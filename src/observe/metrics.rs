//! What is counted, as values.

use std::time::Duration;

use super::DurationHistogram;
use crate::address::Address;

/// What a service has counted since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// By listener, in the order in which they began to listen. Those at one address count as one,
    /// whichever instance has them.
    pub listeners: Vec<ListenerMetrics>,
    /// How often an instance was started anew after its end, as
    /// [`Restart`](crate::Restart) says.
    pub restarts: u64,
    /// Reloads that put a new generation in the place of the old one.
    pub reloads: u64,
    /// Reloads that changed nothing, because the new generation failed.
    pub failed_reloads: u64,
    /// Connections that were reset because their instance had drained for as long as it may.
    pub drain_resets: u64,
    /// Calls that the policy refused, by the call: `sock_bind`.
    pub denied_calls: Vec<(&'static str, u64)>,
    /// Bytes that guests have received from sockets. What a guest only looks at is not among them.
    pub received_bytes: u64,
    /// Bytes that guests have sent to sockets.
    pub sent_bytes: u64,
    /// Processor time of the guests' own threads, those that have ended included.
    pub cpu_time: Duration,
    /// How long it took to make instances of the module, its start function not included.
    pub instantiations: DurationHistogram,
    /// Instances that were made [for one connection each](crate::ServiceBuilder::per_connection).
    pub connection_instances: u64,
    /// Of those, how many ended by a trap, a limit or an exit code other than 0.
    pub failed_connection_instances: u64,
    /// Connections that were open when their instance, which drained, ended by itself: by its drain
    /// signal, for one.
    pub drain_cuts: u64,
}

/// What was counted at one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerMetrics {
    /// Its address.
    pub local: Address,
    /// Connections that a guest got.
    pub accepted: u64,
    /// Connections that were reset because as many waited as may
    /// ([`Refused::QueueFull`](super::Refused::QueueFull)).
    pub refused_queue_full: u64,
    /// Connections that waited and were reset because a new backlog had no room for them
    /// ([`Refused::Shrunk`](super::Refused::Shrunk)).
    pub refused_shrunk: u64,
    /// Connections that were reset because the policy takes none from that peer
    /// ([`Refused::Policy`](super::Refused::Policy)).
    pub refused_policy: u64,
    /// Connections that were reset because their peer has as many as one may
    /// ([`Refused::PeerLimit`](super::Refused::PeerLimit)).
    pub refused_peer_limit: u64,
    /// Connections that waited and were reset because nobody was to accept them any more: the service
    /// ended, or a new generation did not listen there.
    pub left_waiting: u64,
    /// Accepted connections that were reset because nothing went through them for as long as that
    /// [may be](crate::WasockCtxBuilder::idle_timeout).
    pub idle_resets: u64,
    /// How often an accept found a connection that the limit to all connections, or to those of
    /// this listener, kept waiting.
    pub limit_reached: u64,
}

impl ListenerMetrics {
    /// Connections that were reset before a guest saw them, for whatever reason.
    pub fn refused(&self) -> u64 {
        [
            self.refused_queue_full,
            self.refused_shrunk,
            self.refused_policy,
            self.refused_peer_limit,
            self.left_waiting,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}
