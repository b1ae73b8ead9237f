//! What epoll and poll are asked, and what they answer, in WASIX's numbers.

use crate::Fd;

pub const IN: u32 = 1;
pub const OUT: u32 = 2;
pub const RDHUP: u32 = 4;
pub const ERR: u32 = 16;
pub const HUP: u32 = 32;
pub const ET: u32 = 64;
pub const ONESHOT: u32 = 128;

pub const ADD: u32 = 1;
pub const DEL: u32 = 2;
pub const MOD: u32 = 3;

/// For ever.
pub const FOR_EVER: u64 = u64::MAX;

/// What an epoll waits for, and what it found: 32 bytes, the data from 8.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub struct EpollEvent {
    pub events: u32,
    pub padding: u32,
    pub ptr: u32,
    pub fd: Fd,
    pub data1: u32,
    pub padding2: u32,
    /// The program's own word.
    pub data: u64,
}

const _: () = assert!(size_of::<EpollEvent>() == 32);
const _: () = assert!(core::mem::offset_of!(EpollEvent, data) == 24);

impl EpollEvent {
    pub const NONE: Self = Self { events: 0, padding: 0, ptr: 0, fd: 0, data1: 0, padding2: 0, data: 0 };

    pub fn new(events: u32, data: u64) -> Self {
        Self { events, data, ..Self::NONE }
    }
}

/// What to poll for: 48 bytes.
#[derive(Clone, Copy, Debug)]
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

const _: () = assert!(size_of::<Subscription>() == 48);

/// A [`Subscription`] to a clock.
pub const CLOCK: u8 = 0;
/// A [`Subscription`] to what can be read.
pub const READING: u8 = 1;
const MONOTONIC: u32 = 1;

impl Subscription {
    pub fn read(fd: Fd, userdata: u64) -> Self {
        let reserved = [0; 7];
        Self { userdata, tag: READING, reserved, fd_or_clock: fd, timeout: 0, precision: 0, flags: 0 }
    }

    /// Fires as many nanoseconds from now.
    pub fn clock(timeout: u64, userdata: u64) -> Self {
        Self { tag: CLOCK, timeout, ..Self::read(MONOTONIC, userdata) }
    }
}

/// What a poll found: 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct PollEvent {
    pub userdata: u64,
    pub error: u16,
    pub kind: u8,
    pub nbytes: u64,
    pub flags: u16,
}

const _: () = assert!(size_of::<PollEvent>() == 32);
