//! How much memory one guest may have: an account on which bytes are charged.
//!
//! A guest has two: its own memories and tables are charged on one, what the host holds
//! for it on the other. All threads of the guest share both, so that a guest can't take
//! by a thousand threads what one thread may not take.
//!
//! Host state that is kept for a guest is stored beside its [`Charge`]. Dropping the
//! charge releases the bytes, so no exit path forgets them.
//! A charge of more bytes than are left is denied: the caller fails with the error
//! number that POSIX has for its call, and the operator is notified
//! ([`Event::MemoryDenied`](crate::Event::MemoryDenied)).
//!
//! The counter is one atomic number, and relaxed: it orders nothing but itself.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use crate::error::Errno;
use crate::observe::Limit;

thread_local! {
    /// The last denial on this thread that no trace line has reported: the address of
    /// the account, and its limit.
    static DENIED: Cell<Option<(usize, u64)>> = const { Cell::new(None) };
}

/// Is called when a charge was denied.
type Tell = Box<dyn Fn(Limit, u64) + Send + Sync>;

/// The bytes that are charged to one guest.
pub struct Account {
    limit: Limit,
    /// How many bytes may be charged.
    most: u64,
    used: AtomicU64,
    tell: OnceLock<Tell>,
}

impl Account {
    /// An account of `most` bytes, which the operator knows as `limit`.
    pub fn new(limit: Limit, most: u64) -> Arc<Self> {
        Arc::new(Self { limit, most, used: AtomicU64::new(0), tell: OnceLock::new() })
    }

    /// An account without a limit, for what is charged elsewhere.
    pub(crate) fn unlimited() -> Arc<Self> {
        Self::new(Limit::HostMemory, u64::MAX)
    }

    /// Sets `tell` to be called whenever a charge is denied. Only the first call takes effect.
    pub(crate) fn when_denied(&self, tell: impl Fn(Limit, u64) + Send + Sync + 'static) {
        _ = self.tell.set(Box::new(tell));
    }

    /// How many bytes may be charged at once.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// How many bytes are charged now.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// How many bytes are left now. Another thread may take them in the next moment.
    pub fn left(&self) -> u64 {
        self.most.saturating_sub(self.used())
    }

    /// Charges `bytes`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where they are more than is left.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, Errno> {
        let mut charge = Charge::none(self);
        charge.resize(bytes)?;
        Ok(charge)
    }

    /// Records a denial and reports it.
    #[cold]
    pub(crate) fn deny(&self) {
        DENIED.set(Some((std::ptr::from_ref(self).addr(), self.most)));
        if let Some(tell) = self.tell.get() {
            tell(self.limit, self.most);
        }
    }

    /// Was a charge denied on this thread since [`forget_denials`]? Returns the limit and how
    /// many bytes it allows, once.
    pub(crate) fn take_denial(&self) -> Option<(Limit, u64)> {
        let (account, most) = DENIED.get()?;
        if account != std::ptr::from_ref(self).addr() {
            return None;
        }
        DENIED.set(None);
        Some((self.limit, most))
    }

    /// Takes `bytes` more where they are left; returns whether they were.
    fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("used", &self.used())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// Forgets what was denied on this thread: a call of the guest begins.
pub(crate) fn forget_denials() {
    DENIED.set(None);
}

/// Bytes that are charged, until this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

impl Charge {
    /// A charge of nothing yet.
    pub fn none(account: &Arc<Account>) -> Self {
        Self { account: Arc::clone(account), bytes: 0 }
    }

    /// One of so many bytes that [`leave`](Self::leave) has left on `account`.
    pub(crate) fn left_on(account: Arc<Account>, bytes: u64) -> Self {
        Self { account, bytes }
    }

    /// Leaves the bytes charged, for an owner that knows how many they are.
    pub(crate) fn leave(mut self) -> Arc<Account> {
        self.bytes = 0;
        Arc::clone(&self.account)
    }

    /// How many bytes are charged.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Charges `bytes` instead of what was charged before. Fewer are never denied.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if fewer are left; nothing has changed then.
    #[inline]
    pub fn resize(&mut self, bytes: u64) -> Result<(), Errno> {
        if self.resize_quietly(bytes) {
            return Ok(());
        }
        self.account.deny();
        // "ENOMEM: Not enough space" - errno.h(0p)
        Err(Errno::ENOMEM)
    }

