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
mod tests {
    use super::*;
    use crate::observe::Limit;

    impl Counted for u32 {
        const USUAL_BYTES: u64 = 100;

        fn note_descriptor(&self) {}

        fn charge(&self, _: &Arc<Account>, _: Option<Charge>) -> Result<(), Errno> {
            Ok(())
        }
    }

    fn table(limit: u32) -> FdTable<u32> {
        FdTable::new(limit, &Account::unlimited())
    }

    fn descriptor(value: u32) -> Descriptor<u32> {
        Descriptor {
            open: Arc::new(value),
            rights: Rights::FILE,
            inheriting: Rights::NONE,
            close_on_exec: false,
        }
    }

    #[test]
    fn the_lowest_free_number_is_given() -> Result<(), Errno> {
        let mut table = table(1024);
        for expected in 0..200 {
            assert_eq!(table.insert(descriptor(expected)), Ok(expected));
        }
        for fd in [130, 5, 64] {
            table.remove(fd)?;
        }
        for expected in [5, 64, 130, 200] {
            assert_eq!(table.insert(descriptor(0)), Ok(expected));
        }
        Ok(())
    }

    #[test]
    fn numbers_in_turn_come_back_last() -> Result<(), Errno> {
        let mut table = table(70);
        table.insert(descriptor(0))?;
        table.give_in_turn();
        for expected in 1..70 {
            assert_eq!(table.insert(descriptor(0)), Ok(expected));
            if expected > 3 {
                table.remove(expected)?;
            }
        }
        for expected in [4, 5] {
            assert_eq!(table.insert(descriptor(0)), Ok(expected));
        }
        table.remove(2)?;
        for expected in (6..70).chain([2]) {
            assert_eq!(table.insert(descriptor(0)), Ok(expected));
        }
        assert_eq!(table.insert(descriptor(0)), Err(Errno::EMFILE));
        Ok(())
    }

    #[test]
    fn a_full_table_takes_no_more_until_one_is_closed() -> Result<(), Errno> {
        let mut table = table(65);
        for _ in 0..65 {
            table.insert(descriptor(0))?;
        }
        assert_eq!(table.check_room(), Err(Errno::EMFILE));
        assert_eq!(table.insert(descriptor(0)), Err(Errno::EMFILE));
        table.remove(64)?;
        assert_eq!(table.insert(descriptor(0)), Ok(64));
        Ok(())
    }

    #[test]
    fn the_last_number_is_kept_for_its_reservation() -> Result<(), Errno> {
        let mut table = table(3);
        table.insert(descriptor(0))?;
        table.insert(descriptor(1))?;
        let reserved = table.reserve()?;
        assert_eq!(table.check_room(), Err(Errno::EMFILE));
        assert_eq!(table.insert(descriptor(2)), Err(Errno::EMFILE));
        assert_eq!(table.reserve().err(), Some(Errno::EMFILE));
        assert_eq!(table.duplicate_onto(0, 2).err(), Some(Errno::EMFILE));
        assert!(table.duplicate_onto(0, 1)?.is_some());
        assert_eq!(table.install(descriptor(2), reserved), Ok(2));
        assert_eq!(table.open_count(), 3);
        table.remove(0)?;
        let unused = table.reserve()?;
        drop(unused);
        table.release();
        assert_eq!(table.insert(descriptor(3)), Ok(0));
        Ok(())
    }

    #[test]
    fn a_minimum_is_kept() -> Result<(), Errno> {
        let mut table = table(300);
        table.insert(descriptor(0))?;
        assert_eq!(table.insert_from(0, descriptor(0)), Ok(1));
        assert_eq!(table.insert_from(70, descriptor(0)), Ok(70));
        assert_eq!(table.insert_from(70, descriptor(0)), Ok(71));
        assert_eq!(table.insert_from(299, descriptor(0)), Ok(299));
        assert_eq!(table.insert_from(299, descriptor(0)), Err(Errno::EMFILE));
        assert_eq!(table.insert_from(300, descriptor(0)), Err(Errno::EINVAL));
        assert_eq!(table.insert(descriptor(0)), Ok(2));
        Ok(())
    }

