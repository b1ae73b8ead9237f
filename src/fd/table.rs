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
use super::family_count::{FamilyCount, SharedPlace};
use crate::account::{Account, Charge, allocated, sized};
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

/// The descriptors of one process.
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
    /// No number is as high, nor are there more descriptors in all tables of the family.
    limit: u32,
    /// What this table and its copies have together.
    family: Arc<FamilyCount>,
    /// By their numbers, the places of descriptors that another table has too. Empty where there was no copy yet.
    shared: Vec<Option<Arc<SharedPlace>>>,
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
            family: FamilyCount::new(limit),
            shared: Vec::new(),
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
    /// shall have its own copy of the parent's file descriptors." Each thing has one descriptor more for each; all of
    /// them count once for both tables.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the account is exhausted.
    pub fn duplicated(&mut self) -> Result<Self, Errno> {
        let mut held = Charge::none(self.held.account());
        let places = u64::from(self.count).saturating_mul(allocated::<SharedPlace>());
        held.resize(Self::bytes(self.slots.len()).saturating_add(places))?;
        self.share_places();
        let copy = Self {
            slots: self.slots.clone(),
            taken: self.taken.clone(),
            first_free_word: self.first_free_word,
            count: self.count,
            reserved: 0,
            limit: self.limit,
            family: Arc::clone(&self.family),
            shared: self.shared.clone(),
            full: self.full.clone(),
            held,
            turn: self.turn,
        };
        copy.slots.iter().flatten().for_each(|descriptor| descriptor.open.note_descriptor());
        Ok(copy)
    }

    /// Has each descriptor a place that another table can share.
    fn share_places(&mut self) {
        self.shared.resize(self.slots.len(), None);
        for (slot, place) in self.slots.iter().zip(&mut self.shared) {
            if slot.is_some() && place.is_none() {
                *place = Some(Arc::new(SharedPlace(Arc::clone(&self.family))));
            }
        }
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
        if !self.family.has_room() {
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
        self.family.has_room() && self.held.account().left() >= T::USUAL_BYTES
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
        if !self.family.reserve() {
            return Err(self.full());
        }
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
        if self.reserved == 0 {
            return self.insert(descriptor);
        }
        self.reserved -= 1;
        self.family.use_reserved(1);
        let installed = self.next_number().and_then(|fd| {
            descriptor.open.charge(self.held.account(), Some(reserved)).map_err(|_| Errno::EMFILE)?;
            self.make_slots(fd)?;
            Ok(fd)
        });
        match installed {
            Ok(fd) => {
                descriptor.open.note_descriptor();
                self.put(fd, descriptor);
                Ok(fd)
            }
            Err(errno) => {
                self.family.give_back(1);
                Err(errno)
            }
        }
    }

    /// Releases a reservation: the call needs no number after all.
    pub fn release(&mut self) {
        if self.reserved > 0 {
            self.reserved -= 1;
            self.family.release(1);
        }
    }

    /// Gives `descriptor` the lowest free number, or the next one in turn.
    ///
    /// # Errors
    ///
    /// `EMFILE` where the table is full; the descriptor is dropped.
    pub fn insert(&mut self, descriptor: Descriptor<T>) -> Result<u32, Errno> {
        self.check_room()?;
        let fd = self.next_number()?;
        self.place(fd, descriptor)?;
        Ok(fd)
    }

    /// The lowest free number, or the next one in turn.
    fn next_number(&mut self) -> Result<u32, Errno> {
        let found = match self.turn {
            Some(turn) => self.lowest_free(turn).or_else(|| self.lowest_free(0)),
            None => self.lowest_free(0),
        };
        let fd = found.ok_or_else(|| self.full())?;
        if self.turn.is_some() {
            self.turn = Some(fd.saturating_add(1));
        }
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
        let fd = self.lowest_free(minimum).ok_or_else(|| self.full())?;
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
        let descriptor = self.take_out(index)?;
        self.release_place(index);
        Ok(descriptor)
    }

    /// Takes the descriptor at `index` out; its place goes on being taken.
    fn take_out(&mut self, index: usize) -> Result<Descriptor<T>, Errno> {
        let descriptor = self.slots.get_mut(index).and_then(Option::take).ok_or(Errno::EBADF)?;
        if let Some(word) = self.taken.get_mut(index / 64) {
            *word &= !(1 << (index % 64));
        }
        self.first_free_word = self.first_free_word.min(index / 64);
        self.count = self.count.saturating_sub(1);
        Ok(descriptor)
    }

    /// Gives back the place of what was at `index`, unless another table has it too.
    fn release_place(&mut self, index: usize) {
        match self.shared.get_mut(index).and_then(Option::take) {
            Some(shared) => drop(shared),
            None => self.family.give_back(1),
        }
    }

    /// Has what is at `index` a place that no other table has?
    fn has_own_place(&self, index: usize) -> bool {
        let is_open = self.slots.get(index).is_some_and(Option::is_some);
        // Only this table could copy it, and its lock is held.
        is_open && self.shared.get(index).and_then(Option::as_ref).is_none_or(|it| Arc::strong_count(it) == 1)
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
        let [source, target] = [from, to].map(|fd| usize::try_from(fd).unwrap_or(usize::MAX));
        // As many descriptors as before, but for what was replaced; the place moves too.
        let moved = self.take_out(source)?;
        self.release_place(target);
        if self.shared.get(source).is_some_and(Option::is_some) {
            self.shared.resize(self.slots.len(), None);
            self.shared.swap(source, target);
        }
        Ok(self.put(to, moved))
    }

    /// Makes `to` a duplicate of `from`, as dup2 does; what `to` was is returned.
    ///
    /// # Errors
    ///
    /// `EBADF` where `from` is not open or `to` is not below the limit; `EMFILE` where there are as many as
    /// there may be and `to` is free, or another table has it too; or the table may not grow that far.
    pub fn duplicate_onto(&mut self, from: u32, to: u32) -> Result<Option<Descriptor<T>>, Errno> {
        let source = self.get(from)?.clone();
        // "EBADF: ... fildes2 is negative or greater than or equal to {OPEN_MAX}" - dup2(3p)
        if to >= self.limit {
            return Err(Errno::EBADF);
        }
        if from == to {
            return Ok(None);
        }
        self.place(to, Descriptor { close_on_exec: false, ..source })
    }

    /// No descriptor from this number on is open.
    pub fn end(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// How many descriptors are open here.
    #[cfg(test)]
    pub fn open_count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// How many are open in this table and its copies, as they count for the limit.
    pub fn open_in_family(&self) -> usize {
        usize::try_from(self.family.open()).unwrap_or(usize::MAX)
    }

    fn lowest_free(&self, minimum: u32) -> Option<u32> {
        let minimum = usize::try_from(minimum).ok()?;
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
        u32::try_from(number.max(minimum)).ok().filter(|fd| *fd < self.limit)
    }

    /// Puts a new `descriptor` at `fd`, which is below the limit.
    ///
    /// # Errors
    ///
    /// `EMFILE` where there are as many as there may be, or the account is exhausted; nothing has changed then.
    fn place(&mut self, fd: u32, descriptor: Descriptor<T>) -> Result<Option<Descriptor<T>>, Errno> {
        self.make_slots(fd)?;
        descriptor.open.charge(self.held.account(), None).map_err(|_| Errno::EMFILE)?;
        let index = usize::try_from(fd).map_err(|_| Errno::EMFILE)?;
        // What it replaces leaves it its place.
        if !self.has_own_place(index) {
            if !self.family.take() {
                return Err(self.full());
            }
            if let Some(shared) = self.shared.get_mut(index) {
                *shared = None;
            }
        }
        descriptor.open.note_descriptor();
        Ok(self.put(fd, descriptor))
    }

    /// What a table with so many slots takes itself.
    fn bytes(slots: usize) -> u64 {
        let slots = u64::try_from(slots).unwrap_or(u64::MAX);
        let each =
            sized::<Option<Descriptor<T>>>(slots).saturating_add(sized::<Option<Arc<SharedPlace>>>(slots));
        each.saturating_add(slots / 8)
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
            let mut capacity = length.max(self.slots.capacity().saturating_mul(2));
            if !self.held.resize_quietly(Self::bytes(capacity)) {
                capacity = length;
                self.held.resize(Self::bytes(capacity)).map_err(|_| Errno::EMFILE)?;
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

impl<T> Drop for FdTable<T> {
    /// What is still open here is no descriptor any more.
    fn drop(&mut self) {
        let shared = self.shared.iter().flatten().count();
        let own = self.count.saturating_sub(u32::try_from(shared).unwrap_or(u32::MAX));
        self.family.give_back(own);
        self.family.release(self.reserved);
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
