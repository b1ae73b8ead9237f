//! What the command starts, on a host that may be at its limits.
//!
//! tokio opens descriptors, and Wasmtime starts threads, by calls that panic where the
//! operating system refuses. What fails so is not torn: the panic comes before anything was
//! begun. Here it is an error, of which the operator reads one line.

use std::error::Error;
use std::io;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::io::Errno as Os;
use tokio::runtime::{Builder, Runtime};
use wasock::Errno;

/// A runtime of one thread, the caller's.
///
/// # Errors
///
/// Where the host has no descriptors for it.
pub(crate) fn runtime() -> Result<Runtime> {
    let build = || Builder::new_current_thread().enable_all().build();
    // The first runtime of a process makes a pair of sockets for its signals, or panics.
    let built = unless_panics(build).unwrap_or_else(|| Err(io::Error::from(Os::MFILE)));
    built.context("cannot start the runtime")
}

/// Does `start`, unless that panics: `None` then, and nothing is printed.
pub(crate) fn unless_panics<T>(start: impl FnOnce() -> T) -> Option<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let started = catch_unwind(AssertUnwindSafe(start));
    panic::set_hook(hook);
    started.ok()
}

/// How many threads this process has; 0 where the operating system does not say.
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Waits until this process has no more than `count` threads: those that were started in
/// vain end by themselves, and until then they take the places of others. Not for long.
pub(crate) fn wait_for_threads(count: usize) {
    for _ in 0..100 {
        if threads() <= count {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How many descriptors the command has besides those of its guest, about.
const OWN_DESCRIPTORS: u64 = 16;

/// What the operator should know, where this process may not have as many descriptors as its guest:
/// an accept fails then in a way that few servers expect.
pub(crate) fn too_few_descriptors(max_fds: u32) -> Option<String> {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    (most < u64::from(max_fds)).then(|| {
        let enough = u64::from(max_fds) + OWN_DESCRIPTORS;
        format!(
            "the host may open {most} files, and the guest {max_fds} (--max-fds): it gets ENFILE before its own \
             limit; raise the limit of open files (ulimit -n {enough}), or lower --max-fds"
        )
    })
}

/// What the operator can do, where `error` comes from a limit of the host's.
pub(crate) fn cure(error: &anyhow::Error) -> &'static str {
    cure_of(error.chain())
}

/// The same, where `causes` are those of an error, each of the one before it.
pub(crate) fn cure_of<'a>(mut causes: impl Iterator<Item = &'a (dyn Error + 'static)>) -> &'static str {
    let limit = causes.find_map(|cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => Os::from_io_error(error).map(Errno::from),
        None => cause.downcast_ref::<Errno>().copied(),
    });
    match limit {
        Some(Errno::ENFILE) => "; raise the limit of open files (ulimit -n)",
        Some(Errno::EAGAIN) => "; raise the limit of processes and threads (ulimit -u)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_guest_may_have_more_descriptors_than_the_host() {
        assert!(too_few_descriptors(u32::MAX).is_some_and(|it| it.contains("ulimit -n 4294967311")));
        assert_eq!(too_few_descriptors(1), None);
    }

    #[test]
    fn a_panic_is_none() {
        assert_eq!(unless_panics(|| 1), Some(1));
        assert_eq!(unless_panics(|| panic::resume_unwind(Box::new(()))), None::<()>);
    }

    #[test]
    fn a_limit_has_a_cure() {
        let of = |errno: Os| cure(&anyhow::Error::from(io::Error::from(errno)).context("cannot start"));
        assert!(of(Os::MFILE).contains("ulimit -n"));
        assert!(of(Os::AGAIN).contains("ulimit -u"));
        assert!(cure(&anyhow!("no module was named")).is_empty());
    }
}
