//! Subscriptions and events, as they lie in the guest's memory.
//!
//! They are read and written by hand: a poll of many is the busiest call there is, and what
//! wiggle makes of a record checks every field by itself.

use crate::abi::flags;
use crate::abi::preview1::clock::GuestClock;
use crate::error::Errno;
use crate::io::Events;
use crate::process::Subscription;
use crate::ready::Readiness;

/// The size of an event.
pub(super) const EVENT: u32 = 32;

pub(super) const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

const HANGUP: u16 = 1;

/// Where a descriptor has its number.
const DESCRIPTOR: usize = 16;

/// How a snapshot lays a subscription out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::abi::preview1) enum Layout {
    /// A clock has its number where a descriptor has it.
    Preview1,
    /// A clock begins with 8 bytes that say nothing.
    Unstable,
}

impl Layout {
    /// The size of a subscription.
    pub(super) const fn size(self) -> u32 {
        match self {
            Self::Preview1 => 48,
            Self::Unstable => 56,
        }
    }

    /// Reads subscriptions, of the numbers of which each is given to `take`.
    ///
    /// # Errors
    ///
    /// Those of `take`.
    #[inline]
    pub(super) fn read<E>(
        self,
        bytes: &[u8],
        take: impl FnMut(Subscription) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Preview1 => bytes.as_chunks().0.iter().filter_map(numbers::<48, 16>).try_for_each(take),
            Self::Unstable => bytes.as_chunks().0.iter().filter_map(numbers::<56, 24>).try_for_each(take),
        }
    }
}

/// The numbers of a subscription: the guest's data at 0, the kind at 8, a descriptor at
/// [`DESCRIPTOR`]; at `ID` a clock, and its time and flags 8 and 24 bytes behind that.
#[inline]
fn numbers<const SIZE: usize, const ID: usize>(raw: &[u8; SIZE]) -> Option<Subscription> {
    let kind = *raw.get(8)?;
    let id = if kind == CLOCK { ID } else { DESCRIPTOR };
    Some(Subscription {
        userdata: u64::from_le_bytes(*raw.first_chunk()?),
        timeout: u64::from_le_bytes(*raw.get(ID + 8..)?.first_chunk()?),
        id: u32::from_le_bytes(*raw.get(id..)?.first_chunk()?),
        flags: u16::from_le_bytes(*raw.get(ID + 24..)?.first_chunk()?),
        kind,
    })
}

/// What a subscription asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WantedEvent {
    /// Something of a descriptor.
    Fd(u32, Events),
    /// A time of a clock: from now, or of the clock itself.
    Clock { clock: GuestClock, time: u64, is_absolute: bool },
}

