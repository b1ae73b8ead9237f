//! The table: numbers to open things.
//!
//! A vector of slots, and a bitmap that finds the lowest free number a word of 64
//! at a time, as POSIX asks of every call that makes a descriptor. The table
//! never holds more than its limit, and grows only as far as it was used.
//!
//! What it takes itself, and what the host holds for each open thing, is charged on an
//! [`Account`]. If that is exhausted the table is full: `EMFILE`.

use std::sync::Arc;

use super::Rights;
use crate::account::{Account, Charge, sized};
use crate::error::Errno;

/// One number's entry: the open thing, shared by duplicates, and what this
/// number may do with it.
#[derive(Debug)]
pub struct Descriptor<T> {
    /// The open thing.
    pub open: Arc<T>,
    /// What this descriptor may do.
    pub rights: Rights,
    /// What descriptors made from this one may do.
    pub inheriting: Rights,
    /// Does the descriptor end when the program is replaced?
    pub close_on_exec: bool,
}

impl<T> Clone for Descriptor<T> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open), ..*self }
    }
}

/// An open thing that knows how many descriptors stand for it.
pub trait Counted {
    /// How many bytes the host holds for one that a call takes a number for in advance: a
    /// connection.
    const USUAL_BYTES: u64;

    /// Takes note of one more.
    fn note_descriptor(&self);

    /// Charges what the host holds for it on `account`, unless that was done before, and keeps
    /// the charge for as long as it lives. `reserved` is what was charged for it already.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the account is exhausted.
    fn charge(&self, account: &Arc<Account>, reserved: Option<Charge>) -> Result<(), Errno>;
}

/// The descriptors of one guest.
#[derive(Debug)]
pub struct FdTable<T> {
    slots: Vec<Option<Descriptor<T>>>,
    /// One bit a number; set: taken.
    taken: Vec<u64>,
    /// No word before this one has a free bit.
    first_free_word: usize,
    /// How many are open.
    count: u32,
    /// How many numbers are reserved for calls in progress.
    reserved: u32,
    limit: u32,
    /// Notes that a call found it full.
    full: Option<Arc<Account>>,
    /// What the table takes itself.
    held: Charge,
    /// Where the search for a number begins, if numbers are assigned in rotation.
    turn: Option<u32>,
}

impl<T: Counted> FdTable<T> {
    /// An empty table for the numbers below `limit`, whose memory is charged on `account`.
    pub fn new(limit: u32, account: &Arc<Account>) -> Self {
        Self {
            slots: Vec::new(),
            taken: Vec::new(),
            first_free_word: 0,
            count: 0,
            reserved: 0,
            limit,
            full: None,
            held: Charge::none(account),
            turn: None,
        }
    }

    /// Has `limit` denied whenever a call finds the table full: the operator learns that it was
    /// this limit.
    #[must_use]
    pub fn limited_by(mut self, limit: &Arc<Account>) -> Self {
        self.full = Some(Arc::clone(limit));
        self
    }

    /// A table with the same numbers for the same things, and the same flags, as after `fork`: "The child process
    /// shall have its own copy of the parent's file descriptors." Each thing has one descriptor more for each.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the account is exhausted.
    pub fn duplicated(&self) -> Result<Self, Errno> {
        let mut held = Charge::none(self.held.account());
        let slots = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        held.resize(sized::<Option<Descriptor<T>>>(slots).saturating_add(slots / 8))?;
        let copy = Self {
            slots: self.slots.clone(),
            taken: self.taken.clone(),
            first_free_word: self.first_free_word,
            count: self.count,
            reserved: 0,
            limit: self.limit,
            full: self.full.clone(),
            held,
            turn: self.turn,
        };
        copy.slots.iter().flatten().for_each(|descriptor| descriptor.open.note_descriptor());
        Ok(copy)
    }

    /// The numbers that end when the program is replaced.
    pub fn closing_on_exec(&self) -> Vec<u32> {
        let ends = |fd: &u32| self.get(*fd).is_ok_and(|descriptor| descriptor.close_on_exec);
        (0..self.end()).filter(ends).collect()
    }

    /// The error of a call that finds the table full.
    #[cold]
    fn full(&self) -> Errno {
        if let Some(limit) = &self.full {
            limit.deny();
        }
        // "EMFILE: All file descriptors available to the process are currently open."
        // - open(3p)
        Errno::EMFILE
    }

    /// From now on a number that was closed comes back only after all the others have
    /// had their turn, and not at once as POSIX has it.
    ///
    /// The host of early 2023 never gave a number twice, and its programs close some of
    /// theirs twice: the second time it would be another thread's connection.
    pub fn give_in_turn(&mut self) {
        self.turn.get_or_insert(0);
    }

