//! Makes sure that guests can be compiled.

use anyhow::{Result, bail};
use guest_toolchain::{
    COMPONENT_TARGET, DEBIAN_PACKAGES, MISSING, TARGET, THREADS_TARGET, Toolchain, WASM_OPT, WASM_OPT_PACKAGE,
};
use std::process::{Command, Stdio};

/// The toolchain for guests; installs one where there is none.
///
/// # Errors
///
/// When none can be installed: one line says what to do by hand.
pub fn ensure_toolchain() -> Result<Toolchain> {
    // Tests that need it are passed over without.
    ensure_tool(WASM_OPT, WASM_OPT_PACKAGE);
    if let Some(found) = Toolchain::find() {
        return Ok(found);
    }
    eprintln!("no compiler for {TARGET} yet: asking rustup for it");
    if succeeds("rustup", &["target", "add", TARGET, THREADS_TARGET])
        && let Some(found) = Toolchain::find()
    {
        // Tests that need this one are passed over without.
        succeeds("rustup", &["target", "add", COMPONENT_TARGET]);
        return Ok(found);
    }
    if let Some(prefix) = apt_prefix() {
        eprintln!("rustup has none: installing {}", DEBIAN_PACKAGES.join(" "));
        install(prefix, &DEBIAN_PACKAGES);
        if let Some(found) = Toolchain::find() {
            return Ok(found);
        }
    }
    bail!("{MISSING}")
}

/// Whether there is a program that measures; installs it where there is none, and says
/// what to do by hand where it can't.
pub fn ensure_tool(program: &str, package: &str) -> bool {
    if answers("sh", &["-c", &format!("command -v {program}")]) {
        return true;
    }
    if let Some(prefix) = apt_prefix() {
        eprintln!("no {program} yet: installing {package}");
        install(prefix, &[package]);
    }
    let is_there = answers("sh", &["-c", &format!("command -v {program}")]);
    if !is_there {
        eprintln!("no {program}: `apt-get install {package}` would bring it; going on without");
    }
    is_there
}

/// What to put before `apt-get`; nothing where packages cannot be installed
/// without asking a person.
fn apt_prefix() -> Option<&'static [&'static str]> {
    if !answers("apt-get", &["--version"]) {
        return None;
    }
    if is_root() {
        return Some(&["apt-get"]);
    }
    answers("sudo", &["--non-interactive", "true"]).then_some(&["sudo", "--non-interactive", "apt-get"])
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn install(prefix: &[&str], packages: &[&str]) {
    let Some((program, prefix)) = prefix.split_first() else {
        return;
    };
    // A list that is out of date is no reason to stop: the packages may be known.
    succeeds(program, &[prefix, &["update", "-q"]].concat());
    let install = ["install", "-q", "-y", "--no-install-recommends"];
    succeeds(program, &[prefix, &install, packages].concat());
}

/// Runs a command in sight of the user.
fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command that only answers a question.
fn answers(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
