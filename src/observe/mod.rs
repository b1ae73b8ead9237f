//! What the host tells its operator: events, the call trace, metrics.
//!
//! Every room may call this one; it calls none. Events go to an [`Observer`] on a
//! thread of their own; a [`TraceSink`] is called on the thread that runs the guest.

mod delivery;
mod event;
mod trace;

pub use delivery::Delivery;
pub use event::{Closed, Event, Limit, Observer, Refused};
pub use trace::{TraceLine, TraceSink};
