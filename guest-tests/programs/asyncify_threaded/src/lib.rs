//! What programs with threads do with processes: copies, children in the same memory, other programs, jumps.

#![cfg_attr(target_os = "wasi", no_std)]

extern crate alloc;

use alloc::string::String;
use threaded::{AGAIN, Errno, Result};

mod import {
    #[link(wasm_import_module = "wasix_32v1")]
    unsafe extern "C" {
        pub fn proc_fork(copy_memory: u32, ret: u32) -> i32;
        pub fn proc_join(pid: u32, flags: u32, status: u32) -> i32;
        pub fn proc_id(ret: u32) -> i32;
        pub fn stack_checkpoint(snapshot: u32, ret: u32) -> i32;
        pub fn stack_restore(snapshot: u32, value: u64) -> !;
        pub fn proc_exec3(
            name: u32,
            name_len: u32,
            args: u32,
            args_len: u32,
            envs: u32,
            envs_len: u32,
            search_path: u32,
            path: u32,
            path_len: u32,
        ) -> i32;
    }
}

fn at<T: ?Sized>(value: *const T) -> u32 {
    value.cast::<u8>() as usize as u32
}

fn outcome(answer: i32) -> Result<()> {
    if answer == 0 { Ok(()) } else { Err(Errno(answer as u16)) }
}

#[inline(never)]
fn begin(copies: u32) -> Result<u32> {
    let mut pid = u32::MAX;
    outcome(unsafe { import::proc_fork(copies, at(&raw mut pid)) })?;
    Ok(unsafe { core::ptr::read_volatile(&raw const pid) })
}

/// Copies the process, with this thread alone: returns the child's number, and 0 in the child.
pub fn fork() -> Result<u32> {
    begin(1)
}

/// This thread is a child in the same memory: returns 0, and then, when the child has ended, its number.
pub fn vfork() -> Result<u32> {
    begin(0)
}

/// How the child `pid` has ended: whether by itself, and the code.
pub fn status_of(pid: u32) -> (bool, u16) {
    let mut option = [1, pid];
    let mut status = [0_u8; 6];
    outcome(unsafe { import::proc_join(at(&raw mut option), 0, at(&raw mut status)) }).expect("a child");
    assert_eq!(option[1], pid);
    (status[0] == 1, u16::from_le_bytes([status[2], status[3]]))
}

/// The number of this process.
pub fn pid() -> u32 {
    let mut pid = 0;
    outcome(unsafe { import::proc_id(at(&raw mut pid)) }).expect("a number");
    pid
}

/// A place of the stack.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Place {
    pub user: u64,
    pub hash: [u64; 2],
}

/// Prepares to jump back here: returns 0, and again whatever a jump brings.
#[inline(never)]
pub fn set(place: *mut Place) -> u64 {
    let mut value = u64::MAX;
    outcome(unsafe { import::stack_checkpoint(at(place), at(&raw mut value)) }).expect("a place");
    unsafe { core::ptr::read_volatile(&raw const value) }
}

/// Goes back to `place`, where `value` is returned.
pub fn jump(place: &Place, value: u64) -> ! {
    unsafe { import::stack_restore(at(place), value) }
}

/// A standstill may fail where the machine is busy, as natively a fork may.
pub fn fork_in_time() -> u32 {
    loop {
        match fork() {
            Err(AGAIN) => {}
            forked => return forked.expect("a copy"),
        }
    }
}

/// Becomes another program with these arguments, its name among them; returns only where that fails.
pub fn exec(path: &str, arguments: &[&str]) -> Errno {
    let arguments: String = arguments.iter().flat_map(|argument| [*argument, "\n"]).collect();
    let (path_at, arguments_at) = (at(path), at(arguments.as_str()));
    let (path_len, arguments_len) = (path.len() as u32, arguments.len() as u32);
    let answer = unsafe { import::proc_exec3(path_at, path_len, arguments_at, arguments_len, 0, 0, 0, 0, 0) };
    Errno(answer as u16)
}
