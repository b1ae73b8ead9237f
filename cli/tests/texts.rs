//! What the command says of itself and of mistakes, word by word, as `cli/tests/snapshots` has it.
//!
//! `SNAPSHOTS=overwrite cargo xtask test --test texts` writes the snapshots anew; the difference
//! is what to look at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use snapbox::{Assert, Data};

/// The command, in `folder`, as on a terminal of 100 columns without colours.
fn wasock(folder: &Path, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasock"));
    command.args(args).current_dir(folder).env_clear().env("COLUMNS", "100").env("HOME", folder);
    Ok(command.output()?)
}

/// Compares `text` with the snapshot `name`.
fn is_as_in(name: &str, text: &[u8]) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    let text = String::from_utf8(text.to_vec())?;
    // A text of its own: what looks like a placeholder is none.
    Assert::new().action_env("SNAPSHOTS").eq(Data::text(text).raw(), Data::read_from(&path, None).raw());
    Ok(())
}

#[test]
fn each_help_is_as_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let help = |args: &[&str]| {
        let output = wasock(folder.path(), args)?;
        ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        Ok(output.stdout)
    };
    let all = help(&["--help"])?;
    is_as_in("help.txt", &all)?;
    let text = String::from_utf8(all)?;
    let (_, commands) = text.split_once("Commands:\n").context("no subcommands")?;
    let names = commands.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        // A name begins at the third column; what goes on from the line before is further in.
        line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split(' ').next()
    });
    for name in names.filter(|name| *name != "help") {
        is_as_in(&format!("help-{name}.txt"), &help(&[name, "--help"])?)?;
    }
    Ok(())
}

/// What is wrong, its snapshot, and the exit code.
const MISTAKES: [(&str, &[&str], i32); 16] = [
    ("no-subcommand", &[], 2),
    ("unknown-subcommand", &["serve"], 2),
    ("unknown-flag", &["run", "--lisen", "127.0.0.1:80", "empty.wasm"], 2),
    ("no-module", &["run"], 2),
    ("missing-module", &["run", "missing.wasm"], 1),
    ("no-wasm", &["run", "notes.txt"], 1),
    ("a-component", &["run", "component.wasm"], 1),
    ("address-without-port", &["run", "--listen", "127.0.0.1", "empty.wasm"], 2),
    ("address-of-a-name", &["run", "--listen", "example.com:80", "empty.wasm"], 2),
    ("connect-to-nowhere", &["run", "--connect", "10.0.0.300:80", "empty.wasm"], 2),
    ("time-without-unit", &["run", "--timeout", "10", "empty.wasm"], 2),
    ("flags-that-exclude-each-other", &["run", "--adopt", "--listen-fds", "empty.wasm"], 2),
    ("missing-file", &["run", "--config", "missing.toml"], 2),
    ("mistakes-in-a-file", &["run", "--config", "mistakes.toml"], 2),
    ("check-of-mistakes", &["check", "mistakes.toml"], 2),
    ("wrong-question", &["check", "good.toml", "--explain", "reach 10.0.0.1"], 2),
];

fn folder_of_mistakes() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content);
    write("notes.txt", b"buy milk\n")?;
    write("empty.wasm", b"\0asm\x01\0\0\0")?;
    write("component.wasm", b"\0asm\x0d\0\x01\0")?;
    write("good.toml", b"module = \"empty.wasm\"\nlisten = \"127.0.0.1:80\"\n")?;
    write("mistakes.toml", b"module = \"empty.wasm\"\nlisen = [\"127.0.0.1:80\"]\nmax-fds = \"many\"\nconnect = [\"10.0.0.1\"]\n")?;
    Ok(folder)
}

#[test]
fn mistakes_are_told_as_written() -> Result<()> {
    let folder = folder_of_mistakes()?;
    for (name, args, code) in MISTAKES {
        let output = wasock(folder.path(), args)?;
        ensure!(output.status.code() == Some(code) && output.stdout.is_empty(), "{name}: {output:?}");
        is_as_in(&format!("{name}.txt"), &output.stderr)?;
    }
    Ok(())
}

#[test]
fn an_answer_is_as_written() -> Result<()> {
    let folder = folder_of_mistakes()?;
    for (name, args) in [
        ("check", &["check", "good.toml"][..]),
        ("check-explained", &["check", "good.toml", "--explain", "listen 127.0.0.1:80"]),
        ("inspect", &["inspect", "empty.wasm"]),
        ("inspect-json", &["inspect", "--format", "json", "empty.wasm"]),
    ] {
        let output = wasock(folder.path(), args)?;
        ensure!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
        is_as_in(&format!("{name}.txt"), &output.stdout)?;
    }
    Ok(())
}

/// Nothing of the terminal is in a help that goes elsewhere.
#[test]
fn each_snapshot_is_of_use() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    files.sort();
    for path in files {
        let text = fs::read_to_string(&path)?;
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name that is no text")?;
        let is_known = name.starts_with("help")
            || name.starts_with("check")
            || name.starts_with("inspect")
            || MISTAKES.iter().any(|(mistake, ..)| *mistake == name);
        ensure!(is_known, "{name}: no test has it");
        ensure!(!text.contains('\u{1b}') && !text.is_empty(), "{name}: {text}");
        let is_narrow = text.lines().all(|line| line.chars().count() <= 100);
        ensure!(is_narrow || !name.starts_with("help"), "{name} has a line that is too long");
    }
    Ok(())
}
