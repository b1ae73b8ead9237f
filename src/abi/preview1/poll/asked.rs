//! What a poll waits for.

use std::collections::HashMap;
use std::sync::Arc;

use super::subscription::{WantedEvent, wanted};
use crate::abi::preview1::clock::GuestClock;
use crate::account::{Account, Charge};
use crate::error::Errno;
use crate::fd::Rights;
use crate::io::Events;
use crate::process::{OpenFile, Subscription, Thread};

/// What a poll asks for. Whatever is asked for it costs 48 bytes a subscription at most, as many
/// as the guest has for it, and [`WATCH`] for each thing that is waited for.
pub(super) struct Asked {
    pub(super) asks: Vec<Ask>,
    pub(super) clocks: Vec<(GuestClock, u64)>,
    pub(super) watches: Vec<(Arc<OpenFile>, Events)>,
    /// The indexes of the watches, if there are too many to search.
    places: HashMap<(u32, Events), u32>,
    held: Charge,
}

/// One subscription.
pub(super) struct Ask {
    pub(super) userdata: u64,
    pub(super) what: What,
}

/// What a subscription asks for.
#[derive(Clone, Copy)]
pub(super) enum What {
    /// Until the time of the clock at this index.
    Clock(u32),
    /// Something of the descriptor at this index.
    Open(u32, Events),
    /// Nothing valid: fails with this error at once.
    Wrong(Errno, Events),
}

/// What one source of a poll takes: its slots in this list, in those of `ready` and in the
/// kernel's, and the waits for its changes and its end.
const WATCH: u64 = 512;

/// How many subscriptions, of as many things, are part of what every thread is charged for.
const FREE: u32 = 64;

impl Asked {
    /// # Errors
    ///
    /// `ENOMEM`: "Unable to allocate memory for kernel data structures." - poll(2)
    pub(super) fn new(count: u32, account: &Arc<Account>) -> Result<Self, Errno> {
        let mut held = Charge::none(account);
        if count > FREE {
            held.resize(u64::from(count) * 48)?;
        }
        let asks = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let (clocks, watches, places) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Self { asks, clocks, watches, places, held })
    }

    /// Takes one subscription more.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown kind or clock, `ENOMEM` where the host holds too much for the
    /// guest; what is wrong with a descriptor is an event of its own.
    pub(super) fn add(&mut self, thread: &Thread, subscription: &Subscription) -> Result<(), Errno> {
        let what = match wanted(subscription)? {
            WantedEvent::Clock { clock, time, is_absolute } => {
                let start = if is_absolute { 0 } else { clock.now(thread)? };
                self.clock(clock, start.saturating_add(time))
            }
            WantedEvent::Fd(fd, mask) => match thread.descriptor(fd, Rights::POLL_FD_READWRITE) {
                Ok(descriptor) => self.watch(fd, &descriptor.open, mask)?,
                Err(errno) => What::Wrong(errno, mask),
            },
        };
        self.asks.push(Ask { userdata: subscription.userdata, what });
        Ok(())
    }

    fn clock(&mut self, clock: GuestClock, until: u64) -> What {
        self.clocks.push((clock, until));
        What::Clock(last(&self.clocks))
    }

    /// Each thing is waited for once, however many subscriptions ask for it.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    fn watch(&mut self, fd: u32, open: &Arc<OpenFile>, mask: Events) -> Result<What, Errno> {
        let is_charged = self.held.bytes() > 0;
        if is_charged && let Some(place) = self.places.get(&(fd, mask)) {
            return Ok(What::Open(*place, mask));
        }
        if is_charged {
            self.held.add(WATCH)?;
        }
        self.watches.push((Arc::clone(open), mask));
        let place = last(&self.watches);
        if is_charged {
            self.places.insert((fd, mask), place);
        }
        Ok(What::Open(place, mask))
    }
}

/// The index of the last element of a list, which no poll makes longer than a `u32` counts.
fn last<T>(list: &[T]) -> u32 {
    u32::try_from(list.len().saturating_sub(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Limit;
    use crate::process::Open;
    use crate::ready::EventFd;

    #[test]
    fn a_subscription_takes_no_more_than_the_guests_own() {
        assert!(size_of::<Ask>() + size_of::<(GuestClock, u64)>() <= 48);
    }

    #[test]
    fn things_are_charged_once_and_given_back() -> Result<(), Errno> {
        let account = Account::new(Limit::HostMemory, 100_000);
        let open = OpenFile::shared(Open::Event(Box::new(EventFd::new(0, false)?)));
        let mut few = Asked::new(FREE, &account)?;
        few.watch(3, &open, Events::READ)?;
        assert_eq!(account.used(), 0);
        let mut asked = Asked::new(1000, &account)?;
        for _ in 0..1000 {
            asked.watch(3, &open, Events::READ)?;
        }
        assert_eq!((account.used(), asked.watches.len()), (48_000 + WATCH, 1));
        for fd in 4..100 {
            asked.watch(fd, &open, Events::READ)?;
        }
        assert_eq!(Asked::new(1000, &account).err(), Some(Errno::ENOMEM));
        let denied = (100..300).find_map(|fd| asked.watch(fd, &open, Events::WRITE).err());
        assert_eq!(denied, Some(Errno::ENOMEM));
        drop((few, asked));
        assert_eq!(account.used(), 0);
        Ok(())
    }
}
