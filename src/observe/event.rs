//! Things that happened, as values.

use std::net::SocketAddr;

use crate::error::Errno;

/// Something the operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A socket listens. `local` holds the port that the host chose where the
    /// guest asked for port 0.
    Listening {
        /// The guest's descriptor.
        fd: u32,
        /// The address in use.
        local: SocketAddr,
        /// How many connections may wait, after clamping.
        backlog: u32,
    },
    /// The policy refused a call.
    Denied {
        /// The call: `sock_bind`.
        call: &'static str,
        /// The address or name, as text.
        what: String,
        /// The rule that decided, in words.
        rule: &'static str,
        /// The command line flag that would allow exactly this.
        flag: String,
    },
    /// The host's system refused an address that the policy had granted.
    Unavailable {
        /// The call: `sock_bind`.
        call: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        errno: Errno,
    },
    /// The guest imports a function that the host lacks; it answers `ENOSYS`.
    Stubbed {
        /// The import's module.
        module: String,
        /// The function's name.
        name: String,
    },
    /// A handler of events trapped, and the guest starts anew: all that it had open is
    /// closed.
    Restarted {
        /// The reason, and the guest's backtrace in the lines after it.
        trap: String,
    },
}

/// Receives [`Event`]s.
///
/// # Blocking
///
/// Called on the thread that runs the guest: hand slow work to another one.
pub trait Observer: Send + Sync {
    /// Takes note of `event`.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}
