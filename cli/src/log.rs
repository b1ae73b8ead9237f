//! `--log-format json`: each line of the host's on standard error is an object.
//!
//! `docs/log.md` has the schema. A field that is there keeps its name and its meaning; new events
//! and new fields may come.

mod event;

use std::fmt::{self, Debug};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use wasock::Event;
use wasock::observe::TraceLine;

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
    let (level, name, fields) = event::described(event)?;
    (is_verbose || level != "info").then(|| line(level, name, fields))
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
            let event = Event::InstanceRestarted {
                generation: 1,
                worker: 0,
                why: why.into(),
                after: Duration::ZERO,
                connections: 0,
            };
            let found = read(&super::event(&event, false).unwrap_or_default())?;
            assert_eq!(found.get("level").and_then(Value::as_str), Some(level));
        }
        Ok(())
    }

    #[test]
    fn a_listener_of_the_hosts_own_has_no_descriptor() -> Result<(), Box<dyn std::error::Error>> {
        let local = wasock::Address::from("127.0.0.1:1".parse::<std::net::SocketAddr>()?);
        for (fd, shown) in [(u32::MAX, Value::Null), (3, Value::from(3))] {
            let event = Event::Listening { fd, local: local.clone(), backlog: 1, result: Ok(1) };
            let found = read(&super::event(&event, false).unwrap_or_default())?;
            assert_eq!(found.get("fd"), Some(&shown));
        }
        Ok(())
    }

    #[test]
    fn what_is_said_with_v_alone_is_info() {
        let event = Event::ThreadsLeftBehind { count: 1 };
        assert!(super::event(&event, false).is_none() && super::event(&event, true).is_some());
    }
}
