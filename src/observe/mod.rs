//! What the host reports to its operator: events, the call trace, metrics.
//!
//! An [`Event`] goes to an [`Observer`], which [`WasockCtxBuilder::observer`] takes; a [`TraceLine`] to the
//! function that [`WasockCtxBuilder::trace`] takes; [`Handle::metrics`] returns [`Metrics`].
//!
//! Text from guests and peers is data: [`Escaped`] is how it is printed.
//!
//! Every module may call this one; it calls none. Events go to an [`Observer`] on a
//! thread of their own; the function for trace lines is called on the thread that runs the guest.
//!
//! [`WasockCtxBuilder::observer`]: crate::WasockCtxBuilder::observer
//! [`WasockCtxBuilder::trace`]: crate::WasockCtxBuilder::trace
//! [`Handle::metrics`]: crate::Handle::metrics

mod delivery;
mod event;
mod histogram;
mod limit;
mod metrics;
mod observer;
mod reason;
pub mod status;
pub(crate) mod text;
mod trace;

pub(crate) use delivery::Delivery;
pub use event::Event;
pub use histogram::DurationHistogram;
pub(crate) use histogram::Histogram;
pub use limit::Limit;
pub use metrics::{ListenerMetrics, Metrics};
pub use observer::Observer;
pub use reason::{Closed, DrainEnd, Refused};
pub use text::Escaped;
pub use trace::TraceLine;
pub(crate) use trace::TraceSink;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls an embedder's function and catches its panic, which would otherwise unwind through a call of the
/// guest. The panic hook has printed it by then.
pub(crate) fn contained(what: &str, call: impl FnOnce()) {
    // State that the embedder's panic leaves inconsistent is the embedder's.
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("the {what} panicked; the guest goes on");
    }
}
