//! Signals. A program that handles them exports [`HANDLER`].

use crate::{Result, address_of, address_of_mut, outcome, raw};

pub const HUP: u32 = 1;
pub const INT: u32 = 2;
pub const KILL: u32 = 9;
pub const USR1: u32 = 10;
pub const USR2: u32 = 12;
pub const ALRM: u32 = 14;
pub const TERM: u32 = 15;
pub const STKFLT: u32 = 16;
pub const CHLD: u32 = 17;
pub const SYS: u32 = 31;

/// What the C library calls its handler, and what it names to block signals.
pub const HANDLER: &str = "__wasm_signal";
pub const NONE: &str = "__wasm_signal_blocked";

/// The thread that means the process.
pub const WHOLE_PROCESS: u32 = 0x3FFF_FFFF;

pub fn callback(name: &str) {
    unsafe { raw::wasix::callback_signal(address_of(name), name.len() as u32) }
}

/// Handles signals from now on.
pub fn handle() {
    callback(HANDLER);
}

/// Has them wait.
pub fn block() {
    callback(NONE);
}

pub fn raise(signal: u32) -> Result<()> {
    outcome(unsafe { raw::preview1::proc_raise(signal) })
}

pub fn to_thread(tid: u32, signal: u32) -> Result<()> {
    outcome(unsafe { raw::wasix::thread_signal(tid, signal) })
}

pub fn to_process(pid: u32, signal: u32) -> Result<()> {
    outcome(unsafe { raw::wasix::proc_signal(pid, signal) })
}

/// After so many nanoseconds, once or again and again.
pub fn interval(signal: u32, nanoseconds: u64, repeat: bool) -> Result<()> {
    outcome(unsafe { raw::wasix::proc_raise_interval(signal, nanoseconds, u32::from(repeat)) })
}

pub fn dispositions() -> Result<Vec<[u8; 2]>> {
    let mut count = u32::MAX;
    outcome(unsafe { raw::wasix::proc_signals_sizes_get(address_of_mut(&mut count)) })?;
    let mut found = vec![[u8::MAX; 2]; count as usize];
    outcome(unsafe { raw::wasix::proc_signals_get(address_of_mut(&mut found[..])) })?;
    Ok(found)
}
