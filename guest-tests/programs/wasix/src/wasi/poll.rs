//! Waiting, by the imports.

use crate::poll::{Event, Subscription};
use crate::{Result, address_of, address_of_mut, outcome, raw};

/// Waits, and says how many of `events` the host filled in.
pub fn poll_into(subscriptions: &[Subscription], events: &mut [Event]) -> Result<usize> {
    assert!(events.len() >= subscriptions.len(), "space for every event");
    let mut count = 0u32;
    outcome(unsafe {
        raw::preview1::poll_oneoff(
            address_of(subscriptions),
            address_of_mut(events),
            subscriptions.len() as u32,
            address_of_mut(&mut count),
        )
    })?;
    Ok(count as usize)
}

/// The time of a clock, in nanoseconds.
pub fn now(id: u32) -> Result<u64> {
    let mut time = 0u64;
    outcome(unsafe { raw::preview1::clock_time_get(id, 0, address_of_mut(&mut time)) })?;
    Ok(time)
}
