//! Compiles the guests and writes down where each of them lies.

use anyhow::{Context, Result};
use guest_toolchain::Toolchain;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    // One line, not a backtrace: the reader is someone whose machine lacks a tool.
    if let Err(error) = run() {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let manifest_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("no manifest folder")?);
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("no output folder")?);
    let sources = manifest_dir.join("programs");
    // Not the folder itself: a native build of a guest leaves its own there.
    for name in ["Cargo.toml", "Cargo.lock", "wasix", "http_server", "guests", "wat"] {
        println!("cargo::rerun-if-changed={}", sources.join(name).display());
    }

    let toolchain = Toolchain::find().context(guest_toolchain::MISSING)?;
    let modules = toolchain.build(&sources, &guests_dir(&out_dir)?)?;

    let mut programs = programs_with(&modules, "wasm")?;
    // A module of a source that is gone stays in the folder: only those count
    // that have a source.
    programs.retain(|program| has_source(&sources, program));
    programs.extend(programs_with(&sources.join("wat"), "wat")?);
    fs::write(out_dir.join("programs.rs"), listing(&programs)?)?;
    Ok(())
}

/// One folder for every profile and every build of the tests: the guests are the
/// same, and their standard library takes a while.
fn guests_dir(out_dir: &Path) -> Result<PathBuf> {
    // target/release/build/guest-tests-0123/out
    let target = out_dir.ancestors().nth(4).context("the output folder lies elsewhere")?;
    Ok(target.join("guests"))
}

fn programs_with(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(extension)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn has_source(sources: &Path, program: &Path) -> bool {
    let Some(name) = program.file_stem().and_then(OsStr::to_str) else {
        return false;
    };
    sources.join("guests/src/bin").join(format!("{name}.rs")).exists()
        || sources.join(name).join("src/main.rs").exists()
}

/// A constant for each program, and the macro that asks for a test of each.
fn listing(programs: &[PathBuf]) -> Result<String> {
    let mut constants = String::new();
    let mut names = String::new();
    for program in programs {
        let name = program.file_stem().and_then(OsStr::to_str).context("a program without a name")?;
        writeln!(
            constants,
            "/// The guest `{name}`.\npub const {}: &str = {:?};",
            name.to_uppercase(),
            program.display().to_string()
        )?;
        writeln!(names, "        $use_it!({name});")?;
    }
    Ok(format!(
        "{constants}
/// Calls the macro `use_it` with the name of every program.
#[macro_export]
macro_rules! for_each_program {{
    ($use_it:ident) => {{
{names}    }};
}}
"
    ))
}
