//! The tests of the shim, on a containerd of their own.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail};

use crate::workspace::{become_it, build_wasock, cargo, succeed, target_dir};

/// What builds the shim and what its tests start, and the packages of Debian that have it.
const PROGRAMS: [(&str, &str); 7] = [
    ("protoc", "protobuf-compiler"),
    ("pkg-config", "pkg-config"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("umoci", "umoci"),
    ("ip", "iproute2"),
    ("curl", "curl"),
];

/// Where the shim is, a workspace of its own, and how its tests are compiled.
const MANIFEST: &str = "shim/Cargo.toml";
const TESTS_CONFIG: &str = "shim/.cargo/tests.toml";

/// Builds the shim and runs its tests.
///
/// # Errors
///
/// Where this machine lacks something for it: one line says what.
pub fn test() -> Result<ExitCode> {
    ensure_programs()?;
    // Each test has a containerd of its own, and waits for it more than it computes.
    become_it(tests(&["--config", TESTS_CONFIG], &["--test-threads=4"]))
}

/// Builds the shim and prints its figures.
///
/// # Errors
///
/// As for [`test()`].
pub fn bench() -> Result<ExitCode> {
    ensure_programs()?;
    // Beside the shim there are the least that one takes, and the command outside of containers.
    succeed(cargo(&["build", "--release", "--locked", "--manifest-path", MANIFEST, "--example", "floor"]))?;
    build_wasock()?;
    // What is measured is what is shipped.
    let mut command = tests(&[], &["--ignored", "--nocapture", "--test-threads=1", "bench::"]);
    command.env("WASOCK_COMMAND", target_dir().join("release").join("wasock"));
    become_it(command)
}

/// The tests, compiled with these flags of cargo's, and run with these arguments.
fn tests(flags: &[&str], arguments: &[&str]) -> Command {
    let mut command = cargo(&["test", "--release", "--locked", "--manifest-path", MANIFEST]);
    command.args(flags).args(["--test", "containerd", "--"]).args(arguments);
    // With it nothing is passed over that root and these programs can do.
    command.env("WASOCK_TEST_KUBERNETES", "1");
    command
}

fn ensure_programs() -> Result<()> {
    let is_there = |program: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("command -v {program}")]).stdin(Stdio::null()).stdout(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_there(program)).collect();
    if let Some((program, _)) = missing.first() {
        let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        bail!("no {program}: `apt-get install {}` would bring it", packages.join(" "));
    }
    let finds_library = Command::new("pkg-config").args(["--exists", "libseccomp"]).status();
    if !finds_library.is_ok_and(|status| status.success()) {
        bail!("no libseccomp: `apt-get install libseccomp-dev` would bring it");
    }
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output()?;
    if id.stdout.trim_ascii() != b"0" {
        bail!("containerd needs root, and so do these tests");
    }
    Ok(())
}
