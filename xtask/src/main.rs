//! The tasks of this repository. `cargo xtask --help` lists them.

mod bench;
mod setup;

use anyhow::{Context, Result, bail};
use guest_toolchain::Toolchain;
use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo xtask demo     set everything up and serve HTTP from a guest on 127.0.0.1:8080
cargo xtask test     set everything up and run all tests
cargo xtask guests   set everything up and compile the guests
cargo xtask docs     write the tables of docs/ anew
cargo xtask fuzz     run guests that call everything; `cargo xtask fuzz --help` has more
";

/// Where the demonstration listens.
const DEMO_ADDR: &str = "127.0.0.1:8080";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let task = env::args().nth(1).unwrap_or_else(|| "--help".to_owned());
    match task.as_str() {
        "fuzz" => return fuzz(&env::args().skip(2).collect::<Vec<_>>()),
        "bench" => return bench::run(&env::args().skip(2).collect::<Vec<_>>()),
        // What a bench starts, itself.
        "__child" => return bench::become_child(env::args_os().skip(2)).map(|()| ExitCode::FAILURE),
        "__load" => return bench::load(env::args().skip(2)).map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    if let Some(extra) = env::args().nth(2) {
        bail!("{task} takes no argument, and got {extra}");
    }
    match task.as_str() {
        "demo" => demo(),
        "test" => {
            setup::ensure_toolchain()?;
            become_it(cargo(&["test", "--release", "--workspace"]))
        }
        "guests" => {
            guests()?;
            Ok(ExitCode::SUCCESS)
        }
        "docs" => {
            setup::ensure_toolchain()?;
            let mut command = cargo(&["test", "--release", "--workspace", "--test", "docs"]);
            command.env("UPDATE_DOCS", "1");
            become_it(command)
        }
        "--help" | "-h" | "help" => {
            print!("{HELP}{}", bench::HELP);
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("no such task: {task}\n{HELP}{}", bench::HELP);
            Ok(ExitCode::from(2))
        }
    }
}

/// Serves in the foreground until Ctrl-C.
fn demo() -> Result<ExitCode> {
    let modules = guests()?;
    build_wasock()?;
    let wasock = target_dir().join("release").join("wasock");
    eprintln!(
        "\nA guest serves HTTP on {DEMO_ADDR}. Try, in another terminal:\n\
         \x20   curl -i http://{DEMO_ADDR}/\n\
         \x20   wrk -t1 -c32 -d5s http://{DEMO_ADDR}/\n\
         Ctrl-C ends it.\n"
    );
    let mut command = Command::new(wasock);
    command.args(["run", "--listen", DEMO_ADDR]).arg(modules.join("http_server.wasm")).arg(DEMO_ADDR);
    become_it(command)
}

/// Compiles the command.
fn build_wasock() -> Result<()> {
    build_program("wasock")
}

/// Compiles a program of the workspace, with the features that its dependencies have in the
/// tests: with those of its own package alone, Wasmtime would be compiled once more.
fn build_program(name: &str) -> Result<()> {
    succeed(cargo(&["build", "--release", "--workspace", "--bin", name]))
}

/// Runs the fuzzer of guests, a package of its own: it needs the whole host, this one little.
fn fuzz(args: &[String]) -> Result<ExitCode> {
    build_program("guest-fuzz")?;
    let mut command = Command::new(target_dir().join("release").join("guest-fuzz"));
    command.args(args).current_dir(workspace_dir());
    become_it(command)
}

/// Compiles the guests where the tests find them, and says where that is.
fn guests() -> Result<PathBuf> {
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
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(workspace_dir());
    command
}

fn succeed(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// Becomes that command: signals and the exit code are its own.
///
/// # Errors
///
/// When it does not start.
fn become_it(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {command:?}"))
}

fn workspace_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn target_dir() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    workspace_dir().join(named.unwrap_or_else(|| "target".into()))
}