/// # Errors
///
/// `EINVAL` for an unknown kind, clock or flag; `ENOTSUP` for a clock that can't be waited for.
#[inline]
pub(super) fn wanted(subscription: &Subscription) -> Result<WantedEvent, Errno> {
    match subscription.kind {
        FD_READ => Ok(WantedEvent::Fd(subscription.id, Events::READ)),
        FD_WRITE => Ok(WantedEvent::Fd(subscription.id, Events::WRITE)),
        CLOCK => {
            let clock = GuestClock::of(subscription.id)?;
            // "ENOTSUP: The clock_id argument specifies a clock for which
            // clock_nanosleep() is not supported, such as a CPU-time clock."
            // - clock_nanosleep(3p)
            if !matches!(clock, GuestClock::Realtime | GuestClock::Monotonic) {
                return Err(Errno::ENOTSUP);
            }
            let is_absolute = flags::known(subscription.flags.into(), 1)? != 0;
            Ok(WantedEvent::Clock { clock, time: subscription.timeout, is_absolute })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The event of a clock.
pub(super) fn clock_event(userdata: u64) -> [u8; 32] {
    event(userdata, 0, CLOCK, 0, 0)
}

/// The event of a descriptor that is ready.
#[inline]
pub(super) fn ready_event(userdata: u64, mask: Events, ready: Readiness) -> [u8; 32] {
    let flags = if ready.hangup { HANGUP } else { 0 };
    event(userdata, 0, kind_of(mask), ready.bytes, flags)
}

/// The event of a descriptor that can't be waited for, with the number of the reason.
pub(super) fn failed_event(userdata: u64, mask: Events, error: u16) -> [u8; 32] {
    event(userdata, error, kind_of(mask), 0, 0)
}

fn kind_of(mask: Events) -> u8 {
    if mask.are_of_writers() { FD_WRITE } else { FD_READ }
}

/// An event: the guest's data at 0, the error at 8, the kind at 10, the bytes at 16,
/// flags at 24.
#[inline]
fn event(userdata: u64, error: u16, kind: u8, bytes: u64, flags: u16) -> [u8; 32] {
    let mut event = [0; EVENT as usize];
    let (first, rest) = event.split_at_mut(8);
    first.copy_from_slice(&userdata.to_le_bytes());
    let (second, rest) = rest.split_at_mut(8);
    if let [low, high, at, ..] = second {
        [*low, *high] = error.to_le_bytes();
        *at = kind;
    }
    let (third, rest) = rest.split_at_mut(8);
    third.copy_from_slice(&bytes.to_le_bytes());
    if let [low, high, ..] = rest {
        [*low, *high] = flags.to_le_bytes();
    }
    event
}

#[cfg(test)]
mod tests {
    use wiggle::{GuestError, GuestMemory, GuestPtr, GuestType};

    use super::*;
    use crate::abi::preview1::bindings::types;

    const USERDATA: u64 = 0x1122_3344_5566_7788;

    /// The layouts are written twice: here, and in the witx.
    #[test]
    fn an_event_is_laid_out_as_the_witx_has_it() -> Result<(), GuestError> {
        let read = |mut bytes: [u8; 32]| {
            let memory = GuestMemory::Unshared(&mut bytes);
            types::Event::read(&memory, GuestPtr::new(0))
        };
        let event = read(ready_event(USERDATA, Events::WRITE, Readiness { bytes: 7, hangup: true }))?;
        assert_eq!((event.userdata, event.error, event.type_), (USERDATA, 0, FD_WRITE));
        assert_eq!((event.nbytes, event.flags), (7, HANGUP));
        let event = read(failed_event(USERDATA, Events::READ, 0x0102))?;
        assert_eq!((event.userdata, event.error, event.type_), (USERDATA, 0x0102, FD_READ));
        assert_eq!((event.nbytes, event.flags), (0, 0));
        let event = read(clock_event(USERDATA))?;
        assert_eq!((event.userdata, event.error, event.type_), (USERDATA, 0, CLOCK));
        Ok(())
    }

    fn one(layout: Layout, bytes: &[u8]) -> Vec<Subscription> {
        let mut all = Vec::new();
        let read: Result<(), Errno> = layout.read(bytes, |subscription| {
            all.push(subscription);
            Ok(())
        });
        assert_eq!(read, Ok(()));
        all
    }

    #[test]
    fn a_subscription_is_read_as_the_witx_has_it() -> Result<(), GuestError> {
        let (id, timeout, flags) = (0x0a0b_0c0d, 0x0102_0304_0506_0708, 0x090a);
        for kind in [CLOCK, FD_READ, FD_WRITE, 3] {
            let expected = [Subscription { userdata: USERDATA, timeout, id, flags, kind }];
            let mut bytes = [0; 48];
            let subscription = types::Subscription {
                userdata: USERDATA,
                tag: kind,
                id,
                timeout,
                flags,
                reserved: 0,
                precision: 0,
            };
            types::Subscription::write(
                &mut GuestMemory::Unshared(&mut bytes),
                GuestPtr::new(0),
                subscription,
            )?;
            assert_eq!(one(Layout::Preview1, &bytes), expected);
            let mut bytes = [0; 56];
            let (clock, fd) = if kind == CLOCK { (id, 77) } else { (77, id) };
            let subscription = types::UnstableSubscription {
                userdata: USERDATA,
                tag: kind,
                identifier: fd.into(),
                id: clock,
                timeout,
                precision: 0,
                flags,
            };
            let mut memory = GuestMemory::Unshared(&mut bytes);
            types::UnstableSubscription::write(&mut memory, GuestPtr::new(0), subscription)?;
            assert_eq!(one(Layout::Unstable, &bytes), expected);
        }
        assert_eq!(Layout::Preview1.size(), types::Subscription::guest_size());
        assert_eq!(Layout::Unstable.size(), types::UnstableSubscription::guest_size());
        Ok(())
    }

    #[test]
    fn what_a_subscription_means() {
        let of =
            |kind, id, timeout, flags| wanted(&Subscription { userdata: USERDATA, timeout, id, flags, kind });
        assert_eq!(of(FD_READ, 4, 0, 0), Ok(WantedEvent::Fd(4, Events::READ)));
        assert_eq!(of(FD_WRITE, 4, 0, 0), Ok(WantedEvent::Fd(4, Events::WRITE)));
        let clock =
            |time, is_absolute| Ok(WantedEvent::Clock { clock: GuestClock::Monotonic, time, is_absolute });
        assert_eq!(of(CLOCK, 1, 1, 0), clock(1, false));
        assert_eq!(of(CLOCK, 1, 1, 1), clock(1, true));
        // Of a clock that can't be waited for, of none, with an unknown flag, of no kind.
        assert_eq!(of(CLOCK, 2, 1, 0), Err(Errno::ENOTSUP));
        assert_eq!(of(CLOCK, 9, 1, 0), Err(Errno::EINVAL));
        assert_eq!(of(CLOCK, 1, 1, 2), Err(Errno::EINVAL));
        assert_eq!(of(3, 1, 1, 0), Err(Errno::EINVAL));
    }
}