    /// Charges `bytes` more.
    ///
    /// # Errors
    ///
    /// As for [`resize`](Self::resize).
    #[inline]
    pub fn add(&mut self, bytes: u64) -> Result<(), Errno> {
        self.resize(self.bytes.saturating_add(bytes))
    }

    /// Gives `bytes` back, or all where fewer are charged.
    #[inline]
    pub fn give_back(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.account.give_back(bytes);
        self.bytes -= bytes;
    }

    /// As [`resize`](Self::resize), without reporting a denial: returns `false` instead.
    #[inline]
    pub(crate) fn resize_quietly(&mut self, bytes: u64) -> bool {
        match bytes.checked_sub(self.bytes) {
            Some(more) if !self.account.take(more) => return false,
            Some(_) => {}
            None => self.account.give_back(self.bytes - bytes),
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}

/// The size of a `T`, with what an allocation of its own costs besides: the counters of an
/// [`Arc`] or the allocator's word, rounded up.
pub(crate) const fn allocated<T>() -> u64 {
    const OVERHEAD: u64 = 32;
    sized::<T>(1) + OVERHEAD
}

/// The size of `count` values of type `T`.
pub(crate) const fn sized<T>(count: u64) -> u64 {
    // A size always fits.
    (size_of::<T>() as u64).saturating_mul(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::thread;

    #[test]
    fn what_is_charged_is_given_back() -> Result<(), Errno> {
        let account = Account::new(Limit::HostMemory, 100);
        let first = account.charge(60)?;
        assert_eq!(account.charge(41).err(), Some(Errno::ENOMEM));
        let mut second = account.charge(40)?;
        assert_eq!((account.used(), account.left()), (100, 0));
        assert_eq!(second.add(1), Err(Errno::ENOMEM));
        assert_eq!(second.bytes(), 40);
        second.give_back(15);
        second.resize(30)?;
        assert_eq!(account.used(), 90);
        drop(first);
        assert_eq!(account.used(), 30);
        second.give_back(1000);
        assert_eq!((second.bytes(), account.used()), (0, 0));
        Ok(())
    }

    #[test]
    fn no_sum_is_too_large() -> Result<(), Errno> {
        let account = Account::new(Limit::HostMemory, u64::MAX);
        let mut held = account.charge(u64::MAX)?;
        assert_eq!(account.charge(1).err(), Some(Errno::ENOMEM));
        // Nothing more than all.
        held.add(1)?;
        assert_eq!(account.used(), u64::MAX);
        drop(held);
        assert_eq!(account.used(), 0);
        Ok(())
    }

    #[test]
    fn threads_never_have_more_than_all_and_give_all_back() {
        let account = Account::new(Limit::HostMemory, 10_000);
        thread::scope(|scope| {
            for seed in 1..=8_u64 {
                let account = &account;
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for round in 1..2000 {
                        match account.charge(round * seed % 300) {
                            Ok(charge) => held.push(charge),
                            Err(_) => held.truncate(held.len() / 2),
                        }
                        assert!(account.used() <= account.most());
                        if let Some(last) = held.last_mut() {
                            _ = last.resize(round % 70);
                        }
                    }
                });
            }
        });
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn a_denial_is_reported_and_known_to_its_thread_alone() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (account, other) = (Account::new(Limit::HostMemory, 10), Account::unlimited());
        let notes = Arc::clone(&told);
        account.when_denied(move |limit, most| {
            if let Ok(mut notes) = notes.lock() {
                notes.push((limit, most));
            }
        });
        assert!(account.charge(11).is_err());
        thread::scope(|scope| scope.spawn(|| assert_eq!(account.take_denial(), None)).join().is_ok());
        assert_eq!(other.take_denial(), None);
        assert_eq!(account.take_denial(), Some((Limit::HostMemory, 10)));
        assert_eq!(account.take_denial(), None);
        assert!(account.charge(12).is_err());
        forget_denials();
        assert_eq!(account.take_denial(), None);
        assert_eq!(told.lock().map(|told| told.len()).ok(), Some(2));
    }
}
