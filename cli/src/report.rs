//! Events and calls as lines on standard error.
//!
//! Standard error may have no reader any more, or one that has stalled: that is no reason for a
//! server to stop, so [`say!`] does not fail, where `eprintln!` would panic, nor block for long.
//!
//! Much of what is printed are names that a guest or a peer chose. All that the command
//! prints goes through [`Lines`], which escapes it; a test holds it to that.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format;
use wasock::{
    Address, DrainEnd, Errno, Escaped, Event, Limit, MissingImports, Observer, Refused, ReloadError,
    TraceLine,
};

use crate::log::{self, LogLines};
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

/// Prints what the operator should know.
fn event(event: &Event) {
    match event {
        Event::Listening { fd, local, result: Ok(_), .. } => say!("wasock: listening on {local} (fd {fd})"),
        Event::Bound { fd, local } => say!("wasock: bound on {local} (fd {fd})"),
        // Reported as denied or unavailable, if the operator can do something about it.
        Event::Listening { .. } => {}
        Event::BacklogChanged { fd, local, backlog, capacity } => {
            tracing::info!("{local} (fd {fd}): backlog {backlog}, {capacity} may wait");
        }
        Event::Accepted { listener, fd, peer, .. } => {
            tracing::info!("connection from {peer} (fd {fd}, listener {listener})");
        }
        Event::Refused { local, peer, why, .. } => {
            let why = match why {
                Refused::QueueFull => "the queue is full",
                Refused::Shrunk => "the queue became shorter",
                Refused::PeerLimit => "it has as many connections as it may",
                _ => "the policy takes no peer from there",
            };
            tracing::info!("refused {peer} at {local}: {why}");
        }
        Event::Closed { fd, local, peer: None, .. } => tracing::info!("{local} (fd {fd}) listens no more"),
        Event::Closed { fd, peer: Some(peer), .. } => tracing::info!("closed {peer} (fd {fd})"),
        Event::Dropped { fd, local, count } => {
            say!(
                "wasock: dropped {count} datagrams at {local} (fd {fd}): no --accept-from network has their senders"
            )
        }
        Event::Missed { count } => tracing::warn!("{count} events were too many to print"),
        Event::Denied { call, what, rule, flag } if flag.is_empty() => {
            say!("wasock: denied {call} of {what}: {rule}");
        }
        Event::Denied { call, what, rule, flag } => {
            say!("wasock: denied {call} of {what}: {rule}; allow it with {flag}")
        }
        Event::Unavailable { call, address, errno } => {
            let hint = hint(*errno, address);
            say!("wasock: {call} of {address} failed: {errno}{hint}");
        }
        Event::Limited { fd, local, peer, limit, most } => {
            say!("wasock: {}", limited(*fd, local, peer, *limit, *most))
        }
        Event::MemoryDenied { limit, most } => say!("wasock: {}", denied_memory(*limit, *most)),
        Event::TableFull { most } => {
            say!("wasock: the guest was denied a descriptor: it has as many as --max-fds {most} allows");
        }
        Event::Unclaimed { local, is_closed: true } => {
            say!("wasock: closed {local}: the guest does not bind there any more");
        }
        Event::Unclaimed { local, .. } => {
            say!("wasock: {local} was passed, and the guest does not bind there")
        }
        Event::Stubbed { module, name } => {
            say!("wasock: {module}.{name} is not implemented; it answers ENOSYS");
        }
        Event::NotAHandler { name } => {
            say!(
                "wasock: the export {name} is no handler for signals: it must be a function with one i32 and \
                 no result; signals are blocked"
            );
        }
        Event::HandlerTrapped { signal, trap } => {
            let (reason, backtrace) = trap.split_once('\n').unwrap_or((trap, ""));
            say!("wasock: {signal} ended the guest: its handler trapped: {reason}");
            backtrace.lines().for_each(|frame| tracing::info!("{frame}"));
        }
        Event::Restarted { trap, after } => {
            let when = if after.is_zero() { String::new() } else { format!(" in {after:?}") };
            Lines::default()
                .block(format_args!("wasock: the guest trapped and starts anew{when}: {trap}"))
                .say();
        }
        Event::InstanceRestarted { generation, worker, why, after } => {
            let when = if after.is_zero() { String::new() } else { format!(" in {after:?}") };
            let which = if *worker == 0 { String::new() } else { format!(" {worker}") };
            let which = format!("worker{which} of generation {generation}");
            Lines::default().block(format_args!("wasock: {which} ended and starts anew{when}: {why}")).say();
        }
        Event::Reloaded { generation } => say!("wasock: generation {generation} serves"),
        Event::ReloadFailed { generation, why } if *why == ReloadError::NotRunning.to_string() => {
            say!("wasock: no reload: the service ends, and generation {generation} with it");
        }
        Event::ReloadFailed { generation, why } => {
            let text =
                format!("wasock: no reload, the running program goes on: generation {generation}: {why}");
            Lines::default().block(text).say();
        }
        Event::DrainTimeout { generation, connections, cause } => {
            let why = match cause {
                DrainEnd::Timeout => "--drain-timeout",
                DrainEnd::Generations => "--max-generations",
                _ => "it failed",
            };
            say!("wasock: reset {connections} connections of generation {generation} ({why})");
        }
        Event::InstanceEnded { generation, worker, why, left } => {
            let text = format!(
                "wasock: worker {worker} of generation {generation} ended and stays so, {left} go on: {why}"
            );
            Lines::default().block(text).say();
        }
        Event::ServiceEnds { why, generations } => {
            let text = format!(
                "wasock: the guest ended, and {generations} generations drain; clients are refused: {why}"
            );
            Lines::default().block(text).say();
        }
        Event::GaveUp { instances } => {
            say!("wasock: {instances} instances in a row lived less than a second: the guest stays ended");
        }
        Event::ThreadsLeftBehind { count } => {
            tracing::info!("{count} threads of the guest wait in memory.atomic.wait for ever");
        }
        other => tracing::info!("{other:?}"),
    }
}

