//! `cargo xtask bench`: guests against their native twins.
//!
//! Each server is one source, compiled twice. Both sides run in turn, each run in a new
//! process on a port of its own, and are driven by a client that is a process too, so that
//! all three can be watched: a figure tells how fast the server is only where the server
//! is what was busy.

mod big_module;
mod build;
mod calls;
mod client;
mod goal;
mod growth;
mod instances;
mod instructions;
mod limit;
mod load;
mod machine;
mod measure;
mod options;
mod own;
mod peers;
mod process;
mod processes;
mod report;
mod run;
mod server;
mod service;
mod soak;
mod stats;
mod syscalls;
mod workers;
mod workload;

use anyhow::{Context, Result};
use build::Built;
use client::Clients;
use growth::Growth;
use measure::measure;
use options::{HELP, INSTANCES, Options, PROCESSES, Part, RELOADS, WORKERS};
use process::raise_descriptors;
use report::Report;
use run::Runner;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};
use xtask::setup;
use xtask::workspace::workspace_dir;

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<ExitCode> {
    let arguments = || env::args().skip(1);
    match arguments().next().as_deref() {
        // What the harness starts, itself.
        Some("__child") => process::become_child(env::args_os().skip(2)).map(|()| ExitCode::FAILURE),
        Some("__soak") => soak::main(&arguments().skip(1).collect::<Vec<_>>()),
        Some("__load") => load::main(env::args().skip(2)).map(|()| ExitCode::SUCCESS),
        Some("--help" | "-h") => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => run(&arguments().collect::<Vec<_>>()),
    }
}

/// Measures what the arguments ask for.
///
/// # Errors
///
/// When something cannot be built. A workload that fails is reported, and the others go on.
fn run(arguments: &[String]) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    options.check_only(raise_descriptors())?;
    if options.part == Some(Part::Instructions) {
        return instructions::run(options.is_accepted);
    }
    let has = |program: &str, package: &str| setup::ensure_tool(program, package);
    let clients =
        Clients { wrk: has("wrk", "wrk"), ab: has("ab", "apache2-utils"), seconds: options.seconds };
    let how = format!(
        "By `cargo xtask bench{}`: medians of {} rounds of {} s",
        arguments.iter().map(|argument| format!(" {argument}")).collect::<String>(),
        options.rounds,
        options.seconds
    );
    if options.part == Some(Part::Peers) {
        let runner = Runner { built: &Built::build()?, clients };
        return peers::run(&options, &runner, format!("{how}, all hosts in turn."));
    }
    if let Some(file) = &options.own {
        return own::run(&options, file);
    }
    let has_strace = has("strace", "strace");
    let built = Built::build()?;
    let begun = Instant::now();
    let mut report = Report {
        how: format!("{how}, guest and native twin in turn."),
        machine: machine::description(&workspace_dir()),
        ..Report::default()
    };
    let mut has_failed = false;
    if options.part.is_none() {
        has_failed = workloads(&options, &Runner { built: &built, clients }, &mut report);
    }
    let mut section = |heading, table: Result<String>| match table {
        Ok(table) => report.sections.push((heading, table)),
        Err(error) => {
            has_failed = true;
            report.skipped.push(format!("{heading}: {error:#}"));
        }
    };
    if options.has(Part::Service) && options.is_wanted(RELOADS) {
        section("Services", service::table(&built, clients, options.is_quick));
    }
    let has_services = options.has(Part::Service) || options.is_whole_quick();
    if has_services && options.is_wanted(WORKERS) {
        section("Workers", workers::table(&Runner { built: &built, clients }, options.rounds));
    }
    if has_services && options.is_wanted(PROCESSES) {
        section("Processes", processes::table(&Runner { built: &built, clients }, options.rounds));
    }
    if has_services && options.is_wanted(INSTANCES) {
        section("Instances", instances::table());
    }
    if options.has(Part::Syscalls) && has_strace {
        section("System calls", syscalls::table(&built, |name| options.is_wanted(name)));
    }
    if options.has(Part::Calls) {
        section("Host calls", calls::table());
    }
    let path = if options.is_full() {
        workspace_dir().join("docs/performance/results.md")
    } else {
        built.folder.file("results.md")
    };
    fs::write(&path, report.page()).with_context(|| path.display().to_string())?;
    println!("\n{}", report.tables());
    eprintln!("{:.0} s; all of it: {}", begun.elapsed().as_secs_f64(), path.display());
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs the workloads; tells whether one has failed.
fn workloads(options: &Options, runner: &Runner<'_>, report: &mut Report) -> bool {
    let mut has_failed = false;
    let descriptors = raise_descriptors();
    let all = workload::all(descriptors);
    let wanted: Vec<_> = all
        .iter()
        .filter(|workload| options.is_wanted(&workload.name) && (workload.is_in_quick || !options.is_quick))
        .collect();
    for (place, workload) in wanted.iter().enumerate() {
        eprintln!("{:>2}/{}: {}", place + 1, wanted.len(), workload.name);
        if u64::try_from(workload.descriptors()).is_ok_and(|needed| needed > descriptors) {
            let name = &workload.name;
            report
                .skipped
                .push(format!("{name}: this machine allows {descriptors} descriptors (`ulimit -Hn`)"));
            continue;
        }
        match measure(runner, workload, options.rounds) {
            Ok(outcome) => {
                report.rows.extend(outcome.rows);
                report.commands.push((workload.name.clone(), outcome.commands));
            }
            Err(error) => {
                has_failed = true;
                eprintln!("       {error:#}");
                report.skipped.push(format!("{}: {error:#}", workload.name));
            }
        }
    }
    report.growth = Growth::of(&report.rows);
    has_failed
}
