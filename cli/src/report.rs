//! Events and calls as lines on standard error.
//!
//! Standard error may have no reader any more, or one that has stalled: that is no reason for a
//! server to stop, so [`say!`] does not fail, where `eprintln!` would panic, nor block for long.
//!
//! Much of what is printed are names that a guest or a peer chose. All that the command
//! prints goes through [`Lines`], which escapes it; a test holds it to that.

mod event;

pub(crate) use event::HOST_LISTENER;

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format;
use wasock::observe::{Escaped, TraceLine};
use wasock::{Event, MissingImports, Observer};

use crate::learn;
use crate::log::{self, LogLines};
use crate::manager;
use crate::stderr;

/// Prints a line on standard error, if it has a reader. A line feed in it is escaped.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::report::Lines::default().line(format_args!($($line)*)).say()
    };
}
pub(crate) use say;

/// Lines to print, in which only the host itself begins a line.
#[derive(Default)]
pub(crate) struct Lines(String);

impl Lines {
    /// Adds a line.
    pub(crate) fn line(&mut self, line: impl Display) -> &mut Self {
        self.0 += &format!("{}\n", Escaped(line));
        self
    }

    /// Adds `text`, in whose lines all text of guests and peers is escaped already. Those
    /// after the first are indented, so that none looks like a message of its own.
    pub(crate) fn block(&mut self, text: impl Display) -> &mut Self {
        for (index, line) in text.to_string().lines().enumerate() {
            let indent = if index == 0 || line.starts_with("  ") { "" } else { "  " };
            self.line(format_args!("{indent}{line}"));
        }
        self
    }

    /// Prints them on standard error, whole, so that what the guest writes meanwhile does
    /// not get in between.
    pub(crate) fn say(&self) {
        if log::is_json() {
            print_record(&log::message(self.0.trim_end()));
        } else {
            stderr::print(self.0.as_bytes());
        }
    }

    /// Prints them on standard output. That it is closed is no reason to fail.
    pub(crate) fn print(&self) {
        let _unread = std::io::stdout().write_all(self.0.as_bytes());
    }
}

impl Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints a line of JSON on standard error.
fn print_record(line: &str) {
    stderr::print(line.as_bytes());
}

/// Prints a text of the command's own on standard output, as it is.
pub(crate) fn print_own(text: &[u8]) {
    let _unread = std::io::stdout().write_all(text);
}

/// Prints why the command failed, or why the guest could not start.
pub(crate) fn failure(error: &(dyn std::error::Error + 'static), text: impl Display) {
    let mut lines = Lines::default();
    match error.downcast_ref::<MissingImports>() {
        // It breaks its lines itself.
        Some(missing) => lines.block(format_args!("wasock: {missing}")),
        None => lines.line(format_args!("wasock: {text}")),
    };
    lines.say();
}

/// The configuration whose keys are named in place of flags.
static KEYS: OnceLock<String> = OnceLock::new();

/// Has what allows something be named as a key of the configuration at `place`.
pub(crate) fn name_keys_of(place: &str) {
    _ = KEYS.set(place.to_owned());
}

/// How `flag`, one or more with their values, is written where this run has it.
fn as_written(flag: &str) -> String {
    match KEYS.get() {
        Some(place) => format!("{} in {place}", as_key(flag).unwrap_or_else(|| flag.to_owned())),
        None => flag.to_owned(),
    }
}

/// A flag with its value as a key; `None` for what a shell would take apart in another way.
fn as_key(flag: &str) -> Option<String> {
    let (key, value) = flag.strip_prefix("--")?.split_once(' ')?;
    let is_plain = !value.contains([' ', '\'', '"', '\\']);
    is_plain.then(|| format!("{key} = \"{value}\""))
}

/// Has the lines of `tracing` printed that this level, or `WASOCK_LOG`, asks for. What is in
/// them is escaped, as everywhere.
pub(crate) fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "wasock=info,warn",
        _ => "wasock=debug,info",
    };
    let fields = format::debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{}", Escaped(format_args!("{value:?}"))),
        name => write!(writer, "{name}={}", Escaped(format_args!("{value:?}"))),
    });
    // A log file needs no colours; "NO_COLOR ... when present and not an empty string" -
    // no-color.org
    let has_colors =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("WASOCK_LOG").unwrap_or_else(|_| EnvFilter::new(level)))
        .with_writer(|| stderr::Stderr)
        .with_ansi(has_colors && !log::is_json())
        .log_internal_errors(false)
        .fmt_fields(fields.delimited(" "));
    if log::is_json() { subscriber.event_format(LogLines).init() } else { subscriber.init() }
}

