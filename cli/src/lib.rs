//! The command `wasock`, as a library: arguments to grants, events to lines, endings to exit codes.
//!
//! [`main`] is the command. [`ContainedRun`] is `wasock run` for a program that has a process for it already, as a
//! container's: it chooses the words, and may have the module in memory. Either has the whole process, with its
//! signals, its standard streams and its end.
//!
//! What goes to standard error begins with `wasock: `, to distinguish it from what the
//! guest writes there.

mod admin;
mod args;
mod cache;
mod check;
mod component;
mod config;
mod contained;
mod ctl;
mod duration;
mod env_file;
mod generate;
mod idle;
mod inspect;
mod invocation;
mod json;
mod kept;
mod learn;
mod log;
mod manager;
mod passed;
mod precompiled;
mod progress;
mod reload;
mod report;
mod run;
mod serve;
mod signal;
mod sockets;
mod start;
mod stderr;
mod text_file;
mod wall;
mod watch;

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::error::ErrorKind;

pub use admin::unescaped_mount_point;
use args::{Args, Command};
pub use contained::{ContainedRun, Program};
use invocation::{Invocation, Mistakes};
pub use kept::KeepCode;
pub use precompiled::Precompiler;
use report::say;

/// A usage error, as shells have it.
const USAGE: u8 = 2;

/// Any other error.
const FAILURE: u8 = 1;

/// What a run lacks without it.
const NO_MODULE: &str = "no module: neither an argument nor the key `module` names one (--config)";

/// Runs the command that the process's arguments name. A guest's end is the process's end, too.
pub fn main() -> ExitCode {
    let (args, invocation) = match Invocation::read(std::env::args_os().collect()) {
        Ok(read) => read,
        Err(mistakes) => return refused(mistakes),
    };
    let done = match args.command {
        Command::Run(args) => run::run(*args, invocation),
        Command::Inspect(args) => inspect::inspect(&args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::check(&args),
        Command::Ctl(args) => ctl::ctl(&args),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { command } => generate::man(command.as_deref()),
    };
    done.unwrap_or_else(|error| {
        failed(&error);
        ExitCode::from(FAILURE)
    })
}

/// Says why it could not be done.
fn failed(error: &anyhow::Error) {
    report::failure(error.root_cause(), format_args!("{error:#}{}", start::cure(error)));
}

/// Says what is wrong, or prints the help that was asked for.
fn refused(mistakes: Mistakes) -> ExitCode {
    match mistakes {
        Mistakes::Usage(error) => return usage(&error),
        Mistakes::Unreadable(why) => say!("wasock: {why}"),
        Mistakes::InFile(lines) => lines.say(),
        Mistakes::NoModule => say!("wasock: {NO_MODULE}"),
    }
    ExitCode::from(USAGE)
}

/// Why the command line was refused, in one line.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let reason = text.split("\n\n").next().unwrap_or_default();
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    reason.strip_prefix("error: ").unwrap_or(&reason).to_owned()
}

/// The subcommand that the command line names, or that which is mostly meant.
fn asked_command() -> String {
    let asked = std::env::args_os().nth(1).unwrap_or_default();
    let command = Args::command();
    command.find_subcommand(&asked).map_or("run", clap::Command::get_name).to_owned()
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
        _ => say!("wasock: {}; see `wasock {} --help`", reason(error), asked_command()),
    }
    ExitCode::from(USAGE)
}
