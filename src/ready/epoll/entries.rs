//! What an epoll watches, by number and thing, and what that is charged.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{ENTRY_BYTES, EpollNode};
use crate::account::{Account, Charge, sized};
use crate::io::Pollable;

/// What is left of an entry that was removed, until the epoll ends: its slots in the map, the
/// records and the list, which do not shrink. Twice, since they double as they grow.
const LEFT_BYTES: u64 = sized::<(EntryKey, Watch)>(2) + sized::<EpollNode>(1) + 4 * sized::<usize>(2);

pub(super) struct Entries {
    pub(super) by_key: HashMap<EntryKey, Watch>,
    /// How many there have been at once.
    peak: usize,
    pub(super) held: Charge,
    /// How many of them are not the kernel's.
    pub(super) own: usize,
    /// At how many entries those of closed things are swept out.
    pub(super) sweep_at: usize,
}

/// "The key is the combination of the file descriptor number and the open file
/// description" - epoll(7). The address is that of a thing which is watched weakly: no
/// other one gets it as long as the entry lives.
pub(super) type EntryKey = (u32, usize);

/// What watches a thing.
pub(super) enum Watch {
    Entry(Arc<EpollNode>),
    /// The kernel, by the record of this number.
    Kernel(u32),
}

impl Entries {
    /// None yet; they are to be charged on `account`.
    pub(super) fn new(account: &Arc<Account>) -> Self {
        Self { by_key: HashMap::new(), peak: 0, held: Charge::none(account), own: 0, sweep_at: 0 }
    }

    /// Charges for the present entries and `more`, and for what is left of removed ones; returns whether that
    /// many bytes were left.
    pub(super) fn charge(&mut self, more: usize) -> bool {
        let count = self.by_key.len().saturating_add(more);
        let gone = self.peak.saturating_sub(count);
        let [count_bytes, gone] = [count, gone].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let bytes = count_bytes.saturating_mul(ENTRY_BYTES).saturating_add(gone.saturating_mul(LEFT_BYTES));
        let has_room = self.held.resize_quietly(bytes);
        if has_room {
            self.peak = self.peak.max(count);
        }
        has_room
    }
}

pub(super) fn key(fd: u32, target: &Arc<dyn Pollable>) -> EntryKey {
    (fd, Arc::as_ptr(target).addr())
}
