//! Processes: what a spawn and a fork take, beside those of the operating system; and a server of several processes
//! beside one with as many workers.

use super::build::{Built, Processes};
use super::client::load_values;
use super::process::{Process, free_address};
use super::run::Runner;
use super::server::Invocation;
use super::service::mark;
use super::stats::Spread;
use super::workload::Drive;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// How many children each run has. It tells their medians.
const CHILDREN: &str = "100";

/// The most that a spawn takes, and a fork with [`FORK_GOAL`] in use, to the end of the child, in microseconds.
const MOST: f64 = 2000.0;
const FORK_GOAL: u32 = 1024;

/// How many times as long as natively a spawn takes at most.
const MOST_TIMES: f64 = 2.0;

/// How many KiB a program that forks has in use.
const SIZES: [u32; 5] = [64, 256, 1024, 4096, 16384];

/// The processes of the server, as it is written, and the workers beside them.
const WORKERS: &str = "--workers=4";

/// The rate of the processes, by that of the workers.
const LEAST_RATE: f64 = 0.95;

/// A connection for each request, for each of these servers serves one at a time.
const DRIVE: Drive = Drive::Connect { connections: 16, is_burst: false };

/// Measures all of it, in so many rounds, and says it as a table.
///
/// # Errors
///
/// Where something does not compile, or a run fails.
pub(super) fn table(runner: &Runner<'_>, rounds: usize) -> Result<String> {
    let programs = Processes::build(&runner.built.folder)?;
    let mut text =
        String::from("| what | guest | beside | ratio | | goal | |\n|---|---|---|---|---|---|---|\n");
    let (program, nothing) = (programs.module("nothing"), programs.twin("nothing"));
    let spawn = times(runner.built, &programs, rounds, ["spawn", "/bin/nothing.wasm"], &nothing, &program)?;
    spawn.calls.line(&mut text, "spawn, until the call returns", Goals::NONE)?;
    let goals = Goals { most: Some(MOST), times: Some(MOST_TIMES) };
    spawn.lives.line(&mut text, "spawn of a small program from the cache, until it has ended", goals)?;
    for size in SIZES {
        let fork = times(runner.built, &programs, rounds, ["fork", &size.to_string()], &nothing, &program)?;
        let goals = if size == FORK_GOAL { Goals { most: Some(MOST), times: None } } else { Goals::NONE };
        fork.calls.line(
            &mut text,
            &format!("fork with {size} KiB in use, until the call returns"),
            Goals::NONE,
        )?;
        fork.lives.line(
            &mut text,
            &format!("fork with {size} KiB in use, until the child has ended"),
            goals,
        )?;
    }
    text += &servers(runner, &programs, rounds)?;
    Ok(text)
}

/// What is to be reached.
#[derive(Clone, Copy)]
struct Goals {
    /// The guest's own time, at most.
    most: Option<f64>,
    /// By the native one, at most.
    times: Option<f64>,
}

impl Goals {
    const NONE: Self = Self { most: None, times: None };
}

/// A time of the guest and one beside it, for each round, in microseconds.
#[derive(Default)]
struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    fn spread(&self, of: impl Fn(&(f64, f64)) -> f64) -> Result<Spread> {
        Spread::of(self.0.iter().map(of)).context("no figure")
    }

    fn line(&self, text: &mut String, what: &str, goals: Goals) -> Result<()> {
        let (guest, beside) = (self.spread(|pair| pair.0)?, self.spread(|pair| pair.1)?);
        let ratio = self.spread(|(guest, beside)| guest / beside)?;
        let mut goal = goals.most.map(|most| format!("at most {most:.0} us")).into_iter().collect::<Vec<_>>();
        goal.extend(goals.times.map(|times| format!("at most {times:.2}")));
        let is_reached = goals.most.is_none_or(|most| guest.median <= most)
            && goals.times.is_none_or(|times| ratio.median <= times);
        let mark = if goal.is_empty() { "" } else { mark(is_reached) };
        _ = writeln!(
            text,
            "| {what} | {:.1} us | {:.1} us | {:.2} | {:.2} to {:.2} | {} | {mark} |",
            guest.median,
            beside.median,
            ratio.median,
            ratio.min,
            ratio.max,
            goal.join(", ")
        );
        Ok(())
    }
}

