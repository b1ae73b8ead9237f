//! What an epoll watches, by number and thing, and what that is charged.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{ENTRY_BYTES, EpollNode};
use crate::account::{Account, Charge, sized};
use crate::io::Pollable;

/// What is left of an entry that was removed, until the epoll ends: its slots in the map, the
/// records and the list, which do not shrink. Twice, since they double as they grow.
const LEFT_BYTES: u64 =
    sized::<(EntryKey, Arc<EpollNode>)>(2) + sized::<EpollNode>(1) + 4 * sized::<usize>(2);

pub(super) struct Entries {
    /// What is watched here.
    pub(super) own: HashMap<EntryKey, Arc<EpollNode>>,
    /// What the kernel watches, by the number of its record.
    pub(super) of_kernel: HashMap<SmallKey, u32>,
    /// How many there have been at once.
    peak: usize,
    pub(super) held: Charge,
    /// At how many entries those of closed things are swept out.
    pub(super) sweep_at: usize,
}

/// "The key is the combination of the file descriptor number and the open file
/// description" - epoll(7). The address is that of a thing which is watched weakly: no
/// other one gets it as long as the entry lives.
pub(super) type EntryKey = (u32, usize);

/// The same in words of 32 bits: with the number of a record it takes half of what it would as it is, and
/// connections are many.
pub(super) type SmallKey = [u32; 3];

impl Entries {
    /// None yet; they are to be charged on `account`.
    pub(super) fn new(account: &Arc<Account>) -> Self {
        let (own, of_kernel) = (HashMap::new(), HashMap::new());
        Self { own, of_kernel, peak: 0, held: Charge::none(account), sweep_at: 0 }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.own.len().saturating_add(self.of_kernel.len())
    }

    /// Charges for the present entries and `more`, and for what is left of removed ones; returns whether that
    /// many bytes were left.
    pub(super) fn charge(&mut self, more: usize) -> bool {
        let count = self.count().saturating_add(more);
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

pub(super) fn small((fd, address): EntryKey) -> SmallKey {
    let address = u64::try_from(address).unwrap_or(u64::MAX);
    let [high, low] = [address >> 32, address & u64::from(u32::MAX)].map(|it| u32::try_from(it).unwrap_or(0));
    [fd, high, low]
}
