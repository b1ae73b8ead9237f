//! Waiting: `poll_oneoff` and the clocks.

#[cfg(not(target_os = "wasi"))]
pub use crate::native::poll::*;
#[cfg(target_os = "wasi")]
pub use crate::wasi::poll::*;
use crate::{Fd, Result};

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

/// Waits, and gives the events.
pub fn poll(subscriptions: &[Subscription]) -> Result<Vec<Event>> {
    let mut events = vec![Event::default(); subscriptions.len()];
    let count = poll_into(subscriptions, &mut events)?;
    events.truncate(count);
    Ok(events)
}

// The layouts that the host reads and writes.
const _: () = assert!(size_of::<Subscription>() == 48);
const _: () = assert!(std::mem::offset_of!(Subscription, fd_or_clock) == 16);
const _: () = assert!(std::mem::offset_of!(Subscription, flags) == 40);
const _: () = assert!(size_of::<Event>() == 32);
const _: () = assert!(std::mem::offset_of!(Event, flags) == 24);
