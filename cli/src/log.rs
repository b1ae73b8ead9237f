//! `--log-format json`: each line of the host's on standard error is an object.
//!
//! `docs/log.md` has the schema. A field that is there keeps its name and its meaning; new events
//! and new fields may come.

use std::fmt::{self, Debug};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use wasock::Event;
use wasock::observe::{Closed, DrainEnd, Refused, TraceLine};

use crate::json::Json;

/// What a line of the host's looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// One for the process: all that it prints goes to one place.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Chooses the format, before anything is printed.
pub(crate) fn choose(format: LogFormat) {
    IS_JSON.store(format == LogFormat::Json, Relaxed);
}

pub(crate) fn is_json() -> bool {
    IS_JSON.load(Relaxed)
}

type Fields = Vec<(&'static str, Json)>;

/// One line: what every one has, then its own fields.
fn line(level: &'static str, event: &'static str, fields: Fields) -> String {
    let mut time = String::new();
    if SystemTime.format_time(&mut Writer::new(&mut time)).is_err() {
        time.clear();
    }
    let all = vec![("time", Json::from(time)), ("level", level.into()), ("event", event.into())];
    format!("{:#}\n", Json::Object(all.into_iter().chain(fields).collect()))
}

/// What the host says in words.
pub(crate) fn message(text: &str) -> String {
    line("warn", "message", vec![("message", text.strip_prefix("wasock: ").unwrap_or(text).into())])
}

/// A line that begins with `wasock: `, in the chosen format.
pub(crate) fn formatted(text: &str) -> String {
    if is_json() { message(text) } else { format!("{text}\n") }
}

/// A call of the guest.
pub(crate) fn call(call: &TraceLine<'_>) -> String {
    let micros = u64::try_from(call.duration.as_micros()).unwrap_or(u64::MAX);
    line(
        "info",
        "call",
        vec![
            ("name", call.name.into()),
            ("arguments", call.arguments.into()),
            ("outcome", call.outcome.into()),
            ("results", call.results.into()),
            ("duration_us", micros.into()),
        ],
    )
}

/// An event; `None` for one that is printed with `-v` alone, unless `is_verbose`, and for one that
/// another one reports.
pub(crate) fn event(event: &Event, is_verbose: bool) -> Option<String> {
    let (level, name, fields) = described(event)?;
    (is_verbose || level != "info").then(|| line(level, name, fields))
}

fn described(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    let text = |value: &dyn fmt::Display| Json::from(value.to_string());
    Some(match event {
        Event::Listening { fd, local, backlog, result } => {
            // Reported as denied or unavailable, if the operator can do something about it.
            let capacity = *result.as_ref().ok()?;
            let fields = vec![
                ("fd", (*fd).into()),
                ("address", text(local)),
                ("backlog", (*backlog).into()),
                ("capacity", capacity.into()),
            ];
            ("notice", "listening", fields)
        }
        Event::Bound { fd, local } => {
            ("notice", "bound", vec![("fd", (*fd).into()), ("address", text(local))])
        }
        Event::BacklogChanged { fd, local, backlog, capacity } => {
            let fields = vec![
                ("fd", (*fd).into()),
                ("address", text(local)),
                ("backlog", (*backlog).into()),
                ("capacity", (*capacity).into()),
            ];
            ("info", "backlog_changed", fields)
        }
        other => {
            let of_any = of_connections(other).or_else(|| of_limits(other)).or_else(|| of_guest(other));
            of_any.or_else(|| of_service(other)).unwrap_or_else(|| {
                // A newer library has it.
                ("info", "other", vec![("message", Json::from(format!("{other:?}")))])
            })
        }
    })
}

/// What happened to a connection, and the end of a listener.
fn of_connections(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    let text = |value: &dyn fmt::Display| Json::from(value.to_string());
    Some(match event {
        Event::Accepted { listener, fd, peer, local } => {
            let fields = vec![
                ("listener_fd", (*listener).into()),
                ("fd", (*fd).into()),
                ("peer", text(peer)),
                ("address", text(local)),
            ];
            ("info", "accepted", fields)
        }
        Event::Refused { listener, local, peer, why } => {
            let fields = vec![
                ("listener_fd", (*listener).into()),
                ("address", text(local)),
                ("peer", text(peer)),
                ("reason", refusal(*why).into()),
            ];
            ("info", "refused", fields)
        }
        Event::Closed { fd, local, peer, why } => {
            let peer = peer.as_ref().map(|peer| text(peer));
            let fields = vec![
                ("fd", (*fd).into()),
                ("address", text(local)),
                ("peer", peer.into()),
                ("reason", closing(*why).into()),
            ];
            ("info", "closed", fields)
        }
        _ => return None,
    })
}

/// What a limit or the policy did.
fn of_limits(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    let text = |value: &dyn fmt::Display| Json::from(value.to_string());
    Some(match event {
        Event::Limited { fd, local, peer, limit, most } => {
            let peer = peer.as_ref().map(|peer| text(peer));
            let fields = vec![
                ("fd", (*fd).into()),
                ("address", text(local)),
                ("peer", peer.into()),
                ("limit", limit.name().into()),
                ("most", (*most).into()),
            ];
            ("warn", "limited", fields)
        }
        Event::MemoryDenied { limit, most } => {
            ("warn", "memory_denied", vec![("limit", limit.name().into()), ("most", (*most).into())])
        }
        Event::TableFull { most } => {
            ("warn", "table_full", vec![("limit", "max-fds".into()), ("most", (*most).into())])
        }
        Event::Dropped { fd, local, count } => {
            let fields = vec![("fd", (*fd).into()), ("address", text(local)), ("count", (*count).into())];
            ("warn", "dropped", fields)
        }
        Event::Missed { count } => ("warn", "missed", vec![("count", (*count).into())]),
        Event::Denied { call, what, rule, flag } => {
            let flag = Some(flag.as_str()).filter(|flag| !flag.is_empty());
            let fields = vec![
                ("call", (*call).into()),
                ("what", what.as_str().into()),
                ("rule", rule.as_ref().into()),
                ("flag", flag.into()),
            ];
            ("warn", "denied", fields)
        }
        Event::Unavailable { call, address, errno } => {
            let fields =
                vec![("call", (*call).into()), ("address", text(address)), ("errno", errno.name().into())];
            ("warn", "unavailable", fields)
        }
        _ => return None,
    })
}

/// What the guest lacks, or how it fared.
fn of_guest(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    Some(match event {
        Event::Stubbed { module, name } => {
            ("warn", "stubbed", vec![("module", module.as_str().into()), ("name", name.as_str().into())])
        }
        Event::NotAHandler { name } => ("warn", "not_a_handler", vec![("name", name.as_str().into())]),
        Event::HandlerTrapped { signal, trap } => {
            ("error", "handler_trapped", vec![("signal", (*signal).into()), ("trap", trap.as_str().into())])
        }
        Event::Restarted { trap, after } => {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            ("error", "restarted", vec![("trap", trap.as_str().into()), ("after_ms", after.into())])
        }
        Event::GaveUp { instances } => ("error", "gave_up", vec![("instances", (*instances).into())]),
        Event::ThreadsLeftBehind { count } => {
            let count = u64::try_from(*count).unwrap_or(u64::MAX);
            ("info", "threads_left_behind", vec![("count", count.into())])
        }
        _ => return None,
    })
}

/// What became of the instances of a service, and of what it holds.
fn of_service(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    Some(match event {
        Event::InstanceRestarted { generation, worker, why, after } => {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            let fields = vec![
                ("generation", (*generation).into()),
                ("worker", (*worker).into()),
                ("reason", why.as_str().into()),
                ("after_ms", after.into()),
            ];
            // With `--restart always` that is as it should be.
            let level = if why == "exit code 0" { "notice" } else { "error" };
            (level, "instance_restarted", fields)
        }
        Event::Reloaded { generation, missing } => {
            let missing: Json = missing.iter().map(ToString::to_string).collect();
            let fields = vec![("generation", (*generation).into()), ("missing", missing)];
            ("notice", "reloaded", fields)
        }
        Event::WorkerFails { generation, worker, instances, after } => {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            let fields = vec![
                ("generation", (*generation).into()),
                ("worker", (*worker).into()),
                ("instances", (*instances).into()),
                ("after_ms", after.into()),
            ];
            ("error", "worker_fails", fields)
        }
        Event::IdleReset { local, peer, idle } => {
            let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
            let fields = vec![
                ("address", local.to_string().into()),
                ("peer", peer.to_string().into()),
                ("idle_ms", idle.into()),
            ];
            ("info", "idle_reset", fields)
        }
        Event::WaitingReset { local, connections } => {
            let connections = u64::try_from(*connections).unwrap_or(u64::MAX);
            let fields = vec![("address", local.to_string().into()), ("connections", connections.into())];
            ("warn", "waiting_reset", fields)
        }
        Event::ReloadFailed { generation, why } => {
            let fields = vec![("generation", (*generation).into()), ("reason", why.as_str().into())];
            ("error", "reload_failed", fields)
        }
        Event::InstanceEnded { generation, worker, why, left } => {
            let fields = vec![
                ("generation", (*generation).into()),
                ("worker", (*worker).into()),
                ("reason", why.as_str().into()),
                ("left", u64::try_from(*left).unwrap_or(u64::MAX).into()),
            ];
            ("error", "instance_ended", fields)
        }
        Event::InstanceFailed { generation, local, peer, why } => {
            let fields = vec![
                ("generation", (*generation).into()),
                ("address", Json::from(local.to_string())),
                ("peer", Json::from(peer.to_string())),
                ("reason", why.as_str().into()),
            ];
            ("error", "instance_failed", fields)
        }
        Event::ServiceEnds { why, generations } => {
            let generations = u64::try_from(*generations).unwrap_or(u64::MAX);
            let fields = vec![("reason", why.as_str().into()), ("generations", generations.into())];
            ("error", "service_ends", fields)
        }
        Event::DrainTimeout { generation, connections, cause } => {
            let connections = u64::try_from(*connections).unwrap_or(u64::MAX);
            let cause = match cause {
                DrainEnd::Timeout => "drain-timeout",
                DrainEnd::Generations => "max-generations",
                DrainEnd::Ended => "ended",
                _ => "failed",
            };
            let fields = vec![
                ("generation", (*generation).into()),
                ("connections", connections.into()),
                ("cause", cause.into()),
            ];
            ("warn", "drain_timeout", fields)
        }
        Event::LimitChanged { limit, most } => {
            ("notice", "limit_changed", vec![("limit", limit.name().into()), ("most", (*most).into())])
        }
        Event::Unclaimed { local, is_closed } => {
            let address = Json::from(local.to_string());
            ("warn", "unclaimed", vec![("address", address), ("closed", Json::Bool(*is_closed))])
        }
        _ => return None,
    })
}

fn refusal(why: Refused) -> &'static str {
    match why {
        Refused::QueueFull => "queue-full",
        Refused::Shrunk => "shrunk",
        Refused::Policy => "policy",
        Refused::PeerLimit => "peer-limit",
        _ => "other",
    }
}

