//! Thread-local values that the host keeps: programs of 2023 hold them here.

use std::collections::HashMap;

use crate::error::Errno;

/// How many keys one guest may have, so that it can't fill the host's memory.
const MAX_KEYS: usize = 4096;

/// The keys, and this thread's values.
#[derive(Debug, Default)]
pub(crate) struct ThreadLocals {
    values: HashMap<u32, u64>,
    next_key: u32,
}

impl ThreadLocals {
    /// A new key; its value is 0 at first.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where there are too many.
    ///
    /// "EAGAIN: ... the total number of keys per process {PTHREAD_KEYS_MAX} has been
    /// exceeded." - pthread_key_create(3p)
    pub(crate) fn create(&mut self) -> Result<u32, Errno> {
        if self.values.len() >= MAX_KEYS {
            return Err(Errno::EAGAIN);
        }
        while self.values.contains_key(&self.next_key) {
            self.next_key = self.next_key.wrapping_add(1);
        }
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        self.values.insert(key, 0);
        Ok(key)
    }

    /// # Errors
    ///
    /// `EINVAL` for an unknown key, here and below.
    pub(crate) fn destroy(&mut self, key: u32) -> Result<(), Errno> {
        self.values.remove(&key).map(|_| ()).ok_or(Errno::EINVAL)
    }

    pub(crate) fn set(&mut self, key: u32, value: u64) -> Result<(), Errno> {
        let slot = self.values.get_mut(&key).ok_or(Errno::EINVAL)?;
        *slot = value;
        Ok(())
    }

    pub(crate) fn get(&self, key: u32) -> Result<u64, Errno> {
        self.values.get(&key).copied().ok_or(Errno::EINVAL)
    }
}
