//! The status of a service as JSON. docs/admin.md has the schema; a test holds both together.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasock::observe::Escaped;
use wasock::observe::status::{
    DenialStatus, GenerationStatus, LimitStatus, ListenerStatus, ServiceStatus, WorkerStatus,
};

use super::shown::Bytes;
use crate::wall;

/// Another number where a field went away or changed its meaning.
pub(crate) const SCHEMA: u32 = 1;

/// The unit of a limit to time.
pub(super) const MILLISECONDS: &str = "milliseconds";

/// How a service stands.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Status {
    pub(crate) schema: u32,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) module: String,
    pub(crate) wall: String,
    pub(crate) uptime_seconds: f64,
    pub(crate) ready: bool,
    pub(crate) draining: bool,
    pub(crate) open_connections: u64,
    pub(crate) generations: Vec<Generation>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) denials: Vec<Denial>,
    pub(crate) totals: Totals,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Generation {
    pub(crate) number: u32,
    pub(crate) state: String,
    pub(crate) age_seconds: f64,
    /// Where it drains.
    pub(crate) left_seconds: Option<f64>,
    pub(crate) instances: u64,
    pub(crate) processes: u64,
    pub(crate) open_connections: u64,
    pub(crate) descriptors: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) host_memory_bytes: u64,
    pub(crate) workers: Vec<Worker>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Worker {
    pub(crate) number: u32,
    pub(crate) state: String,
    pub(crate) restarts: u64,
    pub(crate) instance: Option<Instance>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Instance {
    pub(crate) age_seconds: f64,
    pub(crate) processes: u64,
    pub(crate) open_connections: u64,
    pub(crate) descriptors: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) host_memory_bytes: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Listener {
    pub(crate) address: String,
    pub(crate) queue_length: Option<u32>,
    pub(crate) queue_capacity: Option<u32>,
    pub(crate) inherited: bool,
    pub(crate) generations: Vec<u32>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) most: Option<u64>,
    pub(crate) used: Option<u64>,
    pub(crate) reached: u64,
    pub(crate) changeable: bool,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Denial {
    pub(crate) call: String,
    pub(crate) what: String,
    pub(crate) rule: String,
    /// The flag that would allow it.
    pub(crate) flag: Option<String>,
    pub(crate) count: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) restarts: u64,
    pub(crate) reloads_done: u64,
    pub(crate) reloads_failed: u64,
    pub(crate) reloads_refused: u64,
    pub(crate) drain_resets: u64,
    pub(crate) denied_calls: u64,
    pub(crate) instances_made: u64,
}

/// What the service does not know of itself.
pub(crate) struct Around<'a> {
    pub(crate) module: &'a str,
    pub(crate) uptime: Duration,
    pub(crate) reloads_refused: u64,
}

impl Status {
    pub(crate) fn of(service: &ServiceStatus, around: &Around<'_>) -> Self {
        let metrics = &service.metrics;
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            module: Escaped(around.module).to_string(),
            wall: Escaped(wall::standing()).to_string(),
            uptime_seconds: around.uptime.as_secs_f64(),
            ready: service.is_ready,
            draining: service.is_draining,
            open_connections: open_connections(service),
            generations: service.generations.iter().map(Generation::of).collect(),
            listeners: service.listeners.iter().map(|it| Listener::of(it, service)).collect(),
            limits: service.limits.iter().map(Limit::of).collect(),
            denials: service.denials.iter().map(Denial::of).collect(),
            totals: Totals {
                accepted: sum(&mut metrics.listeners.iter().map(|it| it.accepted)),
                refused: sum(&mut metrics.listeners.iter().map(|it| it.refused())),
                received_bytes: metrics.received_bytes,
                sent_bytes: metrics.sent_bytes,
                cpu_seconds: metrics.cpu_time.as_secs_f64(),
                restarts: metrics.restarts,
                reloads_done: metrics.reloads,
                reloads_failed: metrics.failed_reloads,
                reloads_refused: around.reloads_refused,
                drain_resets: metrics.drain_resets,
                denied_calls: sum(&mut metrics.denied_calls.iter().map(|(_, count)| *count)),
                instances_made: metrics.instantiations.count,
            },
        }
    }
}

/// Those of all instances together.
pub(super) fn open_connections(service: &ServiceStatus) -> u64 {
    service.generations.iter().map(|it| it.open_connections).fold(0, u64::saturating_add)
}

impl Generation {
    fn of(generation: &GenerationStatus) -> Self {
        Self {
            number: generation.number,
            state: generation.state.name().to_owned(),
            age_seconds: generation.age.as_secs_f64(),
            left_seconds: generation.left.map(|left| left.as_secs_f64()),
            instances: generation.instances,
            processes: generation.processes,
            open_connections: generation.open_connections,
            descriptors: generation.descriptors,
            memory_bytes: generation.memory,
            host_memory_bytes: generation.host_memory,
            workers: generation.workers.iter().map(Worker::of).collect(),
        }
    }
}

impl Worker {
    fn of(worker: &WorkerStatus) -> Self {
        let instance = worker.instance.as_ref().map(|it| Instance {
            age_seconds: it.age.as_secs_f64(),
            processes: it.processes,
            open_connections: it.open_connections,
            descriptors: it.descriptors,
            memory_bytes: it.memory,
            host_memory_bytes: it.host_memory,
            cpu_seconds: it.cpu_time.as_secs_f64(),
            received_bytes: it.received_bytes,
            sent_bytes: it.sent_bytes,
        });
        let state = worker.state.name().to_owned();
        Self { number: worker.number, state, restarts: worker.restarts, instance }
    }
}

impl Listener {
    fn of(listener: &ListenerStatus, service: &ServiceStatus) -> Self {
        let counted = service.metrics.listeners.iter().find(|it| it.local == listener.local);
        Self {
            address: Escaped(&listener.local).to_string(),
            queue_length: listener.queue_length,
            queue_capacity: listener.queue_capacity,
            inherited: listener.is_inherited,
            generations: listener.generations.clone(),
            accepted: counted.map_or(0, |it| it.accepted),
            refused: counted.map_or(0, |it| it.refused()),
        }
    }
}

impl Limit {
    /// How much is allowed, to read.
    pub(crate) fn allowed(&self) -> String {
        match (self.most, self.unit.as_str()) {
            (Some(most), "bytes" | MILLISECONDS) => self.amount(most),
            (Some(most), unit) => format!("{most} {unit}"),
            (None, _) => "no limit".to_owned(),
        }
    }

    /// How much is in use, to read; nothing where that is not counted.
    pub(crate) fn in_use(&self) -> Option<String> {
        self.used.map(|used| self.amount(used))
    }

    fn amount(&self, count: u64) -> String {
        match self.unit.as_str() {
            "bytes" => Bytes(count).to_string(),
            MILLISECONDS => format!("{:?}", Duration::from_millis(count)),
            _ => count.to_string(),
        }
    }

    fn of(limit: &LimitStatus) -> Self {
        Self {
            name: limit.name.to_owned(),
            unit: limit.unit.to_owned(),
            most: limit.most,
            used: limit.used,
            reached: limit.reached,
            changeable: limit.is_changeable,
        }
    }
}

impl Denial {
    fn of(denial: &DenialStatus) -> Self {
        let text = |text: &str| Escaped(text).to_string();
        Self {
            call: denial.call.to_owned(),
            what: text(&denial.what),
            rule: text(&denial.rule),
            flag: Some(text(&denial.flag)).filter(|flag| !flag.is_empty()),
            count: denial.count,
        }
    }
}
