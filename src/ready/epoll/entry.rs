//! An entry that the epoll watches itself, and its wakers.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};

use super::ready_list::EpollReadyList;
use super::{EntryKey, Happened, Request, Watch, unpoisoned};
use crate::account::{allocated, sized};
use crate::io::Events;
use crate::ready::pollable::{Pollable, events_of};

pub(super) const READ: u8 = 1;
pub(super) const WRITE: u8 = 2;

/// What the host holds for an entry: itself and its two wakers; its slots in the map, the records
/// and the list, which double as they grow; the wakers' slots in the lists of the thing; and,
/// as long as the entry is there, the memory of a thing that is closed. The kernel takes less
/// for what it watches: "roughly ... 160 bytes on a 64-bit kernel" - epoll(7).
pub(super) const ENTRY_BYTES: u64 = allocated::<EpollEntry>()
    + 2 * allocated::<DirectionWaker>()
    + sized::<(EntryKey, Watch)>(2)
    + sized::<usize>(2)
    + sized::<Waker>(4)
    + 256;

pub(super) struct EpollEntry {
    pub(super) fd: u32,
    pub(super) target: Weak<dyn Pollable>,
    pub(super) wakers: [Waker; 2],
    /// The directions that were woken since the last take.
    pub(super) changed: AtomicU8,
    /// The directions that have had their last change.
    pub(super) closed: AtomicU8,
    pub(super) is_listed: AtomicBool,
    /// How often it was woken. Changes under the lock of the list.
    pub(super) wakes: AtomicU32,
    pub(super) state: Mutex<EntryState>,
}

pub(super) struct EntryState {
    pub(super) request: Request,
    /// Off after one shot, and for good once removed.
    pub(super) is_on: bool,
}

/// An entry that is not listed, and whose wakers are armed.
pub(super) struct Armed {
    pub(super) entry: Arc<EpollEntry>,
    /// The directions that have changed.
    pub(super) changed: u8,
}

impl Armed {
    /// What to report of an entry that is `ready`, and whether it is to be listed again.
    ///
    pub(super) fn judge(&self, ready: Events) -> Option<(Happened, bool)> {
        let mut state = unpoisoned(&self.entry.state);
        let Request { events, edge, one_shot, data } = state.request;
        let events = ready.and(events.or(Events::ALWAYS));
        let has_change = |direction| self.changed & direction != 0;
        let fresh = Events::OF_READERS.when(has_change(READ)).or(Events::OF_WRITERS.when(has_change(WRITE)));
        if !state.is_on || events.is_empty() || edge && events.and(fresh).is_empty() {
            return None;
        }
        state.is_on = !one_shot;
        Some((Happened { fd: self.entry.fd, events, data }, !edge && !one_shot))
    }
}

/// Polls all of them. The last reference to a thing may be dropped here, and closing takes
/// locks.
pub(super) fn poll_entries(armed: Vec<(Armed, Arc<dyn Pollable>)>) -> Vec<(Armed, Events)> {
    let targets: Vec<&dyn Pollable> = armed.iter().map(|(_, target)| target.as_ref()).collect();
    let ready = events_of(&targets);
    armed.into_iter().map(|(armed, _)| armed).zip(ready).collect()
}

struct DirectionWaker {
    entry: Weak<EpollEntry>,
    list: Weak<EpollReadyList>,
    direction: u8,
}

impl EpollEntry {
    pub(super) fn new(
        fd: u32,
        target: &Arc<dyn Pollable>,
        request: Request,
        list: &Arc<EpollReadyList>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|entry| {
            let waker = |direction| {
                let (entry, list) = (Weak::clone(entry), Arc::downgrade(list));
                Waker::from(Arc::new(DirectionWaker { entry, list, direction }))
            };
            Self {
                fd,
                target: Arc::downgrade(target),
                wakers: [waker(READ), waker(WRITE)],
                changed: AtomicU8::new(0),
                closed: AtomicU8::new(0),
                is_listed: AtomicBool::new(false),
                wakes: AtomicU32::new(0),
                state: Mutex::new(EntryState { request, is_on: true }),
            }
        })
    }
}

impl Wake for DirectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let (Some(entry), Some(list)) = (self.entry.upgrade(), self.list.upgrade()) {
            list.mark_ready(&entry, self.direction);
        }
    }
}