    /// The descriptor `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF` where it is not open.
    pub fn get(&self, fd: u32) -> Result<&Descriptor<T>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        self.slots.get(index).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    /// The descriptor `fd`, to change its rights or flags.
    ///
    /// # Errors
    ///
    /// `EBADF` where it is not open.
    pub fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor<T>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        self.slots.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// Is there space for one more descriptor?
    ///
    /// Called before an effect that cannot be undone, such as taking a
    /// connection from a queue.
    ///
    /// # Errors
    ///
    /// `EMFILE` where the table is full.
    pub fn check_room(&self) -> Result<(), Errno> {
        if self.count.saturating_add(self.reserved) >= self.limit {
            return Err(self.full());
        }
        let account = self.held.account();
        if account.left() < T::USUAL_BYTES {
            account.deny();
            return Err(Errno::EMFILE);
        }
        Ok(())
    }

    /// As [`check_room`](Self::check_room), for whoever only looks: nothing is denied.
    #[cfg(feature = "components")]
    pub fn has_room(&self) -> bool {
        self.count.saturating_add(self.reserved) < self.limit && self.held.account().left() >= T::USUAL_BYTES
    }

    /// Reserves one number for a call that may block: no other call gets the last one meanwhile,
    /// nor the memory for what it opens, which the charge is for. Ends with
    /// [`install`](Self::install) or [`release`](Self::release).
    ///
    /// # Errors
    ///
    /// `EMFILE` where the table is full.
    pub fn reserve(&mut self) -> Result<Charge, Errno> {
        self.check_room()?;
        let taken = self.count.saturating_add(self.reserved);
        // The lowest free number is no higher than that.
        self.make_slots(taken)?;
        let reserved = self.held.account().charge(T::USUAL_BYTES).map_err(|_| Errno::EMFILE)?;
        self.reserved += 1;
        Ok(reserved)
    }

    /// Installs `descriptor` at the lowest free number, which was reserved, and gives it what was
    /// `reserved` for it.
    ///
    /// # Errors
    ///
    /// `EMFILE` if nothing was reserved and the table is full.
    pub fn install(&mut self, descriptor: Descriptor<T>, reserved: Charge) -> Result<u32, Errno> {
        self.release();
        descriptor.open.charge(self.held.account(), Some(reserved)).map_err(|_| Errno::EMFILE)?;
        self.insert(descriptor)
    }

    /// Releases a reservation: the call needs no number after all.
    pub fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Gives `descriptor` the lowest free number, or the next one in turn.
    ///
    /// # Errors
    ///
    /// `EMFILE` where the table is full; the descriptor is dropped.
    pub fn insert(&mut self, descriptor: Descriptor<T>) -> Result<u32, Errno> {
        let Some(turn) = self.turn else { return self.insert_from(0, descriptor) };
        self.check_room()?;
        let fd = self.lowest_free(turn).or_else(|_| self.lowest_free(0))?;
        self.turn = Some(fd.saturating_add(1));
        self.place(fd, descriptor)?;
        Ok(fd)
    }

    /// Gives `descriptor` the lowest free number that is at least `minimum`.
    ///
    /// # Errors
    ///
    /// `EINVAL` where `minimum` is not below the limit, `EMFILE` where no number
    /// from there on is free.
    pub fn insert_from(&mut self, minimum: u32, descriptor: Descriptor<T>) -> Result<u32, Errno> {
        // "EINVAL: arg is negative or greater than or equal to {OPEN_MAX}" - fcntl(3p), F_DUPFD
        if minimum > 0 && minimum >= self.limit {
            return Err(Errno::EINVAL);
        }
        self.check_room()?;
        let fd = self.lowest_free(minimum)?;
        self.place(fd, descriptor)?;
        Ok(fd)
    }

    /// Gives `descriptor` the number `fd`, which is free.
    ///
    /// # Errors
    ///
    /// `EBADF` where `fd` is not below the limit; `EMFILE` where the table is full.
    pub fn insert_at(&mut self, fd: u32, descriptor: Descriptor<T>) -> Result<(), Errno> {
        if fd >= self.limit {
            return Err(Errno::EBADF);
        }
        self.check_room()?;
        self.place(fd, descriptor).map(drop)
    }