fn closing(why: Closed) -> &'static str {
    match why {
        Closed::ByGuest => "by-guest",
        Closed::Replaced => "replaced",
        Closed::Trapped => "trapped",
        Closed::Ended => "ended",
        _ => "other",
    }
}

/// The lines of `tracing`.
pub(crate) struct LogLines;

impl<S, N> FormatEvent<S, N> for LogLines
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut found = Found::default();
        event.record(&mut found);
        let metadata = event.metadata();
        let level = match *metadata.level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        let fields = vec![
            ("target", metadata.target().into()),
            ("message", found.message.into()),
            ("fields", Json::Object(found.fields)),
        ];
        writer.write_str(&line(level, "log", fields))
    }
}

/// The message of a line of `tracing`, and its other fields as text.
#[derive(Default)]
struct Found {
    message: String,
    fields: Fields,
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push((name, Json::from(format!("{value:?}")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::time::Duration;

    fn read(line: &str) -> Result<Value, serde_json::Error> {
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        serde_json::from_str(line)
    }

    #[test]
    fn a_line_is_one_object() -> Result<(), serde_json::Error> {
        let event = Event::Stubbed { module: "a\nb".to_owned(), name: "\u{1b}[31m".to_owned() };
        let found = read(&super::event(&event, false).unwrap_or_default())?;
        let text = |name| found.get(name).and_then(Value::as_str);
        assert_eq!((text("level"), text("event")), (Some("warn"), Some("stubbed")));
        assert_eq!((text("module"), text("name")), (Some("a\nb"), Some("\u{1b}[31m")));
        let time = text("time").unwrap_or_default();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        assert_eq!(read(&message("wasock: so"))?.get("message"), Some(&Value::from("so")));
        Ok(())
    }

    #[test]
    fn an_end_without_a_failure_is_no_error() -> Result<(), serde_json::Error> {
        for (why, level) in [("exit code 0", "notice"), ("exit code 1", "error")] {
            let event =
                Event::InstanceRestarted { generation: 1, worker: 0, why: why.into(), after: Duration::ZERO };
            let found = read(&super::event(&event, false).unwrap_or_default())?;
            assert_eq!(found.get("level").and_then(Value::as_str), Some(level));
        }
        Ok(())
    }

    #[test]
    fn what_is_said_with_v_alone_is_info() {
        let event = Event::ThreadsLeftBehind { count: 1 };
        assert!(super::event(&event, false).is_none() && super::event(&event, true).is_some());
    }
}
