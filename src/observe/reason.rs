//! Why something happened to a connection or to what serves it.

/// Why a generation that drains was ended before its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainEnd {
    /// It has drained for as long as it [may](crate::ServiceBuilder::drain_timeout).
    Timeout,
    /// There were [as many generations](crate::ServiceBuilder::max_generations) as there may be, and
    /// another one came.
    Generations,
    /// It has failed, and is no generation that goes on.
    Failed,
    /// It has ended by itself, by its [drain signal](crate::ServiceBuilder::drain_signal) for one: its
    /// connections were closed, and not reset.
    Ended,
}

/// Why a peer was reset before the guest saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// As many waited as may, and the profile refuses at once.
    QueueFull,
    /// It waited, and a smaller backlog no longer had space for it.
    Shrunk,
    /// The policy takes no connections from it.
    Policy,
    /// It has as many connections as one peer may have.
    PeerLimit,
}

/// Why a descriptor is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The guest closed it.
    ByGuest,
    /// The guest gave its number to another descriptor.
    Replaced,
    /// A handler trapped while it dealt with it.
    Trapped,
    /// The guest ended.
    Ended,
}
