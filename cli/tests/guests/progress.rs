//! What a terminal shows while a module is compiled.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::run;
use anyhow::{Result, ensure};

/// A module whose functions take their time to compile.
fn large_module(path: &Path) -> Result<()> {
    let mut text = "(module (func (export \"_start\"))\n".to_owned();
    for function in 0..4000 {
        writeln!(text, "(func $f{function} (param i64 i64) (result i64)")?;
        text += "local.get 0\n";
        for step in 0..60 {
            writeln!(
                text,
                "local.get 1 i64.const {} i64.mul local.get 0 i64.xor i64.add",
                step * 7 + function
            )?;
        }
        text += ")\n";
    }
    text += ")";
    Ok(std::fs::write(path, text)?)
}

/// The command on a terminal of `script`'s, and all that it shows; `None` where there is no such
/// program.
fn on_a_terminal(arguments: &str) -> Result<Option<String>> {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("passed over: this machine has no `script`");
        return Ok(None);
    }
    let line = format!("{} run --no-cache {arguments}", env!("CARGO_BIN_EXE_wasock"));
    let shown = Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(shown.status.success(), "{text}");
    Ok(Some(text))
}

#[test]
fn a_terminal_shows_that_compiling_goes_on_and_nothing_is_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("large.wat");
    large_module(&module)?;
    if let Some(shown) = on_a_terminal(&module.display().to_string())? {
        ensure!(shown.contains("wasock: compiling ") && shown.contains("large.wat"), "{shown:?}");
        // The line is cleared.
        ensure!(shown.trim_end().ends_with("\u{1b}[2K"), "{shown:?}");
        let json = on_a_terminal(&format!("--log-format json {}", module.display()))?;
        ensure!(json.is_some_and(|shown| shown.trim().is_empty()), "it is shown beside JSON");
    }
    let finished = run().arg("--no-cache").arg(&module).succeed()?;
    ensure!(finished.stderr.is_empty() && finished.stdout.is_empty(), "{finished}");
    Ok(())
}

#[test]
fn what_is_compiled_at_once_shows_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("small.wat");
    std::fs::write(&module, "(module (func (export \"_start\")))")?;
    let shown = on_a_terminal(&module.display().to_string())?;
    ensure!(shown.is_none_or(|shown| !shown.contains("compiling")), "it is shown");
    Ok(())
}
