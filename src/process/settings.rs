//! What the operator chose for a guest.

use std::sync::{Arc, Mutex};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock, Rng};

use super::{Directory, Executables, InheritedSockets, Input, Open, Output, Signal};
use crate::socket::LookUp;

/// Everything that a guest is given at its start.
pub struct Settings {
    /// The arguments, the program's name first.
    pub arguments: Vec<String>,
    /// The environment, as `NAME=value`.
    pub environment: Vec<String>,
    /// Where the program begins, as it sees it: an absolute path.
    pub(crate) working_directory: String,
    /// Do the TCP sockets of a component send small writes at once? WASI has no option for that, and its
    /// C library tells programs that they have it.
    pub(crate) tcp_nodelay: bool,
    /// May file operations stop the thread that runs the guest? Otherwise they
    /// move to a thread that may.
    pub blocks_on_files: bool,
    /// Signals that are ignored until the guest handles them.
    pub ignored_signals: Vec<Signal>,
    /// Looks names up; the system's resolver does where it is `None`.
    pub(crate) look_up: Option<LookUp>,
    pub(crate) stdin: Arc<Input>,
    pub(crate) stdout: Arc<Output>,
    pub(crate) stderr: Arc<Output>,
    /// Those of all generations of a service.
    pub(crate) inherited_sockets: Arc<InheritedSockets>,
    pub(crate) directories: Vec<Directory>,
    pub(crate) executables: Executables,
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
