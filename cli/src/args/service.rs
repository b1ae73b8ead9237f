//! How instances are started anew, replaced and ended.

use std::time::Duration;

use clap::Args;
use wasock::{ReloadMode, Restart, Signal};

use crate::duration::parse_duration;

/// How many generations may live at once, where the operator does not say.
const MAX_GENERATIONS: u16 = 8;

#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Start the guest anew when it has ended: never, on-failure (a trap, a limit to its time, an
    /// exit code other than 0) or always. Its listeners stay, and clients wait meanwhile
    #[arg(long, value_name = "WHEN", default_value_t)]
    pub(crate) restart: Restart,

    /// At this signal read the module again, and the files of --config and --env-file, and put it in the
    /// place of the running one, without losing a client; the guest does not get the signal
    #[arg(long, value_name = "HUP|USR2", value_parser = parse_reload_signal)]
    pub(crate) reload_signal: Option<Signal>,

    /// Do so whenever the file of the module has changed, or one of --config or --env-file
    #[arg(long)]
    pub(crate) watch: bool,

    /// How a reload (--reload-signal, --watch) goes: overlap starts the new program beside the old one; sequential ends the old
    /// one first (SIGTERM), for programs that write files
    #[arg(long, value_name = "overlap|sequential", default_value_t)]
    pub(crate) reload_mode: ReloadMode,

    /// How long a new program may take to listen wherever the old one does, before it takes over
    /// with less, or is given up if it listens nowhere; with --per-connection, how long its start may take,
    /// also of the first [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) ready_timeout: Option<Duration>,

    /// How long a program that was replaced may go on with its connections; what is left is reset
    /// [default: 30s]. Where it is given, the first SIGTERM or SIGINT ends the service so, too
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) drain_timeout: Option<Duration>,

    /// Have a program that drains see the end of a connection through which nothing has gone for so
    /// long: servers close it then [default: none]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) drain_idle: Option<Duration>,

    /// Send this signal to a program when it is replaced, if it takes it as "end gracefully"
    /// [default: none]
    #[arg(long, value_name = "TERM|QUIT|...", value_parser = parse_signal)]
    pub(crate) drain_signal: Option<Signal>,

    /// How many generations may live at once (--reload-signal, --watch): one more reload ends the one that has drained longest
    #[arg(long, value_name = "N", default_value_t = MAX_GENERATIONS, value_parser = clap::value_parser!(u16).range(2..))]
    pub(crate) max_generations: u16,

    /// Run this many equal instances, each with a thread and a memory of its own, at the same
    /// listeners; auto is one for each processor [default: 1]
    #[arg(long, value_name = "N|auto", value_parser = parse_workers)]
    pub(crate) workers: Option<u32>,
}

impl ServiceArgs {
    /// Is more asked for than one run of one guest?
    pub(crate) fn is_service(&self) -> bool {
        self.restart != Restart::Never
            || self.is_reloaded()
            || self.drain_timeout.is_some()
            || self.drain_signal.is_some()
            || self.drain_idle.is_some()
            || self.workers.is_some()
    }

    /// Is there a way to order a reload?
    pub(crate) fn is_reloaded(&self) -> bool {
        self.reload_signal.is_some() || self.watch
    }

    /// What has no effect, because nothing is ever reloaded; where `first_counts`, the time that a
    /// program may take to be ready counts for the first one, too.
    pub(crate) fn without_reload(&self, first_counts: bool) -> Option<&'static str> {
        if self.is_reloaded() {
            return None;
        }
        [
            (self.reload_mode != ReloadMode::default(), "--reload-mode"),
            (self.ready_timeout.is_some() && !first_counts, "--ready-timeout"),
            (self.max_generations != MAX_GENERATIONS, "--max-generations"),
        ]
        .into_iter()
        .find_map(|(is_given, flag)| is_given.then_some(flag))
    }
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let all = [
        ("HUP", Signal::Hup),
        ("INT", Signal::Int),
        ("QUIT", Signal::Quit),
        ("TERM", Signal::Term),
        ("USR1", Signal::Usr1),
        ("USR2", Signal::Usr2),
        ("WINCH", Signal::Winch),
    ];
    let found = all.into_iter().find(|(known, _)| *known == name).map(|(_, signal)| signal);
    found.ok_or_else(|| "expected HUP, INT, QUIT, TERM, USR1, USR2 or WINCH".to_owned())
}

fn parse_reload_signal(text: &str) -> Result<Signal, String> {
    match parse_signal(text) {
        Ok(signal @ (Signal::Hup | Signal::Usr2)) => Ok(signal),
        _ => Err("expected HUP or USR2".to_owned()),
    }
}

/// More than this is a mistake.
const MOST_WORKERS: u32 = 1024;

fn parse_workers(text: &str) -> Result<u32, String> {
    if text == "auto" {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        return Ok(u32::try_from(processors).unwrap_or(1));
    }
    let count = text.parse().ok().filter(|count| (1..=MOST_WORKERS).contains(count));
    count.ok_or_else(|| format!("expected a number from 1 to {MOST_WORKERS}, or auto"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_number_or_auto() {
        assert_eq!(parse_workers("3"), Ok(3));
        assert!(parse_workers("auto").is_ok_and(|count| count > 0));
        for wrong in ["0", "-1", "many", "1025", ""] {
            assert!(parse_workers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reload_signal_is_one_of_two() {
        assert_eq!(parse_reload_signal("HUP"), Ok(Signal::Hup));
        assert_eq!(parse_reload_signal("SIGUSR2"), Ok(Signal::Usr2));
        assert!(parse_reload_signal("TERM").is_err());
    }
}
