//! Ends connections through which nothing goes.
//!
//! Now and then the connections that the guest has accepted are looked at: how much has gone through
//! each since the last look. So a call that sends or receives only counts its bytes, and no clock is
//! read for it. A connection is ended up to a quarter of its time late.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::observe::Event;
use crate::process::Process;
use crate::socket::{Socket, Stream, Traffic, unsent};

/// How often the connections are looked at, at most and at least.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// After how long without traffic a connection of the guest's is ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleLimits {
    /// It is reset.
    pub(super) reset: Option<Duration>,
    /// The guest, which drains, sees its end.
    pub(super) drain: Option<Duration>,
}

impl IdleLimits {
    fn shortest(&self) -> Option<Duration> {
        self.reset.into_iter().chain(self.drain).min()
    }
}

/// A connection, and since when nothing has gone through it.
struct Watched {
    socket: Weak<Socket>,
    traffic: Traffic,
    /// How much the kernel had still to send when it was looked at last.
    unsent: u64,
    since: Instant,
    is_ended: bool,
}

/// Looks at the connections of `guest` for as long as it lives.
pub(super) async fn end_idle(guest: Weak<Process>, limits: IdleLimits) {
    let Some(shortest) = limits.shortest() else { return };
    let period = (shortest / 4).clamp(LOOKS.0, LOOKS.1);
    let mut known = HashMap::new();
    loop {
        tokio::time::sleep(period).await;
        let Some(process) = guest.upgrade() else { return };
        // Nothing is to be known of connections whose time does not run.
        if limits.reset.is_some() || process.instance().is_retired() {
            look(&process, limits, &mut known);
        }
    }
}

/// Looks at each connection once, and ends those that are due.
fn look(process: &Process, limits: IdleLimits, known: &mut HashMap<usize, Watched>) {
    let (now, is_retired) = (Instant::now(), process.instance().is_retired());
    let mut before = std::mem::take(known);
    for socket in process.accepted() {
        let Ok(stream) = socket.stream() else { continue };
        let Some(traffic) = stream.traffic() else { continue };
        let key = Arc::as_ptr(&socket).addr();
        let watched = before.remove(&key).filter(|it| std::ptr::eq(it.socket.as_ptr(), Arc::as_ptr(&socket)));
        let mut watched = match watched {
            Some(watched) if watched.traffic == traffic => watched,
            _ => Watched { socket: Arc::downgrade(&socket), traffic, unsent: 0, since: now, is_ended: false },
        };
        let idle = now.saturating_duration_since(watched.since);
        let is_due = |limit: Option<Duration>| limit.is_some_and(|limit| idle >= limit);
        let (is_to_reset, is_to_end) = (is_due(limits.reset), is_retired && is_due(limits.drain));
        if is_to_reset || (is_to_end && !watched.is_ended) {
            let left =
                stream.inode().and_then(|inode| unsent(watched.since).get(&inode).copied()).unwrap_or(0);
            if left != 0 && left != watched.unsent {
                // The peer fetches what was sent before.
                (watched.unsent, watched.since) = (left, now);
            } else if is_to_reset {
                report(process, stream, idle);
                stream.reset_now();
                continue;
            } else if traffic.unread == 0 {
                stream.end_receiving();
                watched.is_ended = true;
            }
        }
        known.insert(key, watched);
    }
}

fn report(process: &Process, stream: &Stream, idle: Duration) {
    if let (Ok(local), Ok(peer)) = (stream.local_address(), stream.peer_address()) {
        process.report().counted_idle(&local);
        if process.report().wants_connections() {
            process.report().tell(Event::IdleReset { local, peer, idle });
        }
    }
}
