//! The tables, as Markdown.

use super::growth::Growth;
use super::limit::{is_disturbed, limit, others};
use super::measure::Row;
use super::run::Load;
use super::stats::Spread;
use std::fmt::Write as _;

/// Everything that is written down.
#[derive(Default)]
pub(super) struct Report {
    /// How it was run: the command, the rounds.
    pub(super) how: String,
    pub(super) machine: Vec<(&'static str, String)>,
    pub(super) rows: Vec<Row>,
    pub(super) growth: Vec<Growth>,
    /// Whole sections of other measurements: a heading, and what stands below.
    pub(super) sections: Vec<(&'static str, String)>,
    /// What was not measured, and why.
    pub(super) skipped: Vec<String>,
    pub(super) commands: Vec<(String, Vec<String>)>,
}

impl Report {
    /// The tables of ratios.
    pub(super) fn tables(&self) -> String {
        let mut text = String::new();
        _ = writeln!(text, "| what | guest | native twin | ratio (min..max) | goal | | limit |");
        _ = writeln!(text, "|---|---|---|---|---|---|---|");
        for row in &self.rows {
            text += &line(row);
        }
        if !self.growth.is_empty() {
            _ = writeln!(
                text,
                "\nHow the time of a request grows with the number of others that are open:\n"
            );
            _ = writeln!(text, "| series | guest | native twin | ratio (min..max) | goal | |");
            _ = writeln!(text, "|---|---|---|---|---|---|");
            for growth in &self.growth {
                text += &growth.line();
            }
        }
        for (heading, body) in &self.sections {
            _ = write!(text, "\n## {heading}\n\n{body}");
        }
        for skipped in &self.skipped {
            _ = write!(text, "\nNot measured: {skipped}\n");
        }
        text
    }

    /// The whole page.
    pub(super) fn page(&self) -> String {
        let mut text = format!(
            "# Results\n\n{} How to read the table and how to make it anew: [benches/README.md](../../benches/README.md).\n\n",
            self.how
        );
        for (name, value) in &self.machine {
            _ = writeln!(text, "* {name}: {value}");
        }
        text += "\n## Guest against native twin\n\n";
        text += &self.tables();
        text += &self.loads();
        text += "\n## Commands\n\nGuest, native twin and client; each run has a port of its own.\n";
        for (name, commands) in &self.commands {
            _ = write!(text, "\n{name}:\n\n```sh\n{}\n```\n", commands.join("\n"));
        }
        text
    }

    /// Which processes were busy, by row.
    fn loads(&self) -> String {
        let mut text = String::from(
            "\n## Which processes were busy\n\nProcessors in use on average, in the runs of the guest and of the twin. \
             Others: whatever else ran on the machine, the kernel's own threads too. Cost: the server's \
             processor time for one request, connection or byte.\n\n\
             | what | guest: client + server, others | twin: client + server, others | cost, guest | cost, twin |\n\
             |---|---|---|---|---|\n",
        );
        for row in &self.rows {
            if let Some(loads) = row.loads.filter(|_| row.is_first) {
                let cell = |load: Load| {
                    let doubt = if is_disturbed(load) { ": disturbed" } else { "" };
                    format!("{:.2} + {:.2}, {:.2}{doubt}", load.client, load.server, others(load))
                };
                let costs = loads.costs.map(|(guest, twin)| (cost(guest), cost(twin))).unwrap_or_default();
                let (guest, twin) = (cell(loads.guest), cell(loads.twin));
                _ = writeln!(text, "| {} | {guest} | {twin} | {} | {} |", row.what, costs.0, costs.1);
            }
        }
        text
    }
}

fn line(row: &Row) -> String {
    let (Some(guest), Some(twin)) = (row.guest(), row.twin()) else {
        return format!("| {} | no figure | | | | | |\n", row.what);
    };
    let ratio = row.ratio();
    let goal = row.goal.text(row.unit);
    let mark = mark(row.goal.is_reached(guest, ratio));
    let limit = row.loads.map_or(String::new(), |loads| {
        let (guest, twin) = (limit(loads.guest), limit(loads.twin));
        let doubt = if is_disturbed(loads.guest) || is_disturbed(loads.twin) { ", disturbed" } else { "" };
        if guest == twin { format!("{guest}{doubt}") } else { format!("{guest} / {twin}{doubt}") }
    });
    let (guest, twin) = (figure(guest.median, row.unit), figure(twin.median, row.unit));
    let ratio = ratio.map_or("none".to_owned(), ratio_text);
    format!("| {} | {guest} | {twin} | {ratio} | {goal} | {mark} | {limit} |\n", row.what)
}

/// So many microseconds.
fn cost(microseconds: f64) -> String {
    // A byte costs less than one.
    if microseconds < 0.1 { figure(microseconds * 1e6, "ps") } else { figure(microseconds, "us") }
}

pub(super) fn mark(is_reached: Option<bool>) -> &'static str {
    match is_reached {
        None => "",
        Some(true) => "reached",
        Some(false) => "**missed**",
    }
}

pub(super) fn ratio_text(ratio: Spread) -> String {
    format!("{:.2} ({:.2}..{:.2})", ratio.median, ratio.min, ratio.max)
}

/// A figure with as many digits as mean something, and its unit.
pub(super) fn figure(value: f64, unit: &str) -> String {
    let (value, unit) = match unit {
        "bytes/s" => (value / 1e6, "MB/s"),
        unit => (value, unit),
    };
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let plain = format!("{value:.digits$}");
    format!("{} {unit}", with_commas(&plain))
}

/// `1234567.8` as `1,234,567.8`.
fn with_commas(number: &str) -> String {
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::super::goal::Goal;
    use super::super::measure::{Loads, Row};
    use super::super::run::Load;
    use super::{figure, line, with_commas};

    #[test]
    fn figures_have_few_digits() {
        assert_eq!(figure(92_030.91, "requests/s"), "92,031 requests/s");
        assert_eq!(figure(1_234_567_890.0, "bytes/s"), "1,235 MB/s");
        assert_eq!(figure(12.345, "us"), "12.3 us");
        assert_eq!(figure(1.2, "ms"), "1.20 ms");
        assert_eq!(with_commas("-123456"), "-123,456");
        assert_eq!(with_commas("999"), "999");
    }

    #[test]
    fn a_row_tells_all() {
        let load = |client, server| Load { client, server, machine: client + server };
        let loads = Some(Loads { guest: load(0.8, 0.99), twin: load(0.99, 0.8), costs: None });
        let goal = Goal::RatioAtLeast(0.9);
        let pairs = vec![(80.0, 100.0), (95.0, 100.0), (96.0, 100.0)];
        let mut row = Row {
            what: "x".to_owned(),
            unit: "requests/s",
            goal,
            pairs,
            loads,
            is_first: true,
            series: None,
        };
        assert_eq!(
            line(&row),
            "| x | 95.0 requests/s | 100 requests/s | 0.95 (0.80..0.96) | at least 0.90 | reached | \
             server / CLIENT |\n"
        );
        row.pairs = vec![(80.0, 100.0)];
        assert!(line(&row).contains("**missed**"));
        // Nothing that divides by nothing is a ratio.
        row.pairs = vec![(80.0, 0.0)];
        assert!(line(&row).contains("| none |"));
    }
}
