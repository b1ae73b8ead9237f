//! Runs of a workload, guest and twin in turn, and the rows that come of them.

use super::goal::Goal;
use super::process::{free_address, shown};
use super::run::{Load, Run, Runner};
use super::server::{SIDES, Side};
use super::stats::{Spread, median};
use super::workload::{Drive, Measure, Module, Workload};
use anyhow::{Context, Result, bail};

/// One line of the table.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) goal: Goal,
    /// The guest's figure and the twin's, a pair for each round.
    pub(super) pairs: Vec<(f64, f64)>,
    pub(super) loads: Option<Loads>,
    /// Whether it is the first row of its workload.
    pub(super) is_first: bool,
    pub(super) series: Option<(&'static str, usize)>,
}

/// How busy the processors were in the middle one of the runs.
#[derive(Clone, Copy)]
pub(super) struct Loads {
    pub(super) guest: Load,
    pub(super) twin: Load,
    /// The processor time of the server for one request or connection, in microseconds:
    /// the guest's and the twin's.
    pub(super) costs: Option<(f64, f64)>,
}

impl Row {
    pub(super) fn guest(&self) -> Option<Spread> {
        Spread::of(self.pairs.iter().map(|(guest, _)| *guest))
    }

    pub(super) fn twin(&self) -> Option<Spread> {
        Spread::of(self.pairs.iter().map(|(_, twin)| *twin))
    }

    /// Guest by twin. Each pair ran within seconds: what the machine did to one of them it
    /// did to the other.
    pub(super) fn ratio(&self) -> Option<Spread> {
        Spread::of(self.pairs.iter().map(|(guest, twin)| guest / twin))
    }
}

/// What came of a workload.
pub(super) struct Outcome {
    pub(super) rows: Vec<Row>,
    /// The commands, as one would type them.
    pub(super) commands: Vec<String>,
}

/// Runs a workload for so many rounds.
///
/// # Errors
///
/// When a server or a client fails.
pub(super) fn measure(runner: &Runner<'_>, workload: &Workload, rounds: usize) -> Result<Outcome> {
    let service = workload.service.clone().with_descriptors(workload.descriptors());
    let workload = Workload { service, ..workload.clone() };
    let rate = half_load(runner, &workload)?;
    let mut runs: Vec<(Run, Run)> = Vec::new();
    for round in 0..rounds {
        let mut pair = SIDES.iter().map(|side| {
            let run = || runner.run(&workload.service, &workload.drive, *side, rate);
            // A machine that was busy otherwise for a moment is no reason to give up.
            let run = run().or_else(|error| {
                eprintln!("       once more: {error:#}");
                run()
            });
            run.with_context(|| format!("round {}, {side:?}", round + 1))
        });
        let (Some(guest), Some(twin)) = (pair.next(), pair.next()) else { bail!("two sides") };
        runs.push((guest?, twin?));
    }
    let rows = rows(&workload.name, &workload.measures, &runs, workload.series)?;
    Ok(Outcome { rows, commands: commands(runner, &workload, rate)? })
}

/// Half of what the slower side can do, in whole requests a second.
fn half_load(runner: &Runner<'_>, workload: &Workload) -> Result<f64> {
    let Drive::HalfLoad { connections } = workload.drive else { return Ok(0.0) };
    let mut slower = f64::INFINITY;
    for side in SIDES {
        slower = slower.min(runner.capacity(&workload.service, connections, side)?);
    }
    Ok((slower / 2.0).floor())
}

/// The rows of what is called `name`, one for each measure.
pub(super) fn rows(
    name: &str,
    measures: &[Measure],
    runs: &[(Run, Run)],
    series: Option<(&'static str, usize)>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for Measure { what, key, unit, goal } in measures {
        let value = |run: &Run| {
            let value = run.values.get(*key).copied();
            value.with_context(|| format!("{name} tells no {key}"))
        };
        let pairs =
            runs.iter().map(|(guest, twin)| Ok((value(guest)?, value(twin)?))).collect::<Result<_>>()?;
        let what = if what.is_empty() { name.to_owned() } else { format!("{name}: {what}") };
        let (loads, is_first) = (loads(runs), rows.is_empty());
        rows.push(Row { what, unit, goal: *goal, pairs, loads, is_first, series });
    }
    Ok(rows)
}

fn loads(runs: &[(Run, Run)]) -> Option<Loads> {
    let middle = |side: fn(&(Run, Run)) -> &Run| {
        let loads: Vec<Load> = runs.iter().filter_map(|pair| side(pair).load).collect();
        Some(Load {
            client: median(loads.iter().map(|load| load.client))?,
            server: median(loads.iter().map(|load| load.server))?,
            machine: median(loads.iter().map(|load| load.machine))?,
        })
    };
    let cost = |side: fn(&(Run, Run)) -> &Run| {
        median(runs.iter().filter_map(|pair| side(pair).values.get("server_us").copied()))
    };
    let costs = cost(|pair| &pair.0).zip(cost(|pair| &pair.1));
    Some(Loads { guest: middle(|pair| &pair.0)?, twin: middle(|pair| &pair.1)?, costs })
}

/// Guest, twin and client, as one would type them.
fn commands(runner: &Runner<'_>, workload: &Workload, rate: f64) -> Result<Vec<String>> {
    let address = free_address()?;
    let (service, module) = match workload.drive {
        Drive::Start { module, is_cached: false } => {
            (workload.service.clone().with_flag("--no-cache"), module)
        }
        Drive::Start { module, .. } => (workload.service.clone(), module),
        _ => (workload.service.clone(), Module::Small),
    };
    let server = |side: Side| service.command(runner.built, side, module, address).text();
    let mut commands = vec![server(Side::Guest), server(Side::Twin)];
    if !matches!(workload.drive, Drive::Start { .. }) {
        let client = shown(&runner.clients.client(&workload.drive, address, rate)?.command);
        // Our own client is this program itself, wherever it lies.
        let words = client.split(' ').map(|word| if word.starts_with('/') { "xtask" } else { word });
        commands.push(words.collect::<Vec<_>>().join(" "));
    }
    let port = address.port().to_string();
    Ok(commands.iter().map(|command| command.replace(&port, "PORT")).collect())
}