/// What a limit of the operator's does.
fn limited(fd: u32, local: &Address, peer: &Option<Address>, limit: Limit, most: u32) -> String {
    let flag = format!("--{} {most}", limit.name());
    match (limit, peer) {
        (Limit::Connections, _) => {
            format!("{local} (fd {fd}): clients wait: {most} connections are open ({flag})")
        }
        (Limit::ConnectionsPerListener, _) => {
            format!("{local} (fd {fd}): clients wait: it has {most} open connections ({flag})")
        }
        (Limit::ConnectionsPerPeer, Some(peer)) => {
            format!("{local} (fd {fd}): reset {peer}: that peer has {most} connections ({flag})")
        }
        (Limit::SocketBuffer, _) => format!("fd {fd}: a larger buffer was asked for than may be ({flag})"),
        _ => format!("{local} (fd {fd}): reached {flag}"),
    }
}

/// What a limit to memory does.
fn denied_memory(limit: Limit, most: u64) -> String {
    let (flag, whose) = match limit {
        Limit::Memory => ("memory", "its memories and tables have as much"),
        _ => ("host-memory", "the host holds as much for it"),
    };
    format!("the guest was denied memory: {whose} as --max-{flag} {most} allows")
}

/// What the operator can do.
fn hint(errno: Errno, address: &Address) -> &'static str {
    match (errno, address) {
        (Errno::EADDRINUSE, Address::Unix(_)) => {
            "; the name is taken: remove it, or have names removed with --unix-unlink"
        }
        (_, Address::Unix(_)) => "",
        (Errno::EADDRINUSE, _) => "; another program listens there: stop it, or choose another port",
        (Errno::EACCES, Address::Inet(inet)) if inet.port() < 1024 => {
            "; ports below 1024 need privileges: choose a higher one"
        }
        (Errno::EADDRNOTAVAIL, _) => "; this machine does not have that address",
        _ => "",
    }
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
    verbose: bool,
}

impl Terminal {
    /// With `-v` the connections too.
    pub(crate) fn new(verbose: u8) -> Self {
        Self { told: Mutex::default(), verbose: verbose > 0 }
    }
}

impl Observer for Terminal {
    fn observe(&self, event: &Event) {
        if let Event::Unavailable { .. } = event {
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if told.len() > 1024 || !told.insert(format!("{event:?}")) {
                return;
            }
        }
        if log::is_json() {
            log::event(event, self.verbose).iter().for_each(|line| print_record(line));
        } else {
            self::event(event);
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
