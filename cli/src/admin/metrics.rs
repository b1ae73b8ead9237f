//! The metrics of a service in the text format of OpenMetrics.
//!
//! They are read at each request. The labels are bounded: the calls, reasons and limits are the
//! host's own names, and of listeners, which a guest may have many of, the first [`MOST_LISTENERS`] have one each.

mod encoder;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::{Registry, Unit};
use wasock::observe::status::{GenerationStatus, LimitStatus, ServiceStatus};
use wasock::observe::{Escaped, ListenerMetrics};

use encoder::{Encoder, NO_LABELS, float};

use super::process::ProcessStatus;
use super::status::{MILLISECONDS, open_connections};

/// How many listeners have a label of their own. The others are `other` together.
const MOST_LISTENERS: usize = 64;

/// How many counters a listener has.
const COUNTS: usize = 8;

/// What the rest of them is called.
const OTHER: &str = "other";

/// As an answer to a request says it.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of `service`, and of this process.
///
/// # Errors
///
/// None that is known.
pub(super) fn text(
    service: ServiceStatus,
    reloads_refused: u64,
    process: ProcessStatus,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Seen { service, reloads_refused, process }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Seen {
    service: ServiceStatus,
    reloads_refused: u64,
    process: ProcessStatus,
}

impl Collector for Seen {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Encoder(encoder);
        self.listeners(&mut to)?;
        self.queues(&mut to)?;
        self.traffic(&mut to)?;
        self.life(&mut to)?;
        self.instances(&mut to)?;
        self.limits(&mut to)?;
        self.process(&mut to)
    }
}

impl Seen {
    fn listeners(&self, to: &mut Encoder<'_>) -> fmt::Result {
        let (listeners, others) = labelled(&self.service.metrics.listeners);
        let name =
            |at: usize| listeners.get(at).map_or(OTHER.to_owned(), |it| Escaped(&it.local).to_string());
        let all: Vec<(String, [u64; COUNTS])> = listeners
            .iter()
            .enumerate()
            .map(|(at, it)| (name(at), counts(it)))
            .chain((!others.is_empty()).then(|| (OTHER.to_owned(), sums(others))))
            .collect();
        let accepted =
            all.iter().map(|(listener, [accepted, ..])| ([("listener", listener.as_str())], *accepted));
        to.counters("wasock_accepted_connections", "Connections that a guest got", accepted)?;
        let reasons = ["queue-full", "shrunk", "policy", "peer-limit", "left-waiting"];
        let refused = all.iter().flat_map(|(listener, [_, counts @ .., _, _])| {
            reasons
                .iter()
                .zip(counts)
                .map(|(reason, count)| ([("listener", listener.as_str()), ("reason", *reason)], *count))
        });
        to.counters(
            "wasock_refused_connections",
            "Connections that were reset before a guest saw them",
            refused,
        )?;
        let idle = all.iter().map(|(listener, [.., idle, _])| ([("listener", listener.as_str())], *idle));
        to.counters("wasock_idle_resets", "Connections that were reset because they were idle", idle)?;
        let delayed =
            all.iter().map(|(listener, [.., delayed])| ([("listener", listener.as_str())], *delayed));
        to.counters("wasock_delayed_accepts", "How often a limit kept a connection waiting", delayed)
    }

    fn queues(&self, to: &mut Encoder<'_>) -> fmt::Result {
        let listeners = self.service.listeners.iter().take(MOST_LISTENERS);
        let queues: Vec<_> = listeners
            .filter_map(|it| {
                let (length, capacity) = it.queue_length.zip(it.queue_capacity)?;
                Some((Escaped(&it.local).to_string(), length, capacity))
            })
            .collect();
        let lengths = queues.iter().map(|(at, length, _)| ([("listener", at.as_str())], f64::from(*length)));
        to.gauges("wasock_accept_queue_length", "Connections that wait to be accepted", lengths)?;
        let most = queues.iter().map(|(at, _, capacity)| ([("listener", at.as_str())], f64::from(*capacity)));
        to.gauges("wasock_accept_queue_capacity", "Connections that may wait to be accepted", most)
    }

    fn traffic(&self, to: &mut Encoder<'_>) -> fmt::Result {
        let (service, metrics) = (&self.service, &self.service.metrics);
        to.gauge(
            "wasock_open_connections",
            "Connections that were accepted and not closed",
            open_connections(service),
        )?;
        to.counter(
            "wasock_received_bytes",
            "Bytes that guests have received from sockets",
            metrics.received_bytes,
        )?;
        to.counter("wasock_sent_bytes", "Bytes that guests have sent to sockets", metrics.sent_bytes)?;
        let denied = metrics.denied_calls.iter().map(|(call, count)| ([("call", *call)], *count));
        to.counters("wasock_denied_calls", "Calls that the policy refused", denied)
    }

