//! What the operator chose for a guest.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock, Rng};

use super::{Directory, Input, Open, Output};
use crate::observe::Observer;
use crate::policy::Policy;

/// Everything that a guest is given at its start.
pub struct Settings {
    /// What the guest may do.
    pub policy: Policy,
    /// The arguments, the program's name first.
    pub arguments: Vec<String>,
    /// The environment, as `NAME=value`.
    pub environment: Vec<String>,
    /// How many descriptors may be open at once.
    pub max_fds: u32,
    /// How many connections may wait at one listener, at most.
    pub max_backlog: AtomicU32,
    /// May file operations stop the thread that runs the guest? Otherwise they
    /// move to a thread of the runtime's that may.
    pub blocks_on_files: bool,
    /// Hears of events.
    pub observer: Option<Arc<dyn Observer>>,
    pub(crate) stdin: Arc<Input>,
    pub(crate) stdout: Arc<Output>,
    pub(crate) stderr: Arc<Output>,
    pub(crate) directories: Vec<Directory>,
    pub(crate) wall_clock: Mutex<Box<dyn HostWallClock>>,
    pub(crate) monotonic_clock: Mutex<Box<dyn HostMonotonicClock>>,
    pub(crate) random: Mutex<Box<dyn Rng + Send>>,
}

impl Settings {
    /// The standard streams: the same ones each time that the guest starts.
    pub(super) fn stdio(&self) -> [Open; 3] {
        [
            Open::Input(Arc::clone(&self.stdin)),
            Open::Output(Arc::clone(&self.stdout)),
            Open::Output(Arc::clone(&self.stderr)),
        ]
    }
}
