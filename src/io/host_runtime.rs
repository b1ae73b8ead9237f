//! What the host has once for all guests of a process.
//!
//! These are the process's own: its threads, its table of descriptors, and a thread that drives
//! sockets without a runtime of their own. One object has all of them, so that a guest, a service or
//! a test that looks for what guests share finds it here. [`HostRuntime::of_process`] is the only
//! one that works for guests.
//!
//! Besides, a few statics stand beside what they count or lease; ARCHITECTURE.md lists them, and says
//! why none of this can be an object of an embedder's.

use super::clock::Clock;
use super::descriptors::DescriptorPressure;
use super::reactor::OwnReactor;
use super::room::Mappings;
use super::thread::ThreadPool;

/// The threads, the clock, the reactor and the descriptors that all guests share.
pub(crate) struct HostRuntime {
    /// Threads that are kept for the next work.
    pub(super) threads: ThreadPool,
    /// Deadlines without a descriptor.
    pub(super) clock: Clock,
    /// Drives sockets that have no runtime of an embedder's.
    pub(super) reactor: OwnReactor,
    /// Who waits for a descriptor.
    pub(crate) descriptors: DescriptorPressure,
    /// Keeps threads from taking the last mappings.
    pub(super) mappings: Mappings,
}

static OF_PROCESS: HostRuntime = HostRuntime::new();

impl HostRuntime {
    const fn new() -> Self {
        Self {
            threads: ThreadPool::new(),
            clock: Clock::new(),
            reactor: OwnReactor::new(),
            descriptors: DescriptorPressure::new(),
            mappings: Mappings::new(),
        }
    }

    /// The one of this process.
    #[inline]
    pub(crate) fn of_process() -> &'static Self {
        &OF_PROCESS
    }
}