    #[test]
    fn renumber_moves_and_returns_what_it_replaced() -> Result<(), Errno> {
        let mut table = table(8);
        table.insert(descriptor(10))?;
        table.insert(descriptor(11))?;
        let replaced = table.renumber(0, 1)?;
        assert_eq!(replaced.map(|old| *old.open), Some(11));
        assert_eq!(*table.get(1)?.open, 10);
        assert_eq!(table.get(0).err(), Some(Errno::EBADF));
        assert_eq!(table.renumber(1, 5).err(), Some(Errno::EBADF));
        Ok(())
    }

    #[test]
    fn duplicate_onto_keeps_its_source() -> Result<(), Errno> {
        let mut table = table(8);
        table.insert(descriptor(10))?;
        assert!(table.duplicate_onto(0, 6)?.is_none());
        assert_eq!(*table.get(6)?.open, 10);
        assert_eq!(*table.get(0)?.open, 10);
        assert_eq!(table.duplicate_onto(0, 8).err(), Some(Errno::EBADF));
        assert_eq!(table.insert(descriptor(0)), Ok(1));
        Ok(())
    }

    #[test]
    fn a_client_that_finds_it_full_gets_the_reason() -> Result<(), Errno> {
        let limit = Account::new(Limit::Descriptors, 2);
        let mut table = table(2).limited_by(&limit);
        table.insert(descriptor(0))?;
        assert_eq!(table.insert_from(2, descriptor(1)), Err(Errno::EINVAL));
        table.insert(descriptor(1))?;
        let full = Some((Limit::Descriptors, 2));
        assert_eq!((limit.take_denial(), table.check_room()), (None, Err(Errno::EMFILE)));
        assert_eq!(limit.take_denial(), full);
        assert_eq!((table.reserve().err(), limit.take_denial()), (Some(Errno::EMFILE), full));
        assert_eq!((table.insert(descriptor(2)), limit.take_denial()), (Err(Errno::EMFILE), full));
        assert_eq!((table.insert_from(1, descriptor(2)), limit.take_denial()), (Err(Errno::EMFILE), full));
        table.remove(0)?;
        table.reserve()?;
        assert_eq!((table.duplicate_onto(1, 0).err(), limit.take_denial()), (Some(Errno::EMFILE), full));
        // What the account lacks memory for is another limit's.
        let poor = Account::new(Limit::HostMemory, 1);
        let mut table = FdTable::new(2, &poor).limited_by(&limit);
        assert_eq!((table.insert(descriptor(0)), limit.take_denial()), (Err(Errno::EMFILE), None));
        Ok(())
    }

    #[test]
    fn an_arbitrary_number_is_not_open() {
        let table = table(8);
        assert_eq!(table.get(u32::MAX).err(), Some(Errno::EBADF));
    }

    #[test]
    fn a_table_grows_as_it_is_used_and_as_far_as_it_may() -> Result<(), Errno> {
        let account = Account::new(Limit::HostMemory, 1 << 20);
        let mut table = FdTable::new(u32::MAX, &account);
        table.insert(descriptor(0))?;
        assert!(account.used() < 1000, "{} bytes", account.used());
        assert_eq!(table.duplicate_onto(0, u32::MAX - 1).err(), Some(Errno::EMFILE));
        assert_eq!(account.take_denial(), Some((Limit::HostMemory, 1 << 20)));
        assert!(table.duplicate_onto(0, 10_000)?.is_none());
        assert!(account.used() > 10_000);
        assert_eq!(table.insert(descriptor(0)), Ok(1));
        drop(table);
        assert_eq!(account.used(), 0);
        Ok(())
    }

    #[test]
    fn what_is_reserved_has_its_memory() -> Result<(), Errno> {
        let account = Account::new(Limit::HostMemory, 2000);
        let mut table = FdTable::new(64, &account);
        let reserved = table.reserve()?;
        let others = account.charge(account.left())?;
        assert_eq!(table.check_room(), Err(Errno::EMFILE));
        assert_eq!(table.reserve().err(), Some(Errno::EMFILE));
        assert_eq!(table.install(descriptor(0), reserved), Ok(0));
        drop((others, table));
        assert_eq!(account.used(), 0);
        Ok(())
    }
}
