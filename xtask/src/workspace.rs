//! The folders of this repository, and the commands that work on it.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use guest_toolchain::Toolchain;

use crate::setup;

/// Compiles the command.
///
/// # Errors
///
/// When it does not compile.
pub fn build_wasock() -> Result<()> {
    build_program("wasock")
}

/// Compiles a program of the workspace, with the features that its dependencies have in the
/// tests: with those of its own package alone, Wasmtime would be compiled once more.
///
/// # Errors
///
/// When it does not compile.
pub fn build_program(name: &str) -> Result<()> {
    succeed(cargo(&["build", "--release", "--workspace", "--bin", name]))
}

/// Compiles the guests where the tests find them, and says where that is.
///
/// # Errors
///
/// When there is no compiler for them and none can be installed, or one does not compile.
pub fn guests() -> Result<PathBuf> {
    let toolchain = setup::ensure_toolchain()?;
    eprintln!("compiling the guests with {}", described(&toolchain));
    let programs = workspace_dir().join("guest-tests/programs");
    let target_dir = target_dir().join("guests");
    toolchain.build_threads(&programs, &target_dir)?;
    toolchain.build(&programs, &target_dir)
}

fn described(toolchain: &Toolchain) -> &'static str {
    match toolchain {
        Toolchain::Rustup => "the target that rustup installed",
        Toolchain::Debian { .. } => "the packages of Debian (the first time takes a minute)",
    }
}

/// The cargo that runs this task.
#[must_use]
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(workspace_dir());
    command
}

/// Runs a command to its end.
///
/// # Errors
///
/// When it does not start, or does not succeed.
pub fn succeed(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// What a command prints.
///
/// # Errors
///
/// When it does not start, does not succeed, or prints something else than text.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} prints no text"))
}

/// Becomes that command: signals and the exit code are its own.
///
/// # Errors
///
/// When it does not start.
pub fn become_it(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {command:?}"))
}

/// The root of this repository.
#[must_use]
pub fn workspace_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it compiles.
#[must_use]
pub fn target_dir() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    workspace_dir().join(named.unwrap_or_else(|| "target".into()))
}
