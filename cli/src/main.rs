//! The command `wasock`: arguments to grants, events to lines, endings to exit codes.
//!
//! What goes to standard error begins with `wasock: `, to distinguish it from what the
//! guest writes there.

mod args;
mod duration;
mod inspect;
mod report;
mod run;
mod signal;
mod sockets;
mod start;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use args::{Args, Command};
use report::say;

/// A usage error, as shells have it.
const USAGE: u8 = 2;

/// Any other error.
const FAILURE: u8 = 1;

/// Runs the command that the process's arguments name.
fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let done = match args.command {
        Command::Run(args) => run::run(*args),
        Command::Inspect(args) => inspect::inspect(&args).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        report::failure(error.root_cause(), format_args!("{error:#}{}", start::cure(&error)));
        ExitCode::from(FAILURE)
    })
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
        _ => {
            let text = error.to_string();
            let reason = text.split("\n\n").next().unwrap_or_default();
            let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
            let reason = reason.strip_prefix("error: ").unwrap_or(&reason);
            say!("wasock: {reason}; see `wasock run --help`");
        }
    }
    ExitCode::from(USAGE)
}