    fn life(&self, to: &mut Encoder<'_>) -> fmt::Result {
        let metrics = &self.service.metrics;
        to.gauge("wasock_ready", "Does some generation serve", u64::from(self.service.is_ready))?;
        to.gauge("wasock_draining", "Is the service to end", u64::from(self.service.is_draining))?;
        let mut states: Vec<([(&str, String); 2], f64)> = Vec::new();
        for generation in &self.service.generations {
            let (number, state) = (generation.number.to_string(), generation.state.name().to_owned());
            states.push(([("generation", number), ("state", state)], float(generation.instances)));
        }
        to.gauges("wasock_instances", "Instances that run", states)?;
        to.counter("wasock_restarts", "Instances that were started anew after their end", metrics.restarts)?;
        let outcomes = [
            ([("outcome", "done")], metrics.reloads),
            ([("outcome", "failed")], metrics.failed_reloads),
            ([("outcome", "refused")], self.reloads_refused),
        ];
        to.counters("wasock_reloads", "Reloads, by what became of them", outcomes)?;
        for (name, help, count) in [
            (
                "wasock_drain_resets",
                "Connections that were reset at the end of a drain",
                metrics.drain_resets,
            ),
            (
                "wasock_drain_cuts",
                "Connections that an instance cut which drained and ended",
                metrics.drain_cuts,
            ),
            (
                "wasock_connection_instances",
                "Instances for one connection each",
                metrics.connection_instances,
            ),
            (
                "wasock_failed_connection_instances",
                "Instances for one connection that failed",
                metrics.failed_connection_instances,
            ),
        ] {
            to.counter(name, help, count)?;
        }
        Ok(())
    }

    fn instances(&self, to: &mut Encoder<'_>) -> fmt::Result {
        let sum = |of: fn(&GenerationStatus) -> u64| {
            self.service.generations.iter().map(of).fold(0, u64::saturating_add)
        };
        let bytes = Some(&Unit::Bytes);
        to.gauge_in("wasock_guest_memory", bytes, "Memories and tables of guests", sum(|it| it.memory))?;
        to.gauge_in("wasock_host_memory", bytes, "What the host holds for guests", sum(|it| it.host_memory))?;
        to.gauge("wasock_processes", "Processes of guests", sum(|it| it.processes))?;
        to.gauge("wasock_descriptors", "Descriptors that guests have open", sum(|it| it.descriptors))?;
        let cpu = self.service.metrics.cpu_time;
        to.seconds("wasock_guest_cpu", "Processor time of the guests' threads", cpu)?;
        to.histogram("wasock_instantiation", "Time to make an instance", &self.service.metrics.instantiations)
    }

    fn limits(&self, to: &mut Encoder<'_>) -> fmt::Result {
        let limits = &self.service.limits;
        let most = limits.iter().filter_map(|it| Some(labelled_limit(it, it.most?)));
        to.gauges("wasock_limit", "What a limit allows", most)?;
        let used = limits.iter().filter_map(|it| Some(labelled_limit(it, it.used?)));
        to.gauges("wasock_limit_used", "How much of a limit is in use", used)?;
        let reached = limits.iter().map(|it| ([("limit", it.name)], it.reached));
        to.counters("wasock_limit_reached", "How often a limit was reached", reached)
    }

    /// Under the names that every exporter has.
    fn process(&self, to: &mut Encoder<'_>) -> fmt::Result {
        let ProcessStatus { cpu_time, open_fds, max_fds, resident_bytes, started } = self.process;
        to.seconds("process_cpu", "Processor time of this process", cpu_time)?;
        to.gauge("process_open_fds", "Descriptors that this process has open", open_fds)?;
        to.gauge("process_max_fds", "Descriptors that this process may have open", max_fds)?;
        let bytes = Some(&Unit::Bytes);
        to.gauge_in("process_resident_memory", bytes, "Memory of this process", resident_bytes)?;
        let since = [(NO_LABELS, started.as_secs_f64())];
        to.gauges_in("process_start_time", Some(&Unit::Seconds), "When this process began, since 1970", since)
    }
}

/// An amount of a limit, with its labels. Times are in seconds, as all times of metrics.
fn labelled_limit(limit: &LimitStatus, amount: u64) -> ([(&'static str, &'static str); 2], f64) {
    let (unit, amount) = match limit.unit {
        MILLISECONDS => ("seconds", float(amount) / 1000.0),
        unit => (unit, float(amount)),
    };
    ([("limit", limit.name), ("unit", unit)], amount)
}

/// The listeners with a label of their own, and the others.
fn labelled(listeners: &[ListenerMetrics]) -> (&[ListenerMetrics], &[ListenerMetrics]) {
    listeners.split_at_checked(MOST_LISTENERS).unwrap_or((listeners, &[]))
}

fn counts(listener: &ListenerMetrics) -> [u64; COUNTS] {
    [
        listener.accepted,
        listener.refused_queue_full,
        listener.refused_shrunk,
        listener.refused_policy,
        listener.refused_peer_limit,
        listener.left_waiting,
        listener.idle_resets,
        listener.limit_reached,
    ]
}

fn sums(listeners: &[ListenerMetrics]) -> [u64; COUNTS] {
    let add = |all: [u64; COUNTS], one: [u64; COUNTS]| {
        let mut more = one.into_iter();
        all.map(|sum| sum.saturating_add(more.next().unwrap_or(0)))
    };
    listeners.iter().map(counts).fold([0; COUNTS], add)
}
