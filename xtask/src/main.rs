//! The tasks of this repository. `cargo xtask --help` lists them.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use xtask::workspace::{become_it, build_program, build_wasock, cargo, guests, target_dir, workspace_dir};
use xtask::{dist, kubernetes, setup};

const HELP: &str = "\
cargo xtask demo     set everything up and serve HTTP from a guest on 127.0.0.1:8080
cargo xtask test     set everything up and run all tests, or what follows as for `cargo test`:
                     `cargo xtask test --test guests -- NAME`. With --kubernetes those of the shim,
                     which need root and containerd
cargo xtask guests   set everything up and compile the guests
cargo xtask docs     write the tables of docs/ anew
cargo xtask dist     make a tarball of the command, its manual pages and its completions
cargo xtask fuzz     run guests that call everything; `cargo xtask fuzz --help` has more
cargo xtask bench    measure guests against native twins; `cargo xtask bench --help` has more. With
                     --kubernetes containers against those of runc
cargo xtask soak     run a service for two minutes (--minutes N) under clients that expect answers,
                     with reloads, traps, limits, drains and kills, and account for each that got none
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
    match (task.as_str(), env::args().nth(2).as_deref()) {
        ("test", Some("--kubernetes")) => return kubernetes::test(),
        ("bench", Some("--kubernetes")) => return kubernetes::bench(),
        _ => {}
    }
    match task.as_str() {
        // Packages of their own: they need more than the other tasks.
        "fuzz" => return become_program("guest-fuzz", &[]),
        "bench" => return become_program("bench-harness", &[]),
        "soak" => return become_program("bench-harness", &["__soak"]),
        "test" => return test(),
        _ => {}
    }
    if let Some(extra) = env::args().nth(2) {
        bail!("{task} takes no argument, and got {extra}");
    }
    match task.as_str() {
        "demo" => demo(),
        "guests" => {
            guests()?;
            Ok(ExitCode::SUCCESS)
        }
        "dist" => {
            dist::dist()?;
            Ok(ExitCode::SUCCESS)
        }
        "docs" => {
            setup::ensure_toolchain()?;
            let mut command = cargo_test();
            command.args(["--test", "docs"]).env("UPDATE_DOCS", "1");
            become_it(command)
        }
        "--help" | "-h" | "help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("no such task: {task}\n{HELP}");
            Ok(ExitCode::from(2))
        }
    }
}

/// Runs the tests that the arguments after the task name: all of them without any.
fn test() -> Result<ExitCode> {
    setup::ensure_toolchain()?;
    let mut command = cargo_test();
    command.args(env::args_os().skip(2));
    become_it(command)
}

/// `cargo test` as the tests are compiled: this repository's own packages quickly, and the dependencies once for
/// the tests and for what is measured or given away.
fn cargo_test() -> Command {
    cargo(&["test", "--config", ".cargo/tests.toml", "--release", "--workspace"])
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

/// Becomes another program of this workspace, with these arguments and those after the task.
fn become_program(name: &str, arguments: &[&str]) -> Result<ExitCode> {
    build_program(name)?;
    let mut command = Command::new(target_dir().join("release").join(name));
    command.args(arguments).args(env::args_os().skip(2)).current_dir(workspace_dir());
    become_it(command)
}
