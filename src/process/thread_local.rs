//! Thread-local values that the host keeps: programs of 2023 hold them here.
//!
//! A key is the guest's, a value the thread's. Each thread has its values for itself,
//! so that reading one takes no lock. A destroyed key is never reused:
//!  its old values can't be taken for another's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::account::{Account, Charge};
use crate::error::Errno;

/// How many keys one guest may have, so that it can't fill the host's memory.
const MAX_KEYS: usize = 4096;

/// What a key or a value takes in its map, of which half is empty.
const PLACE: u64 = 64;

/// The keys of a guest, each with what goes to its destructor.
#[derive(Debug, Default)]
pub struct Keys {
    live: Mutex<Live>,
    /// How often a key was destroyed.
    destroyed: AtomicU64,
}

#[derive(Debug, Default)]
struct Live {
    keys: HashMap<u32, u64>,
    next: u32,
    /// For as many as there were at once: a map does not become smaller.
    held: Option<Charge>,
}

impl Keys {
    /// Those of `other`, for a copy of the guest.
    pub(super) fn copy(&self, other: &Self, account: &Arc<Account>) -> Result<(), Errno> {
        let (keys, next) = {
            let live = other.lock();
            (live.keys.clone(), live.next)
        };
        let held = (!keys.is_empty()).then(|| held_for(account, keys.len())).transpose()?;
        *self.lock() = Live { keys, next, held };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's values.
#[derive(Debug, Default)]
pub(crate) struct ThreadLocals {
    values: HashMap<u32, u64>,
    /// For as many as there were at once.
    held: Option<Charge>,
    /// How many keys had been destroyed when the values were last sorted out.
    seen: u64,
}

impl ThreadLocals {
    /// The same values, for a copy of the thread.
    pub(super) fn copied(&self, account: &Arc<Account>) -> Result<Self, Errno> {
        let held = (!self.values.is_empty()).then(|| held_for(account, self.values.len())).transpose()?;
        Ok(Self { values: self.values.clone(), held, seen: 0 })
    }

    /// A new key; its value is 0 at first, in every thread.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where there are too many.
    ///
    /// "EAGAIN: ... the total number of keys per process {PTHREAD_KEYS_MAX} has been
    /// exceeded. ENOMEM: Insufficient memory exists to create the key." -
    /// pthread_key_create(3p)
    pub(crate) fn create(
        &mut self,
        keys: &Keys,
        account: &Arc<Account>,
        user_data: u64,
    ) -> Result<u32, Errno> {
        charge(&mut self.held, account, self.values.len())?;
        let key = {
            let mut live = keys.lock();
            if live.keys.len() >= MAX_KEYS {
                return Err(Errno::EAGAIN);
            }
            let count = live.keys.len();
            charge(&mut live.held, account, count)?;
            let key = live.next;
            live.next = key.checked_add(1).ok_or(Errno::EAGAIN)?;
            live.keys.insert(key, user_data);
            key
        };
        self.values.insert(key, 0);
        Ok(key)
    }

    /// # Errors
    ///
    /// `EINVAL` for an unknown key, here and below.
    pub(crate) fn destroy(&mut self, keys: &Keys, key: u32) -> Result<(), Errno> {
        keys.lock().keys.remove(&key).ok_or(Errno::EINVAL)?;
        keys.destroyed.fetch_add(1, SeqCst);
        self.values.remove(&key);
        Ok(())
    }

    ///
    /// "ENOMEM: Insufficient memory exists to associate the non-NULL value with the key." -
    /// pthread_setspecific(3p)
    pub(crate) fn set(
        &mut self,
        keys: &Keys,
        account: &Arc<Account>,
        key: u32,
        value: u64,
    ) -> Result<(), Errno> {
        self.check(keys, key)?;
        if !self.values.contains_key(&key) {
            charge(&mut self.held, account, self.values.len())?;
        }
        self.values.insert(key, value);
        Ok(())
    }

    pub(crate) fn get(&mut self, keys: &Keys, key: u32) -> Result<u64, Errno> {
        self.check(keys, key)?;
        Ok(self.values.get(&key).copied().unwrap_or(0))
    }

    /// Is it a key?
    fn check(&mut self, keys: &Keys, key: u32) -> Result<(), Errno> {
        let destroyed = keys.destroyed.load(SeqCst);
        if destroyed != self.seen {
            let live = keys.lock();
            self.values.retain(|key, _| live.keys.contains_key(key));
            self.seen = destroyed;
        }
        if !self.values.contains_key(&key) && !keys.lock().keys.contains_key(&key) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// Takes out every value that is set, with what its key was made with: what the
    /// destructors get when the thread ends.
    pub(crate) fn take_set(&mut self, keys: &Keys) -> Vec<(u64, u64)> {
        let live = keys.lock();
        let set = self.values.iter_mut().filter(|(_, value)| **value != 0);
        let mut taken: Vec<_> = set.map(|(key, value)| (*key, std::mem::take(value))).collect();
        taken.sort_unstable();
        taken.into_iter().filter_map(|(key, value)| Some((*live.keys.get(&key)?, value))).collect()
    }
}

fn held_for(account: &Arc<Account>, count: usize) -> Result<Charge, Errno> {
    account.charge(u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(PLACE))
}

/// Charges one slot more than `count`.
fn charge(held: &mut Option<Charge>, account: &Arc<Account>, count: usize) -> Result<(), Errno> {
    let held = held.get_or_insert_with(|| Charge::none(account));
    let bytes = u64::try_from(count).unwrap_or(u64::MAX).saturating_add(1).saturating_mul(PLACE);
    if bytes > held.bytes() { held.resize(bytes) } else { Ok(()) }
}