/// Prints a call.
pub(crate) fn call(line: &TraceLine<'_>) {
    if log::is_json() { print_record(&log::call(line)) } else { say!("{line}") }
}

/// Prints events, each one that repeats itself only once.
pub(crate) struct Terminal {
    told: Mutex<HashSet<String>>,
    instance_failures: Mutex<Failures>,
    process_failures: Mutex<Failures>,
    /// What is to be said once the guest listens.
    at_first_listener: Mutex<Option<String>>,
    verbose: bool,
}

/// How many failures of instances for connections are printed in a second, and how many of processes that the guest
/// starts: a client chooses how many there are, or the guest.
const MOST_FAILURES: u32 = 10;

/// Those of the current second.
#[derive(Default)]
struct Failures {
    since: Option<Instant>,
    printed: u32,
    unprinted: u64,
}

impl Failures {
    /// Is one more to be printed now? And how many were not, before the second that now begins.
    fn next(&mut self, now: Instant) -> (bool, u64) {
        let is_new = self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1));
        let mut missed = 0;
        if is_new {
            missed = self.unprinted;
            *self = Self { since: Some(now), printed: 0, unprinted: 0 };
        }
        let is_printed = self.printed < MOST_FAILURES;
        if is_printed {
            self.printed += 1;
        } else {
            self.unprinted += 1;
        }
        (is_printed, missed)
    }
}

impl Terminal {
    /// With `-v` the connections too. A server is told of what it will lack.
    pub(crate) fn new(verbose: u8, at_first_listener: Option<String>) -> Self {
        Self {
            told: Mutex::default(),
            instance_failures: Mutex::default(),
            process_failures: Mutex::default(),
            at_first_listener: Mutex::new(at_first_listener),
            verbose: verbose > 0,
        }
    }

    /// Those of which `event` is one, and what failed.
    fn failures_of(&self, event: &Event) -> Option<(&Mutex<Failures>, &'static str)> {
        match event {
            Event::InstanceFailed { .. } => Some((&self.instance_failures, "instances")),
            Event::Exited { trap: Some(_), .. } | Event::NotExecutable { .. } | Event::NotRun { .. } => {
                Some((&self.process_failures, "processes"))
            }
            _ => None,
        }
    }
}

impl Observer for Terminal {
    fn observe(&self, event: &Event) {
        manager::observe(event);
        learn::observe(event);
        if let Event::Unavailable { .. } = event {
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if told.len() > 1024 || !told.insert(format!("{event:?}")) {
                return;
            }
        }
        if let Some((failures, what)) = self.failures_of(event) {
            let mut failures = failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (is_printed, missed) = failures.next(Instant::now());
            drop(failures);
            if missed > 0 {
                say!("wasock: {missed} more {what} failed before");
            }
            if !is_printed {
                return;
            }
        }
        if let Event::Listening { result: Ok(_), .. } = event {
            let warning =
                self.at_first_listener.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            warning.into_iter().for_each(|warning| say!("wasock: {warning}"));
        }
        if log::is_json() {
            log::event(event, self.verbose).iter().for_each(|line| print_record(line));
        } else {
            event::print(event);
        }
    }

    fn wants_connections(&self) -> bool {
        self.verbose
    }

    /// What the guest writes next comes after the line about its call. With `-v` there
    /// is too much of it.
    fn inline(&self) -> bool {
        !self.verbose
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_a_key_where_its_value_is_plain() {
        let key = as_key("--connect 10.0.0.1:443");
        assert_eq!(key.as_deref(), Some("connect = \"10.0.0.1:443\""));
        for other in ["--listen unix:/a --connect unix:/b", "--resolve 'a b'", "--udp-strict", ""] {
            assert_eq!(as_key(other), None, "{other}");
        }
    }

    #[test]
    fn many_failures_are_a_line() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let printed = (0..25).filter(|_| failures.next(now) == (true, 0)).count();
        assert_eq!(printed, 10);
        assert_eq!(failures.next(now + Duration::from_secs(1)), (true, 15));
        assert_eq!(failures.next(now + Duration::from_secs(1)), (true, 0));
    }
}
