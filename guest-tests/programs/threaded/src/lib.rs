//! What guests with threads are written with: threads, locks, descriptors.
//!
//! The standard library that compiles for guests here knows no threads, so these
//! programs do without it. What they have instead is what a C library would give them,
//! by the same calls: a thread has a stack and thread-local variables of its own, and a
//! lock is a word that a futex waits at. Built as `threaded_v1` it makes programs of the
//! first generation: the older call to start a thread, its older entry, every call from
//! `wasix_32v1`, addresses of 20 bytes.
//!
//! The same functions exist over Linux's own calls, so that a program can be measured
//! beside its native twin.

#![cfg_attr(target_os = "wasi", no_std)]
#![cfg_attr(target_os = "wasi", feature(asm_experimental_arch, thread_local))]

extern crate alloc;

mod event;
pub mod sync;

#[cfg(not(target_os = "wasi"))]
#[path = "native.rs"]
mod sys;
#[cfg(target_os = "wasi")]
#[path = "wasi/mod.rs"]
mod sys;

pub use event::*;
pub use sys::*;

use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

/// A descriptor's number.
pub type Fd = u32;

/// The outcome of a call.
pub type Result<T> = core::result::Result<T, Errno>;

/// What a call answered, where it did not succeed: a number of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

pub const AGAIN: Errno = Errno(6);
pub const BADF: Errno = Errno(8);
pub const EXIST: Errno = Errno(20);
pub const INTR: Errno = Errno(27);
pub const INVAL: Errno = Errno(28);
pub const IO: Errno = Errno(29);
pub const LOOP: Errno = Errno(32);
pub const MFILE: Errno = Errno(33);
pub const NFILE: Errno = Errno(41);
pub const NOENT: Errno = Errno(44);
pub const NOTCONN: Errno = Errno(53);
pub const PIPE: Errno = Errno(64);
pub const CONNRESET: Errno = Errno(15);

/// Long enough for whatever is on its way, in nanoseconds.
pub const WAIT_TIMEOUT: u64 = 30_000_000_000;

/// The program begins in this function.
#[macro_export]
macro_rules! main {
    ($run:path) => {
        #[cfg(target_os = "wasi")]
        #[unsafe(no_mangle)]
        extern "C" fn _start() {
            $run();
        }

        #[cfg(not(target_os = "wasi"))]
        fn main() {
            $run();
        }
    };
}

/// Signals of the program go to this function, once it [hears](hear_signals) them.
#[macro_export]
macro_rules! on_signal {
    ($handle:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn __wasm_signal(signal: u32) {
            $handle(signal);
        }
    };
}

/// The argument at this place as a value, or `otherwise`.
pub fn argument<T: FromStr>(arguments: &[String], place: usize, otherwise: T) -> T {
    match arguments.get(place).map(|argument| argument.parse()) {
        Some(Ok(value)) => value,
        Some(Err(_)) => panic!("argument {place} says nothing"),
        None => otherwise,
    }
}

/// Sends all of `bytes` through a socket that waits.
pub fn send_all(fd: Fd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let sent = send(fd, bytes)?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// Writes all of `bytes` into a descriptor that waits.
pub fn write_all(fd: Fd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let written = write(fd, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Adds to an event descriptor.
pub fn add(fd: Fd, count: u64) -> Result<()> {
    write(fd, &count.to_le_bytes()).map(drop)
}

/// Takes what an event descriptor counted.
pub fn take(fd: Fd) -> Result<u64> {
    let mut count = [0; 8];
    read(fd, &mut count)?;
    Ok(u64::from_le_bytes(count))
}

/// Starts as many threads, each with its number from 0, and waits for all of them.
pub fn together(count: u32, work: impl Fn(u32) + Send + Sync + Clone + 'static) {
    let threads: Vec<Thread> = (0..count)
        .map(|number| {
            let work = work.clone();
            spawn(move || work(number)).expect("another thread")
        })
        .collect();
    threads.into_iter().for_each(Thread::join);
}

/// Numbers that look random, and are the same in each run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `most`.
    pub fn below(&mut self, most: u32) -> u32 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32;
        high % most
    }
}
