//! How a service stands, as values: what an operator sees of it while it runs.
//!
//! A [`ServiceStatus`] is a copy. It is taken by [`Service::status`](crate::Service::status), which asks the
//! kernel for the queues and the processor time; the guests do not wait for that.

use std::time::Duration;

use super::Metrics;
use crate::address::Address;

/// How a service stands.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Is [`Service::run`](crate::Service::run) at work?
    pub is_running: bool,
    /// Is the service to end: is no connection accepted any more?
    pub is_draining: bool,
    /// Does some generation serve, and is it at its listeners? Not while the service drains.
    pub is_ready: bool,
    /// The generations that there are, the oldest first.
    pub generations: Vec<GenerationStatus>,
    /// Where connections come in.
    pub listeners: Vec<ListenerStatus>,
    /// What is limited, and how much of it is in use.
    pub limits: Vec<LimitStatus>,
    /// What the policy refused, each distinct refusal once, the newest 64.
    pub denials: Vec<DenialStatus>,
    /// What was counted.
    pub metrics: Metrics,
}

/// What a generation is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GenerationState {
    /// It is to take the place of the one that serves.
    Starting,
    /// It serves.
    Serving,
    /// It is retired, and goes on with its connections.
    Draining,
}

impl GenerationState {
    /// Its name in metrics and in the status: `starting`, `serving`, `draining`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// How a generation stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GenerationStatus {
    /// Its number, from 1 on.
    pub number: u32,
    /// What it is at.
    pub state: GenerationState,
    /// How long ago it began.
    pub age: Duration,
    /// Where it drains: how long it may go on.
    pub left: Option<Duration>,
    /// How many instances of it live.
    pub instances: u64,
    /// How many processes these have.
    pub processes: u64,
    /// Connections that these have accepted and not closed.
    pub open_connections: u64,
    /// Descriptors that these have open.
    pub descriptors: u64,
    /// Bytes of their own memories and tables.
    pub memory: u64,
    /// Bytes that the host holds for them.
    pub host_memory: u64,
    /// Its workers; none where [each connection](crate::ServiceBuilder::per_connection) has an instance of its own.
    pub workers: Vec<WorkerStatus>,
}

/// What a worker is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerState {
    /// It starts when the first worker listens.
    Starting,
    /// Its instance runs.
    Running,
    /// Its instance has ended, and the next one starts in a moment.
    Waiting,
    /// It was told to end.
    Ending,
    /// It has ended for good.
    Ended,
}

impl WorkerState {
    /// Its name in the status: `starting`, `running`, `waiting`, `ending`, `ended`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}

/// How a worker stands, and what its instance has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Which of the workers of its generation it is, from 0 on.
    pub number: u32,
    /// What it is at.
    pub state: WorkerState,
    /// How often it was started anew.
    pub restarts: u64,
    /// What its instance has, where one runs.
    pub instance: Option<InstanceStatus>,
}

/// What a running instance has.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct InstanceStatus {
    /// How long it has run.
    pub age: Duration,
    /// How many processes it has: those included that have ended and for which nobody has waited.
    pub processes: u64,
    /// Connections that it has accepted and not closed.
    pub open_connections: u64,
    /// Descriptors that are open; one that a process has from its parent counts once for both.
    pub descriptors: u64,
    /// Bytes of its own memories and tables, in all processes.
    pub memory: u64,
    /// The most that one of its processes has of these.
    pub(crate) largest_memory: u64,
    /// Bytes that the host holds for it.
    pub host_memory: u64,
    /// Processor time of its threads, those that have ended included. Only of an instance on threads of its
    /// own, as those of a [`Service::run`](crate::Service::run) are; nothing where the kernel does not say.
    pub cpu_time: Duration,
    /// Bytes that it has received from sockets.
    pub received_bytes: u64,
    /// Bytes that it has sent to sockets.
    pub sent_bytes: u64,
}

/// Where connections come in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerStatus {
    /// Its address.
    pub local: Address,
    /// How many connections wait; `None` where the kernel does not say.
    pub queue_length: Option<u32>,
    /// How many may wait; `None` where the kernel does not say.
    pub queue_capacity: Option<u32>,
    /// Was it given to the service, which keeps it whatever its guests do?
    pub is_inherited: bool,
    /// The generations whose instances take connections here.
    pub generations: Vec<u32>,
}

/// A limit of the operator's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimitStatus {
    /// Its name: that of its flag, without the dashes.
    pub name: &'static str,
    /// What is counted: `connections`, `connections/s`, `instances`, `bytes`, `descriptors`, `processes`, `threads`
    /// or `milliseconds`.
    pub unit: &'static str,
    /// How much is allowed; `None` is as much as comes.
    pub most: Option<u64>,
    /// How much is in use; where each instance has a limit of its own, by the one that uses most.
    /// `None` where that is not counted.
    pub used: Option<u64>,
    /// How often it was reached.
    pub reached: u64,
    /// Can it be changed while the service runs?
    pub is_changeable: bool,
}

impl LimitStatus {
    /// One that holds for as long as its service lives, and of which is not counted how much of it is in
    /// use, nor how often it was reached.
    pub(crate) fn fixed(name: &'static str, unit: &'static str, most: u64) -> Self {
        Self { name, unit, most: Some(most), used: None, reached: 0, is_changeable: false }
    }
}

/// A refusal of the policy, and how often it came.
///
/// The texts are [escaped](super::Escaped): names are a guest's to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DenialStatus {
    /// The call: `sock_bind`.
    pub call: &'static str,
    /// The address or name that was asked for.
    pub what: String,
    /// The rule that decided, in words.
    pub rule: String,
    /// The flag of the command that would allow exactly this; empty where none would.
    pub flag: String,
    /// How often it was refused.
    pub count: u64,
}
