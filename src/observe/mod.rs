//! What the host tells its operator: events, the call trace, metrics.
//!
//! Every room may call this one; it calls none. An [`Observer`] must not block:
//! it is called on the thread that runs the guest.

mod event;
mod trace;

pub use event::{Event, Observer};
pub use trace::{TraceLine, TraceSink};
