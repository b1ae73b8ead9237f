//! Has the operating system room for one more thread, or for one more memory?
//!
//! Much of what is made for a guest may fail and says so: a memory, a table, a thread. What these and the host itself allocate
//! besides, a few kilobytes at a time, may not: Rust ends the process where an allocation fails, and so does a thread
//! that can't map its stack for signals. So before a thread begins, and when a memory has been made, it is asked whether
//! as much is left as all small things need for a while; where it is not, the large one is what fails.
//!
//! That finds limits to the address space (`ulimit -v`), strict accounting of memory (`vm.overcommit_memory`) and the limit
//! to mappings (`vm.max_map_count`). It does not find that a container has no memory left: then the kernel kills.

use std::io::Read as _;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use rustix::process::{Resource, getrlimit};

use super::HostRuntime;
use crate::error::Errno;

/// What has to be left for all small things. The C library maps 64 MiB for the allocations of some threads; and of no
/// smaller size is it certain that it is asked of the kernel.
const LEFT: usize = 64 << 20;

/// How many mappings begin with a thread that runs a guest: its stack and that for signals, each with its guard; a
/// memory with its data, its rest and its guard; what it allocates.
const OF_THREAD: i64 = 10;

/// How many mappings have to be left.
const LEFT_MAPPINGS: i64 = 1024;

/// The default of Linux for `vm.max_map_count`.
const MAX_MAP_COUNT: i64 = 65530;

/// Insists on room for a thread.
///
/// # Errors
///
/// `EAGAIN`: "The system lacked the necessary resources to create another thread" - pthread_create(3p).
pub(super) fn for_thread() -> Result<(), Errno> {
    if has_memory() && HostRuntime::of_process().mappings.take() { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// Insists that there is memory left when something large has been made, or before.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn for_memory() -> Result<(), Errno> {
    if has_memory() { Ok(()) } else { Err(Errno::ENOMEM) }
}

fn has_memory() -> bool {
    if getrlimit(Resource::As).current.is_none() && !is_accounted_strictly() {
        return true;
    }
    let mut probe: Vec<u8> = Vec::new();
    let is_there = probe.try_reserve_exact(LEFT).is_ok();
    // An allocation that nobody looks at the compiler may leave out.
    std::hint::black_box(&mut probe);
    is_there
}

/// Does the kernel refuse memory that it might not have? "2: always check, never overcommit" - proc_sys_vm(5)
fn is_accounted_strictly() -> bool {
    static STRICT: OnceLock<bool> = OnceLock::new();
    *STRICT.get_or_init(|| number("/proc/sys/vm/overcommit_memory") == Some(2))
}

fn number(path: &str) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// How many mappings this process may still have; nothing where the kernel does not say.
pub(crate) fn mappings_left() -> Option<i64> {
    static MOST: OnceLock<i64> = OnceLock::new();
    let most = *MOST.get_or_init(|| number("/proc/sys/vm/max_map_count").unwrap_or(MAX_MAP_COUNT));
    let mut maps = std::fs::File::open("/proc/self/maps").ok()?;
    let (mut buffer, mut used) = ([0; 4096], 0_i64);
    loop {
        let read = maps.read(&mut buffer).ok()?;
        if read == 0 {
            return Some(most.saturating_sub(used));
        }
        let lines = buffer.iter().take(read).filter(|byte| **byte == b'\n').count();
        used = used.saturating_add(i64::try_from(lines).unwrap_or(i64::MAX));
    }
}

/// Sees to it that threads leave mappings to others. To count them takes milliseconds where there are many, so that is
/// done once for as many threads as find room.
pub(super) struct Mappings {
    /// How many may be made before they are counted again.
    left: AtomicI64,
}

impl Mappings {
    pub(super) const fn new() -> Self {
        Self { left: AtomicI64::new(0) }
    }

    /// Takes those of one more thread; returns whether there were as many.
    fn take(&self) -> bool {
        if self.left.fetch_sub(OF_THREAD, Relaxed) >= OF_THREAD {
            return true;
        }
        let Some(left) = mappings_left() else { return true };
        let left = left.saturating_sub(LEFT_MAPPINGS.saturating_add(OF_THREAD));
        self.left.store(left.max(0), Relaxed);
        left >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_counted_once_for_many_threads() {
        let mappings = Mappings::new();
        assert!(mappings.take());
        let left = mappings.left.load(Relaxed);
        assert!(left > OF_THREAD, "{left}");
        assert!(mappings.take());
        assert_eq!(mappings.left.load(Relaxed), left - OF_THREAD);
    }

    #[test]
    fn there_is_room_for_a_thread() {
        assert_eq!((for_thread(), for_memory()), (Ok(()), Ok(())));
    }
}
