//! What is watched by the epoll itself, and its bells.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};

use super::list::List;
use super::{Happened, Key, Request, Watch, unpoisoned};
use crate::account::{allocated, sized};
use crate::ready::pollable::{Events, Pollable, look_at};

pub(super) const READ: u8 = 1;
pub(super) const WRITE: u8 = 2;

/// What the host holds for an entry: itself and its two bells; its places in the map, the records
/// and the list, which double as they grow; the bells' places in the lists of the thing; and,
/// as long as the entry is there, the memory of a thing that is closed. The kernel takes less
/// for what it watches: "roughly ... 160 bytes on a 64-bit kernel" - epoll(7).
pub(super) const ENTRY_BYTES: u64 = allocated::<Entry>()
    + 2 * allocated::<Bell>()
    + sized::<(Key, Watch)>(2)
    + sized::<usize>(2)
    + sized::<Waker>(4)
    + 256;

pub(super) struct Entry {
    pub(super) fd: u32,
    pub(super) target: Weak<dyn Pollable>,
    pub(super) bells: [Waker; 2],
    /// The directions whose bell has rung since the last take.
    pub(super) news: AtomicU8,
    /// The directions that have had their last news.
    pub(super) over: AtomicU8,
    pub(super) is_listed: AtomicBool,
    /// How often its bells have rung. Changes under the lock of the list.
    pub(super) rings: AtomicU32,
    pub(super) state: Mutex<EntryState>,
}

pub(super) struct EntryState {
    pub(super) request: Request,
    /// Off after one shot, and for good once removed.
    pub(super) is_on: bool,
}

/// An entry that is not listed, and whose bells are armed.
pub(super) struct Armed {
    pub(super) entry: Arc<Entry>,
    /// The directions with news.
    pub(super) news: u8,
}

impl Armed {
    /// What there is to tell of an entry that is `ready`, and whether it is to be listed
    /// again.
    pub(super) fn judge(&self, ready: Events) -> Option<(Happened, bool)> {
        let mut state = unpoisoned(&self.entry.state);
        let Request { events, edge, one_shot, data } = state.request;
        let events = ready.and(events.or(Events::ALWAYS));
        let has_news = |direction| self.news & direction != 0;
        let fresh = Events::OF_READERS.when(has_news(READ)).or(Events::OF_WRITERS.when(has_news(WRITE)));
        if !state.is_on || events.is_empty() || edge && events.and(fresh).is_empty() {
            return None;
        }
        state.is_on = !one_shot;
        Some((Happened { fd: self.entry.fd, events, data }, !edge && !one_shot))
    }
}

/// Looks at all of them. The last reference to a thing may end here, and closing takes
/// locks.
pub(super) fn look_at_all(armed: Vec<(Armed, Arc<dyn Pollable>)>) -> Vec<(Armed, Events)> {
    let targets: Vec<&dyn Pollable> = armed.iter().map(|(_, target)| target.as_ref()).collect();
    let ready = look_at(&targets);
    armed.into_iter().map(|(armed, _)| armed).zip(ready).collect()
}

struct Bell {
    entry: Weak<Entry>,
    list: Weak<List>,
    direction: u8,
}

impl Entry {
    pub(super) fn new(fd: u32, target: &Arc<dyn Pollable>, request: Request, list: &Arc<List>) -> Arc<Self> {
        Arc::new_cyclic(|entry| {
            let bell = |direction| {
                let (entry, list) = (Weak::clone(entry), Arc::downgrade(list));
                Waker::from(Arc::new(Bell { entry, list, direction }))
            };
            Self {
                fd,
                target: Arc::downgrade(target),
                bells: [bell(READ), bell(WRITE)],
                news: AtomicU8::new(0),
                over: AtomicU8::new(0),
                is_listed: AtomicBool::new(false),
                rings: AtomicU32::new(0),
                state: Mutex::new(EntryState { request, is_on: true }),
            }
        })
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let (Some(entry), Some(list)) = (self.entry.upgrade(), self.list.upgrade()) {
            list.ring(&entry, self.direction);
        }
    }
}
