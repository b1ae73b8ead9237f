//! Who is told of events.

use super::Event;

/// Receives [`Event`]s.
///
/// ```
/// use wasock::{Event, Observer, WasockCtx};
///
/// struct Log;
///
/// impl Observer for Log {
///     fn observe(&self, event: &Event) {
///         if let Event::Listening { local, result: Ok(_), .. } = event {
///             println!("listening on {local}");
///         }
///     }
/// }
///
/// let builder = WasockCtx::builder().observer(Log);
/// ```
///
/// # Blocking
///
/// Events are queued and delivered by a thread of their own, one at a time: an observer may be
/// slow, and the guest never waits for it. An observer that falls thousands of events behind misses
/// some, and is called with [how many](Event::Missed). An [inline](Self::inline) observer is called
/// where and when an event happens.
pub trait Observer: Send + Sync {
    /// Is called with each event.
    fn observe(&self, event: &Event);

    /// Does the observer want an event for each connection too? If not, the host saves
    /// the work: [`Event::Accepted`], [`Event::Refused`] and a connection's
    /// [`Event::Closed`] are not made then.
    fn wants_connections(&self) -> bool {
        true
    }

    /// Is the observer called at once, still one event at a time, on the thread where the event
    /// happens? Then it must neither block nor call into the guest's host: other tasks may need
    /// that thread.
    fn inline(&self) -> bool {
        false
    }
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}
