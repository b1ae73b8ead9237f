//! What becomes of a guest when a handler of events traps.

use std::fmt;
use std::str::FromStr;

use crate::error::ParseError;

/// The operator's choice for a trap in a [handler of events](super::deliver_events).
///
/// The connection that the handler was called for is closed in either case, with a
/// reset. A trap anywhere else stops the guest always: in its start, and in a
/// `wasock_on_listen` for a listener of the start, it would only happen again. Code that
/// the engine interrupted, by its epoch, is never restarted: that was requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnTrap {
    /// The guest ends by the trap.
    #[default]
    Stop,
    /// The guest starts anew, in a new instance: all that it had open is closed, its memory
    /// is fresh, and its start runs again. What it was given is given again: the
    /// standard streams, as far as they were read, the sockets and the preopened directories.
    /// Its listeners are held meanwhile, and it gets them again where it binds to the same
    /// address: see [`Service`](super::Service).
    /// One that goes on failing starts after longer and longer delays, and in the end no more:
    /// see [`Guest::run`](super::Guest::run).
    Restart,
}

impl fmt::Display for OnTrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
        })
    }
}

impl FromStr for OnTrap {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ParseError::new("expected stop or restart");
        [Self::Stop, Self::Restart].into_iter().find(|it| it.to_string() == text).ok_or_else(unknown)
    }
}