    /// Closes `fd` and hands out what it was, so that the caller may drop it
    /// outside of a lock.
    ///
    /// # Errors
    ///
    /// `EBADF` where it is not open.
    pub fn remove(&mut self, fd: u32) -> Result<Descriptor<T>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let descriptor = self.slots.get_mut(index).and_then(Option::take).ok_or(Errno::EBADF)?;
        if let Some(word) = self.taken.get_mut(index / 64) {
            *word &= !(1 << (index % 64));
        }
        self.first_free_word = self.first_free_word.min(index / 64);
        self.count = self.count.saturating_sub(1);
        Ok(descriptor)
    }

    /// Moves `from` to the number `to`; what `to` was is returned.
    ///
    /// # Errors
    ///
    /// `EBADF` where one of the two is not open.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Descriptor<T>>, Errno> {
        self.get(from)?;
        self.get(to)?;
        if from == to {
            return Ok(None);
        }
        // As many descriptors as before.
        let moved = self.remove(from)?;
        Ok(self.put(to, moved))
    }

    /// Makes `to` a duplicate of `from`, as dup2 does; what `to` was is returned.
    ///
    /// # Errors
    ///
    /// `EBADF` where `from` is not open or `to` is not below the limit; `EMFILE` where
    /// `to` is free but reserved for another call, or the table may not grow that far.
    pub fn duplicate_onto(&mut self, from: u32, to: u32) -> Result<Option<Descriptor<T>>, Errno> {
        let source = self.get(from)?.clone();
        // "EBADF: ... fildes2 is negative or greater than or equal to {OPEN_MAX}" - dup2(3p)
        if to >= self.limit {
            return Err(Errno::EBADF);
        }
        if from == to {
            return Ok(None);
        }
        if self.get(to).is_err() && self.count.saturating_add(self.reserved) >= self.limit {
            return Err(self.full());
        }
        self.place(to, Descriptor { close_on_exec: false, ..source })
    }

    /// No descriptor from this number on is open.
    pub fn end(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// How many descriptors are open.
    pub fn open_count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    fn lowest_free(&self, minimum: u32) -> Result<u32, Errno> {
        let minimum = usize::try_from(minimum).map_err(|_| Errno::EMFILE)?;
        let start = self.first_free_word.max(minimum / 64);
        let mut number = start.max(self.taken.len()) * 64;
        for (index, word) in self.taken.iter().enumerate().skip(start) {
            let below_minimum = if index == minimum / 64 { (1u64 << (minimum % 64)) - 1 } else { 0 };
            let free = !(word | below_minimum);
            if free != 0 {
                number = index * 64 + usize::try_from(free.trailing_zeros()).unwrap_or(0);
                break;
            }
        }
        let fd = u32::try_from(number.max(minimum)).map_err(|_| Errno::EMFILE)?;
        if fd < self.limit { Ok(fd) } else { Err(self.full()) }
    }

    /// Puts a new `descriptor` at `fd`, which is below the limit.
    ///
    /// # Errors
    ///
    /// `EMFILE` if the account is exhausted.
    fn place(&mut self, fd: u32, descriptor: Descriptor<T>) -> Result<Option<Descriptor<T>>, Errno> {
        self.make_slots(fd)?;
        descriptor.open.charge(self.held.account(), None).map_err(|_| Errno::EMFILE)?;
        descriptor.open.note_descriptor();
        Ok(self.put(fd, descriptor))
    }

    /// Makes the table long enough for the number `fd`.
    ///
    /// # Errors
    ///
    /// `EMFILE` if the account is exhausted, or the host.
    fn make_slots(&mut self, fd: u32) -> Result<(), Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EMFILE)?;
        let length = index.checked_add(1).ok_or(Errno::EMFILE)?;
        if length <= self.slots.len() {
            return Ok(());
        }
        if length > self.slots.capacity() {
            // Doubled each time, so that it is rarely moved; if the account is too small for
            // that, no longer than it must be.
            let bytes = |slots: usize| {
                let slots = u64::try_from(slots).unwrap_or(u64::MAX);
                sized::<Option<Descriptor<T>>>(slots).saturating_add(slots / 8)
            };
            let mut capacity = length.max(self.slots.capacity().saturating_mul(2));
            if !self.held.resize_quietly(bytes(capacity)) {
                capacity = length;
                self.held.resize(bytes(capacity)).map_err(|_| Errno::EMFILE)?;
            }
            let more = capacity.saturating_sub(self.slots.len());
            self.slots.try_reserve_exact(more).map_err(|_| Errno::EMFILE)?;
        }
        self.slots.resize_with(length, || None);
        self.taken.resize(index / 64 + 1, 0);
        Ok(())
    }

    fn put(&mut self, fd: u32, descriptor: Descriptor<T>) -> Option<Descriptor<T>> {
        let index = usize::try_from(fd).ok()?;
        if let Some(word) = self.taken.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
        while self.taken.get(self.first_free_word) == Some(&u64::MAX) {
            self.first_free_word += 1;
        }
        let replaced = self.slots.get_mut(index).and_then(|slot| slot.replace(descriptor));
        self.count += u32::from(replaced.is_none());
        replaced
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
