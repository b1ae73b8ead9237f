//! Processes.

use wasix::errno::ECHILD;
use wasix::raw::wasix as raw;
use wasix::{Result, address_of_mut, check_ok, outcome};

mod import {
    #[link(wasm_import_module = "wasix_32v1")]
    unsafe extern "C" {
        pub fn proc_fork(copy_memory: u32, ret: u32) -> i32;
    }
}

#[inline(never)]
fn begin(copies: u32) -> Result<u32> {
    let mut pid = u32::MAX;
    let at = address_of_mut(&mut pid);
    outcome(unsafe { import::proc_fork(copies, at) })?;
    Ok(unsafe { std::ptr::read_volatile(&pid) })
}

/// Copies the process: returns the child's number, and 0 in the child.
pub fn fork() -> Result<u32> {
    begin(1)
}

/// Begins a child in the same memory: returns 0, and then, when the child has ended, its number.
pub fn vfork() -> Result<u32> {
    begin(0)
}

pub fn exit(code: u32) -> ! {
    unsafe { raw::proc_exit2(code) }
}

pub fn pid() -> u32 {
    let mut pid = 0_u32;
    check_ok!(outcome(unsafe { raw::proc_id(address_of_mut(&mut pid)) }));
    pid
}

/// How a child has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Exited(u16),
    Signalled(u8),
}

/// Waits for a child, 0 for any; where it does not wait and none has ended yet, returns nothing.
pub fn wait(child: u32, waits: bool) -> Result<Option<(u32, Status)>> {
    let mut option = [u32::from(child != 0), child];
    let mut status = [0_u8; 6];
    let (option_at, status_at) = (address_of_mut(&mut option), address_of_mut(&mut status));
    outcome(unsafe { raw::proc_join(option_at, u32::from(!waits), status_at) })?;
    let code = u16::from_le_bytes([status[2], status[3]]);
    Ok(match status[0] {
        0 => None,
        1 => Some((option[1], Status::Exited(code))),
        _ => Some((option[1], Status::Signalled(status[4]))),
    })
}

/// Waits for the child `pid`.
pub fn status_of(pid: u32) -> Status {
    let (ended, status) = check_ok!(wait(pid, true)).expect("a child");
    wasix::check_eq!(ended, pid);
    status
}

/// Asks for children that have ended, without waiting; returns how many there were.
pub fn reap() -> u32 {
    let mut count = 0;
    loop {
        match wait(0, false) {
            Ok(Some(_)) => count += 1,
            Ok(None) | Err(ECHILD) => return count,
            Err(error) => panic!("wait: {error:?}"),
        }
    }
}
