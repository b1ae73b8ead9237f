//! `cargo xtask bench --peers`: this host beside others, where they are installed.
//!
//! All serve the same HTTP, from the same source where their ABI allows. They run in turn
//! (A B C A B C), and each figure is compared with the native twin's of the same round.

mod host;
mod table;

use super::Options;
use super::machine;
use super::process::{free_address, shown};
use super::run::{Run, Runner};
use super::workload::Drive;
use anyhow::{Context, Result, bail};
use host::{Host, PEERS, Peer};
use std::fs;
use std::process::ExitCode;
use table::{Page, Row};
use xtask::workspace::workspace_dir;

/// What all of them do.
struct Contest {
    name: &'static str,
    /// How the server waits.
    way: &'static str,
    drive: Drive,
}

fn contests() -> [Contest; 3] {
    let keep_alive = Drive::Http { connections: 32 };
    [
        Contest { name: "keep-alive HTTP, poll, 32 connections", way: "poll", drive: keep_alive.clone() },
        Contest { name: "keep-alive HTTP, epoll, 32 connections", way: "epoll", drive: keep_alive },
        Contest { name: "churn, poll, 16 at once", way: "poll", drive: Drive::Churn { connections: 16 } },
    ]
}

/// The names of the contests.
pub(super) fn names() -> [&'static str; 3] {
    contests().map(|contest| contest.name)
}

/// Measures, prints the table and writes it down.
///
/// # Errors
///
/// When something cannot be built, or when this host or the native twin fails. A peer that
/// fails is named in the table.
pub(super) fn run(options: &Options, runner: &Runner<'_>, how: String) -> Result<ExitCode> {
    let hosts = Host::all(runner.built)?;
    let mut page = Page::new(how, machine::description(&workspace_dir()), &hosts);
    for Peer { name, install, variable, .. } in PEERS.iter().filter(|peer| peer.find().is_none()) {
        let missing = format!("{name}: not here. `{install}` installs it, or {variable}=PATH names it");
        eprintln!("{missing}");
        page.missing.push(missing);
    }
    for contest in contests().iter().filter(|contest| options.is_wanted(contest.name)) {
        eprintln!("{}", contest.name);
        page.rows.extend(measure(runner, &hosts, contest, options.rounds)?);
        page.commands.push((contest.name, commands(runner, &hosts, contest)?));
    }
    let path = if options.is_accepted {
        workspace_dir().join("docs/performance/peers.md")
    } else {
        runner.built.folder.file("peers.md")
    };
    fs::write(&path, page.text()).with_context(|| path.display().to_string())?;
    println!("\n{}", page.table());
    eprintln!("all of it: {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Runs all hosts in turn, so many rounds.
fn measure(runner: &Runner<'_>, hosts: &[Host], contest: &Contest, rounds: usize) -> Result<Vec<Row>> {
    let able = hosts.iter().filter(|host| host.has(contest.way));
    let mut rows: Vec<(&Host, Row)> = able.map(|host| (host, Row::new(contest.name, host.name()))).collect();
    for _ in 0..rounds {
        let mut twin = None;
        for (host, row) in &mut rows {
            // A host that has failed twice does not run again.
            if row.failure.is_some() {
                continue;
            }
            match serve(runner, host, contest) {
                Ok(run) => {
                    if host.is_twin() {
                        twin = Some(run.values.clone());
                    }
                    row.runs.push(run);
                }
                Err(error) if host.is_peer() => {
                    eprintln!("       {}: {error:#}", host.name());
                    row.failure = Some(format!("{error:#}"));
                }
                Err(error) => return Err(error.context(host.name())),
            }
        }
        let Some(twin) = twin else { bail!("no figure of the native twin") };
        for (_, row) in &mut rows {
            row.compare_last_with(&twin);
        }
    }
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// One run; a machine that was busy otherwise for a moment is no reason to give up.
fn serve(runner: &Runner<'_>, host: &Host, contest: &Contest) -> Result<Run> {
    let once = || {
        let address = free_address()?;
        let invocation = host.invocation(runner.built, contest.way, address);
        runner.run_at(address, &invocation, &contest.drive, 0.0)
    };
    once().or_else(|error| {
        eprintln!("       {}, once more: {error:#}", host.name());
        once()
    })
}

/// All servers and the client, as one would type them.
fn commands(runner: &Runner<'_>, hosts: &[Host], contest: &Contest) -> Result<Vec<String>> {
    let address = free_address()?;
    let able = hosts.iter().filter(|host| host.has(contest.way));
    let mut commands: Vec<String> =
        able.map(|host| host.invocation(runner.built, contest.way, address).text()).collect();
    let client = shown(&runner.clients.client(&contest.drive, address, 0.0)?.command);
    // Our own client is this program itself, wherever it lies.
    let words = client.split(' ').map(|word| if word.starts_with('/') { "xtask" } else { word });
    commands.push(words.collect::<Vec<_>>().join(" "));
    let port = address.port().to_string();
    Ok(commands.iter().map(|command| command.replace(&port, "PORT")).collect())
}