/// Until the call returns, and until the child has ended.
#[derive(Default)]
struct Times {
    calls: Pairs,
    lives: Pairs,
}

/// The times of what `arguments` say, of which the second is `native` for the twin where it is a program.
fn times(
    built: &Built,
    programs: &Processes,
    rounds: usize,
    [what, of]: [&str; 2],
    native: &Path,
    program: &Path,
) -> Result<Times> {
    let exec = format!("{}::/bin/nothing.wasm", program.display());
    let guest = vec![
        "run".to_owned(),
        "--exec".to_owned(),
        exec,
        programs.module("process_times").display().to_string(),
    ];
    let mut times = Times::default();
    for _ in 0..rounds {
        let of_guest = said(built, &built.wasock, [guest.clone(), words([what, of, CHILDREN])].concat())?;
        let native_of = if what == "spawn" { native.display().to_string() } else { of.to_owned() };
        let arguments = words([what, &native_of, CHILDREN]);
        let of_twin = said(built, &programs.twin("process_times"), arguments)?;
        times.calls.0.push((of_guest.0, of_twin.0));
        times.lives.0.push((of_guest.1, of_twin.1));
    }
    Ok(times)
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

/// What a run says: until the call returned, and until the child had ended.
fn said(built: &Built, program: &Path, arguments: Vec<String>) -> Result<(f64, f64)> {
    let mut command = Invocation::new(program.to_owned(), arguments, built).as_child()?;
    command.stdout(Stdio::piped());
    let values =
        load_values(&Process::start(command, &built.folder.log("processes"))?.finish(WAIT_TIMEOUT)?.stdout)?;
    let value = |name: &str| values.get(name).copied().with_context(|| format!("no {name}"));
    Ok((value("call_us")?, value("life_us")?))
}

/// The lines of the servers.
fn servers(runner: &Runner<'_>, programs: &Processes, rounds: usize) -> Result<String> {
    let (mut rates, mut costs) = (Pairs::default(), Pairs::default());
    for _ in 0..rounds {
        let (prefork, workers) =
            (serve(runner, programs, &[], "workers")?, serve(runner, programs, &[WORKERS], "one")?);
        rates.0.push((prefork.0, workers.0));
        costs.0.push((prefork.1, workers.1));
    }
    let (guest, beside) = (rates.spread(|pair| pair.0)?, rates.spread(|pair| pair.1)?);
    let ratio = rates.spread(|(guest, beside)| guest / beside)?;
    let mut text = format!(
        "| HTTP by 4 processes that were forked, beside 4 workers, a connection each, 16 at once | {:.0} /s | {:.0} /s | {:.2} | {:.2} to \
         {:.2} | at least {LEAST_RATE:.2} | {} |\n",
        guest.median,
        beside.median,
        ratio.median,
        ratio.min,
        ratio.max,
        mark(ratio.median >= LEAST_RATE)
    );
    costs.line(&mut text, "the host's processor time of one", Goals::NONE)?;
    Ok(text)
}

/// Requests a second, and the processor time of one in microseconds.
fn serve(runner: &Runner<'_>, programs: &Processes, flags: &[&str], shape: &str) -> Result<(f64, f64)> {
    let address = free_address()?;
    let at = address.to_string();
    let mut arguments = words(["run", "--listen", &at]);
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    arguments.extend([programs.server().display().to_string(), shape.to_owned(), at]);
    let invocation = Invocation::new(runner.built.wasock.clone(), arguments, runner.built);
    let values = runner.run_at(address, &invocation, &DRIVE, 0.0)?.values;
    let value = |name: &str| values.get(name).copied().with_context(|| format!("no {name}"));
    Ok((value("rate")?, value("server_us")?))
}
