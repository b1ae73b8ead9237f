//! The command `wasock`: arguments to grants, events to lines, endings to exit codes.
//!
//! What goes to standard error begins with `wasock: `, to distinguish it from what the
//! guest writes there.

mod admin;
mod args;
mod check;
mod config;
mod ctl;
mod duration;
mod env_file;
mod generate;
mod idle;
mod inspect;
mod json;
mod log;
mod manager;
mod reload;
mod report;
mod run;
mod serve;
mod signal;
mod sockets;
mod start;
mod stderr;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Args, Command};
use config::Config;
use report::say;

/// A usage error, as shells have it.
const USAGE: u8 = 2;

/// Any other error.
const FAILURE: u8 = 1;

/// Runs the command that the process's arguments name.
fn main() -> ExitCode {
    let args = match arguments(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(code) => return code,
    };
    let done = match args.command {
        Command::Run(args) => run::run(*args),
        Command::Inspect(args) => inspect::inspect(&args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::check(&args),
        Command::Ctl(args) => ctl::ctl(&args),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { command } => generate::man(command.as_deref()),
    };
    done.unwrap_or_else(|error| {
        report::failure(error.root_cause(), format_args!("{error:#}{}", start::cure(&error)));
        ExitCode::from(FAILURE)
    })
}

/// What the command line says, and the file that it names.
///
/// # Errors
///
/// The exit code, once it is said what is wrong.
fn arguments(given: Vec<OsString>) -> Result<Args, ExitCode> {
    let matches = Args::command().try_get_matches_from(&given).map_err(|error| usage(&error))?;
    let args = Args::from_arg_matches(&matches).map_err(|error| usage(&error))?;
    let Command::Run(run) = &args.command else { return Ok(args) };
    let (Some(path), Some(("run", matches))) = (&run.config, matches.subcommand()) else {
        return args.complete().map_err(|error| usage(&error));
    };
    let config = Config::load(path).map_err(|mistakes| {
        mistakes.say();
        ExitCode::from(USAGE)
    })?;
    let combined = config.combined(&given, matches);
    let args = Args::read(combined).map_err(|error| usage(&error))?;
    match &args.command {
        Command::Run(run) if run.command.is_empty() => {
            say!("wasock: no module: neither an argument nor the key `module` names one (--config)");
            Err(ExitCode::from(USAGE))
        }
        _ => Ok(args),
    }
}

/// Why the command line was refused, in one line.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let reason = text.split("\n\n").next().unwrap_or_default();
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    reason.strip_prefix("error: ").unwrap_or(&reason).to_owned()
}

/// Help where it was asked for, and one line where an argument is wrong.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed standard output is no reason to fail.
            error.print().ok();
            return ExitCode::SUCCESS;
        }
        // The help, on standard error. Nothing of the arguments is in it.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => drop(error.print()),
        _ => say!("wasock: {}; see `wasock run --help`", reason(error)),
    }
    ExitCode::from(USAGE)
}
