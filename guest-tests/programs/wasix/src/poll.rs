//! Waiting: `poll_oneoff` and the clocks.

use crate::{Fd, Result, address_of, address_of_mut, outcome, raw};

pub const CLOCK: u8 = 0;
pub const FD_READ: u8 = 1;
pub const FD_WRITE: u8 = 2;

pub const REALTIME: u32 = 0;
pub const MONOTONIC: u32 = 1;

pub const ABSTIME: u16 = 1;
pub const HANGUP: u16 = 1;

/// What to wait for: 48 bytes; the descriptor or the clock lies at 16.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Subscription {
    pub userdata: u64,
    pub tag: u8,
    pub reserved: [u8; 7],
    pub fd_or_clock: u32,
    pub timeout: u64,
    pub precision: u64,
    pub flags: u16,
}

impl Subscription {
    pub fn read(fd: Fd, userdata: u64) -> Self {
        Self { userdata, tag: FD_READ, reserved: [0; 7], fd_or_clock: fd, timeout: 0, precision: 0, flags: 0 }
    }

    pub fn write(fd: Fd, userdata: u64) -> Self {
        Self { tag: FD_WRITE, ..Self::read(fd, userdata) }
    }

    /// Fires `timeout` nanoseconds from now.
    pub fn clock(id: u32, timeout: u64, userdata: u64) -> Self {
        Self { tag: CLOCK, timeout, ..Self::read(id, userdata) }
    }

    /// Fires when the clock shows `time`.
    pub fn clock_at(id: u32, time: u64, userdata: u64) -> Self {
        Self { flags: ABSTIME, ..Self::clock(id, time, userdata) }
    }
}

/// What happened: 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Event {
    pub userdata: u64,
    pub error: u16,
    pub kind: u8,
    pub nbytes: u64,
    pub flags: u16,
}

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

/// Waits, and gives the events.
pub fn poll(subscriptions: &[Subscription]) -> Result<Vec<Event>> {
    let mut events = vec![Event::default(); subscriptions.len()];
    let count = poll_into(subscriptions, &mut events)?;
    events.truncate(count);
    Ok(events)
}

/// The time of a clock, in nanoseconds.
pub fn now(id: u32) -> Result<u64> {
    let mut time = 0u64;
    outcome(unsafe { raw::preview1::clock_time_get(id, 0, address_of_mut(&mut time)) })?;
    Ok(time)
}

// The layouts that the host reads and writes.
const _: () = assert!(size_of::<Subscription>() == 48);
const _: () = assert!(std::mem::offset_of!(Subscription, fd_or_clock) == 16);
const _: () = assert!(std::mem::offset_of!(Subscription, flags) == 40);
const _: () = assert!(size_of::<Event>() == 32);
const _: () = assert!(std::mem::offset_of!(Event, flags) == 24);
