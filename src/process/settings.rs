//! What the operator chose for a guest.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock, Rng};

use super::{Directory, Doorkeeper, HandedSockets, Input, Open, Output, Report, Signal, ToldLimits};
use crate::account::Account;
use crate::address::Address;
use crate::observe::Observer;
use crate::policy::{Grant, Policy};
use crate::socket::listen::{Census, ListenProfile, Terms};

/// Everything that a guest is given at its start.
pub struct Settings {
    /// What the guest may do.
    pub policy: Arc<Policy>,
    /// The arguments, the program's name first.
    pub arguments: Vec<String>,
    /// The environment, as `NAME=value`.
    pub environment: Vec<String>,
    /// How many descriptors may be open at once.
    pub max_fds: u32,
    /// How many threads may run at once, the first one included.
    pub max_threads: u32,
    /// How many bytes the guest's own memories and tables may have.
    pub max_memory: u64,
    /// How many bytes the host may hold for the guest.
    pub max_host_memory: u64,
    /// The operator's maximum for backlogs.
    pub max_backlog: AtomicU32,
    /// The kernel's own.
    pub kernel_max_backlog: u32,
    /// What `listen` means.
    pub listen_profile: ListenProfile,
    /// What it means at some addresses; the first that fits counts.
    pub listen_profiles_at: Vec<(Grant, ListenProfile)>,
    /// Counts connections, where their number is limited.
    pub census: Option<Arc<Census>>,
    /// How many bytes a buffer of a socket may have, as the kernel counts them.
    pub max_socket_buffer: Option<u32>,
    /// Do the names that Unix sockets make go when they close?
    pub removes_unix_names: bool,
    /// May file operations stop the thread that runs the guest? Otherwise they
    /// move to a thread that may.
    pub blocks_on_files: bool,
    /// How many calls may stop a thread of the host's at once.
    pub max_blocking_calls: u32,
    /// How much processor time the guest may use.
    pub max_cpu_time: Option<Duration>,
    /// For how long it may run.
    pub timeout: Option<Duration>,
    /// Signals that are ignored until the guest handles them.
    pub ignored_signals: Vec<Signal>,
    /// Hears of events.
    pub observer: Option<Arc<dyn Observer>>,
    pub(crate) stdin: Arc<Input>,
    pub(crate) stdout: Arc<Output>,
    pub(crate) stderr: Arc<Output>,
    pub(crate) handed_sockets: HandedSockets,
    pub(crate) directories: Vec<Directory>,
    pub(crate) wall_clock: Mutex<Box<dyn HostWallClock>>,
    pub(crate) monotonic_clock: Mutex<Box<dyn HostMonotonicClock>>,
    pub(crate) random: Mutex<Box<dyn Rng + Send>>,
}

impl Settings {
    /// What `listen` means at this address.
    pub(crate) fn listen_profile(&self, local: &Address) -> ListenProfile {
        let special = self.listen_profiles_at.iter().find(|(addresses, _)| addresses.covers(local));
        special.map_or(self.listen_profile, |(_, profile)| *profile)
    }

    /// On what terms a socket with this address listens.
    pub(crate) fn terms(
        &self,
        report: &Arc<Report>,
        account: &Arc<Account>,
        listener: u32,
        local: Address,
    ) -> Terms {
        let (report, policy) = (Arc::clone(report), Arc::clone(&self.policy));
        let gate = self.census.as_ref().map(Census::gate);
        let told = ToldLimits::default();
        Terms {
            rules: self.listen_profile(&local).rules(),
            maximum: self.max_backlog.load(Relaxed),
            kernel_maximum: self.kernel_max_backlog,
            account: Arc::clone(account),
            door: Arc::new(Doorkeeper { report, policy, listener, local, gate, told }),
        }
    }

    /// The standard streams: the same ones each time that the guest starts.
    pub(super) fn stdio(&self) -> [Open; 3] {
        [
            Open::Input(Arc::clone(&self.stdin)),
            Open::Output(Arc::clone(&self.stdout)),
            Open::Output(Arc::clone(&self.stderr)),
        ]
    }
}
