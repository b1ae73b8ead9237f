//! The table of the peers, as Markdown.

use super::super::client::Values;
use super::super::limit::{is_disturbed, limit};
use super::super::report::{figure, ratio_text};
use super::super::run::{Load, Run};
use super::super::stats::{Spread, median};
use super::host::Host;
use std::fmt::Write as _;

/// How many letters of a failure the table has.
const MAX_FAILURE: usize = 200;

const COMPONENT: &str = "the same source but for `sys/p2`, as a component: `wasi:sockets` and `wasi:io` of WASI 0.2, in \
     which a read returns a new list and each wait names all pollables; there is no epoll. It is the very component that \
     Wasmtime runs";

const WASMTIME_LIBRARY: &str = "the same component by `benches/component.rs`, which sets up Wasmtime and `wasmtime-wasi` \
     as the command `wasmtime run` does, in the versions that this host is built with. No `TCP_NODELAY`; one thread runs the \
     guest, and tokio's wait";

/// One host in one contest.
pub(super) struct Row {
    contest: &'static str,
    host: &'static str,
    pub(super) runs: Vec<Run>,
    /// Its rate, and its processor time for a request, by the native twin's of the same round.
    ratios: Vec<f64>,
    costs: Vec<f64>,
    /// Why it did not serve, or not to the end.
    pub(super) failure: Option<String>,
}

impl Row {
    pub(super) fn new(contest: &'static str, host: &'static str) -> Self {
        Self { contest, host, runs: Vec::new(), ratios: Vec::new(), costs: Vec::new(), failure: None }
    }

    /// Compares the run of this round, where there is one, with the native twin's.
    pub(super) fn compare_last_with(&mut self, twin: &Values) {
        let Some(run) = self.runs.get(self.ratios.len()) else { return };
        let ratio = |key: &str| Some(run.values.get(key)? / twin.get(key)?);
        self.ratios.extend(ratio("rate"));
        self.costs.extend(ratio("server_us"));
    }

    fn line(&self) -> String {
        let Self { contest, host, .. } = self;
        if let Some(why) = &self.failure {
            // Its words may have lines and bars, and be many: all of them were printed.
            let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
            let why: String = why.chars().take(MAX_FAILURE).collect();
            let why = why.replace('|', "\\|");
            return format!("| {contest} | {host} | no figure: {why} | | | | |\n");
        }
        let value = |key: &str| median(self.runs.iter().filter_map(|run| run.values.get(key).copied()));
        let cell = |key, unit| value(key).map_or("none".to_owned(), |value| figure(value, unit));
        let ratio = |ratios: &[f64]| Spread::of(ratios.iter().copied()).map_or("none".to_owned(), ratio_text);
        let (rate, cost) = (cell("rate", "requests/s"), cell("server_us", "us"));
        let (ratio, costs) = (ratio(&self.ratios), ratio(&self.costs));
        let limit = self
            .load()
            .map_or(String::new(), |load| limit(load) + if is_disturbed(load) { ", disturbed" } else { "" });
        format!("| {contest} | {host} | {rate} | {ratio} | {cost} | {costs} | {limit} |\n")
    }

    /// How busy the processors were in the middle one of the runs.
    fn load(&self) -> Option<Load> {
        let middle =
            |part: fn(&Load) -> f64| median(self.runs.iter().filter_map(|run| run.load.as_ref()).map(part));
        Some(Load {
            client: middle(|load| load.client)?,
            server: middle(|load| load.server)?,
            machine: middle(|load| load.machine)?,
        })
    }
}

/// Everything that is written down.
pub(super) struct Page {
    how: String,
    machine: Vec<(&'static str, String)>,
    hosts: Vec<String>,
    /// The peers that are not here.
    pub(super) missing: Vec<String>,
    pub(super) rows: Vec<Row>,
    pub(super) commands: Vec<(&'static str, Vec<String>)>,
}

impl Page {
    pub(super) fn new(how: String, machine: Vec<(&'static str, String)>, hosts: &[Host]) -> Self {
        let described = |host: &Host| match host {
            Host::Ours(_) => None,
            Host::OurComponent => Some(format!("{}: {COMPONENT}", host.name())),
            Host::WasmtimeLibrary => Some(format!("{}: {WASMTIME_LIBRARY}", host.name())),
            Host::Peer(peer, installed) => {
                Some(format!("{} ({}): {}", peer.name, installed.version, peer.difference))
            }
        };
        let hosts = hosts.iter().filter_map(described).collect();
        Self { how, machine, hosts, missing: Vec::new(), rows: Vec::new(), commands: Vec::new() }
    }

    pub(super) fn table(&self) -> String {
        let mut text = String::from(
            "| what | host | rate | by the native twin's (min..max) \
             | processor time a request | by the native twin's (min..max) | limit |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            text += &row.line();
        }
        text
    }

    /// The whole page.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "# Peers\n\n{} How to read the table: [benches/README.md](../../benches/README.md#peers).\n\n",
            self.how
        );
        for (name, value) in &self.machine {
            _ = writeln!(text, "* {name}: {value}");
        }
        _ = write!(text, "\n{}", self.table());
        text += "\n## What is different\n\n";
        for line in self.hosts.iter().chain(&self.missing) {
            _ = writeln!(text, "* {line}.");
        }
        text += "\n## Commands\n\nEach run has a port of its own.\n";
        for (name, commands) in &self.commands {
            _ = write!(text, "\n{name}:\n\n```sh\n{}\n```\n", commands.join("\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Load, Row, Run, Values};

    fn values(rate: f64, server_us: f64) -> Values {
        Values::from([("rate".to_owned(), rate), ("server_us".to_owned(), server_us)])
    }

    fn run(rate: f64, server_us: f64) -> Run {
        let load = Some(Load { client: 0.5, server: 0.99, machine: 1.5 });
        Run { values: values(rate, server_us), load }
    }

    #[test]
    fn each_figure_is_compared_with_the_twin_s_of_its_round() {
        let mut row = Row::new("x", "peer");
        for (rate, twin) in [(50.0, 100.0), (60.0, 100.0), (90.0, 300.0)] {
            row.runs.push(run(rate, 9.0));
            row.compare_last_with(&values(twin, 6.0));
        }
        assert_eq!(
            row.line(),
            "| x | peer | 60.0 requests/s | 0.50 (0.30..0.60) | 9.00 us | 1.50 (1.50..1.50) | server |\n"
        );
    }

    #[test]
    fn who_fails_has_no_figure_and_says_why() {
        let mut row = Row::new("x", "peer");
        row.runs.push(run(50.0, 9.0));
        row.compare_last_with(&values(100.0, 6.0));
        row.failure = Some("it said\n a|b".to_owned());
        // A round without a run.
        row.compare_last_with(&values(100.0, 6.0));
        assert_eq!(row.line(), "| x | peer | no figure: it said a\\|b | | | | |\n");
        row.failure = Some("long".repeat(1000));
        assert!(row.line().len() < 300);
    }
}
