//! An entry that the epoll watches itself.

use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;

use super::{EntryKey, Epoll, Happened, Request, unpoisoned};
use crate::account::{allocated, sized};
use crate::io::{DirectionWaker, Events, Node, OnReport, Pollable, READ, WRITE, look_at_all};

/// What the host holds for an entry: itself and its two wakers; its slots in the map, the records
/// and the list, which double as they grow; the wakers' slots in the lists of the thing; and,
/// as long as the entry is there, the memory of a thing that is closed. The kernel takes less
/// for what it watches: "roughly ... 160 bytes on a 64-bit kernel" - epoll(7).
pub(super) const ENTRY_BYTES: u64 = allocated::<EpollNode>()
    + 2 * allocated::<DirectionWaker<EpollEntry>>()
    + sized::<(EntryKey, Arc<EpollNode>)>(2)
    + sized::<usize>(2)
    + sized::<Waker>(4)
    + 256;

/// An entry in the ready list.
pub(super) type EpollNode = Node<EpollEntry>;

pub(super) struct EpollEntry {
    pub(super) fd: u32,
    pub(super) state: Mutex<EntryState>,
    /// The epoll that is watched, where the thing is one.
    pub(super) inner: Option<Weak<Epoll>>,
}

pub(super) struct EntryState {
    pub(super) request: Request,
    /// Off after one shot, and for good once removed.
    pub(super) is_on: bool,
}

/// An entry that is not listed, and whose wakers are armed.
pub(super) struct Armed {
    pub(super) entry: Arc<EpollNode>,
    /// The directions that have changed.
    pub(super) changed: u8,
}

/// An entry that was looked at.
pub(super) struct Looked {
    pub(super) armed: Armed,
    ready: Events,
    on_report: Option<Arc<dyn OnReport>>,
}

impl Looked {
    /// What to report of the entry, and whether it is to be listed again.
    pub(super) fn judge(&self) -> Option<(Happened, bool)> {
        let EpollEntry { fd, state, .. } = &self.armed.entry.value;
        let mut state = unpoisoned(state);
        let Request { events, edge, one_shot, data } = state.request;
        let events = self.ready.and(events.or(Events::ALWAYS));
        let has_change = |direction| self.armed.changed & direction != 0;
        let fresh = Events::OF_READERS.when(has_change(READ)).or(Events::OF_WRITERS.when(has_change(WRITE)));
        if !state.is_on || events.is_empty() || edge && events.and(fresh).is_empty() {
            return None;
        }
        state.is_on = !one_shot;
        if let Some(on_report) = &self.on_report {
            on_report.note_report();
        }
        Some((Happened { fd: *fd, events, data }, !edge && !one_shot))
    }
}

/// Looks at all of them. The last reference to a thing may be dropped here, and closing takes
/// locks.
pub(super) fn look_at_entries(armed: Vec<(Armed, Arc<dyn Pollable>)>) -> Vec<Looked> {
    let targets: Vec<&dyn Pollable> = armed.iter().map(|(_, target)| target.as_ref()).collect();
    let ready = look_at_all(&targets);
    let each = armed.into_iter().zip(ready);
    each.map(|((armed, target), ready)| Looked { armed, ready, on_report: target.on_report() }).collect()
}
