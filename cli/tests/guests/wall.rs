//! The second wall, as an operator sees it. What it holds against is in `cli/src/wall/tests.rs`.

#[cfg(target_arch = "x86_64")]
mod escape;

use std::os::unix::fs::symlink;
use std::path::Path;

use super::{run, run_on_loopback};
use anyhow::{Result, ensure};
use guest_tests::HttpClient;
use rustix::process::Signal;

#[test]
fn it_is_said_which_wall_stands() -> Result<()> {
    let said = |flags: &[&str]| -> Result<String> {
        let finished = run().arg("-v").args(flags).args([guest_tests::ARGS_ENV_EXIT, "0"]).succeed()?;
        let lines = finished.stderr_lines_with("wall: ");
        ensure!(lines.len() == 1, "{finished}");
        Ok(lines.concat())
    };
    let none = said(&["--no-landlock"])?;
    ensure!(none.ends_with("wall: none (--no-landlock)"), "{none}");
    let stands = said(&[])?;
    if stands.ends_with("the kernel has no Landlock)") {
        eprintln!("passed over: the kernel has no Landlock");
        return Ok(());
    }
    ensure!(stands.contains("wall: landlock: files"), "{stands}");
    if stands.contains("TCP") {
        ensure!(stands.contains("files, TCP bind, TCP connect"), "{stands}");
        // All ports are too many.
        let bind = said(&["--connect", "*:*"])?;
        ensure!(bind.contains("TCP bind") && !bind.contains("TCP connect"), "{bind}");
    }
    // Without a flag nothing is said.
    let finished = run().args([guest_tests::ARGS_ENV_EXIT, "0"]).succeed()?;
    finished.expect_no_stderr("wall").map(drop)
}

/// A link that leads to the newest release is put in the place of the one before.
#[test]
fn a_release_that_a_link_leads_to_is_reloaded_behind_the_wall() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    for release in ["1", "2"] {
        std::fs::create_dir(at(release))?;
        std::fs::copy(Path::new(guest_tests::HTTP_SERVER), at(release).join("server.wasm"))?;
    }
    symlink("1", at("current"))?;
    let mut server = run_on_loopback()
        .args(["--reload-signal", "HUP"])
        .arg(at("current/server.wasm"))
        .arg("127.0.0.1:0")
        .start()?;
    let addr = server.listening()?;
    std::fs::remove_dir_all(at("1"))?;
    symlink("2", at("next"))?;
    std::fs::rename(at("next"), at("current"))?;
    server.signal(Signal::HUP)?;
    server.wait_for_stderr("generation 2 serves")?;
    HttpClient::connect(addr)?.get("/")?;
    // One that lies elsewhere is out of reach, and nothing changes.
    let elsewhere = tempfile::tempdir()?;
    std::fs::copy(Path::new(guest_tests::HTTP_SERVER), elsewhere.path().join("server.wasm"))?;
    symlink(elsewhere.path(), at("next"))?;
    std::fs::rename(at("next"), at("current"))?;
    server.signal(Signal::HUP)?;
    if server.wait_for_stderr("leaves out").is_ok_and(|line| line.contains("that takes a restart")) {
        HttpClient::connect(addr)?.get("/")?;
    }
    server.stop().map(drop)
}

/// It is in no directory.
#[test]
fn a_module_that_comes_by_a_pipe_has_the_wall_too() -> Result<()> {
    let line = format!("{} run -v <(cat {}) 0", env!("CARGO_BIN_EXE_wasock"), guest_tests::ARGS_ENV_EXIT);
    let output = std::process::Command::new("bash").args(["-c", &line]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && !said.contains("no second wall"), "{said}");
    Ok(())
}
