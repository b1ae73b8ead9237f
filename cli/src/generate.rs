//! What is made of the definitions of the command line: completions and manual pages.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Args;
use crate::report;

/// Prints the completions of `shell`.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "wasock", &mut text);
    report::print_own(&text);
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page of the command, or of its subcommand `name`.
///
/// # Errors
///
/// When there is no such subcommand.
pub(crate) fn man(name: Option<&str>) -> Result<ExitCode> {
    let mut command = Args::command();
    // So that the names of the subcommands are whole.
    command.build();
    let shown = match name {
        None => command,
        Some(name) => {
            command.find_subcommand(name).cloned().with_context(|| format!("no subcommand {name}"))?
        }
    };
    let mut text = Vec::new();
    Man::new(shown).render(&mut text)?;
    report::print_own(&text);
    Ok(ExitCode::SUCCESS)
}
