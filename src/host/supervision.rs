//! What a service is told to do: by whoever builds it, and while it runs.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connection_options::ConnectionOptions;
use super::live_instances::{LiveGenerations, LiveInstances};
use super::template::Template;
use super::{Guest, Handle};
use crate::error::ParseError;
use crate::observe::status::{GenerationState, WorkerState};
use crate::process::Signal;
use crate::service::ServiceState;

/// When an instance that has ended is started anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    #[default]
    Never,
    /// After a trap, a limit to its time, or an exit code other than 0.
    OnFailure,
    /// After any end.
    Always,
}

/// How a reload goes from one generation to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReloadMode {
    /// The new one starts beside the old one, which is retired when the new one is ready. At no
    /// moment does nobody accept. For servers without state of their own: for a while two of
    /// them run.
    #[default]
    Overlap,
    /// The old one ends before the new one starts; clients that come meanwhile wait in the queue.
    /// For servers that write files: two generations would be two writers.
    Sequential,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        })
    }
}

impl FromStr for Restart {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Never, Self::OnFailure, Self::Always];
        let found = all.into_iter().find(|it| it.to_string() == text);
        found.ok_or_else(|| ParseError::new("expected never, on-failure or always"))
    }
}

impl fmt::Display for ReloadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlap => "overlap",
            Self::Sequential => "sequential",
        })
    }
}

impl FromStr for ReloadMode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Overlap, Self::Sequential];
        let found = all.into_iter().find(|it| it.to_string() == text);
        found.ok_or_else(|| ParseError::new("expected overlap or sequential"))
    }
}

/// How a service starts, replaces and ends its instances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) restart: Restart,
    pub(super) workers: u32,
    pub(super) reload_mode: ReloadMode,
    pub(super) ready_timeout: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) drain_signal: Option<Signal>,
    pub(super) max_generations: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            restart: Restart::Never,
            workers: 1,
            reload_mode: ReloadMode::Overlap,
            ready_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            drain_signal: None,
            max_generations: 8,
        }
    }
}

/// Why a reload has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReloadError {
    /// The service does not run, or it ends.
    NotRunning,
    /// An instance of the new generation ended before it was ready: the reason.
    Ended(String),
    /// The new generation did not listen anywhere in time.
    NotListening,
    /// The new settings are of no use: the reason.
    Settings(String),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("the service ends, or has ended"),
            Self::Ended(why) => write!(f, "the new program ended before it was ready: {why}"),
            Self::NotListening => f.write_str("the new program did not listen in time"),
            Self::Settings(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ReloadError {}

/// What a generation is made of: a module, and what its instances are given.
#[derive(Clone)]
pub(super) struct Release {
    pub(super) guest: Guest,
    pub(super) template: Template,
}

/// A reload that was asked for. Without a template the settings stay as they are.
pub(super) struct Reload {
    pub(super) guest: Guest,
    pub(super) template: Option<Template>,
    pub(super) reply: Reply,
}

pub(super) type Reply = oneshot::Sender<Result<u32, ReloadError>>;

/// What a service was told to do, and what runs: shared by all handles on it.
#[derive(Default)]
pub(super) struct Supervision {
    pub(super) options: Options,
    /// Where each connection has an instance of its own.
    pub(super) connections: Option<ConnectionOptions>,
    /// The instances that each serve one connection.
    pub(super) live: LiveGenerations,
    orders: Mutex<Orders>,
}

/// Orders to the loop of the service, and what it says of itself.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) reloads: VecDeque<Reload>,
    pub(super) drains: bool,
    /// An end is not followed by a restart any more.
    pub(super) stops: bool,
    /// A signal that ends programs was sent to the instances that live now.
    pub(super) ends_living: bool,
    /// Every instance is ended at once.
    pub(super) is_terminated: bool,
    pub(super) is_running: bool,
    /// The instances that there are.
    pub(super) live: Vec<Handle>,
    /// The generations that there are.
    pub(super) generations: Vec<GenerationView>,
    /// How often the loop has looked at the instances.
    pub(super) looks: u64,
}

/// A generation, as the loop of the service has left it.
#[derive(Clone)]
pub(super) struct GenerationView {
    pub(super) number: u32,
    pub(super) state: GenerationState,
    pub(super) started: Instant,
    /// Until when it may drain, where it does.
    pub(super) deadline: Option<Instant>,
    pub(super) workers: Vec<WorkerView>,
    /// Its instances, where each connection has one.
    pub(super) for_connections: Option<Arc<LiveInstances>>,
    /// What they share.
    pub(super) service: Arc<ServiceState>,
}

/// A worker, as the loop has left it.
#[derive(Clone)]
pub(super) struct WorkerView {
    pub(super) number: u32,
    pub(super) state: WorkerState,
    pub(super) restarts: u64,
    /// Its instance, where one runs, and since when.
    pub(super) instance: Option<(Handle, Instant)>,
}

impl Supervision {
    pub(super) fn new(options: Options, connections: Option<ConnectionOptions>) -> Self {
        Self { options, connections, ..Self::default() }
    }

    /// Handles on all instances that there are.
    pub(super) fn handles(&self) -> Vec<Handle> {
        let mut handles = self.orders().live.clone();
        handles.extend(self.live.handles());
        handles
    }

    pub(super) fn orders(&self) -> MutexGuard<'_, Orders> {
        // Whole whenever the lock is free.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
