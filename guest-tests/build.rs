//! Compiles the guests and writes down where each of them lies.

use anyhow::{Context, Result, ensure};
use guest_toolchain::{ASYNCIFIED, ASYNCIFIED_WITH_THREADS, Toolchain, WASM_OPT, WASM_OPT_PACKAGE, asyncify};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The programs that are compiled for this machine too, to be asked what the kernel
/// itself does, and to be measured beside. Linux alone is asked.
const NATIVE: [&str; 7] = [
    "accepting",
    "backlog_probe",
    "http_server",
    "threaded_http",
    "threaded_pingpong",
    "listener_life",
    "socket_states",
];

/// Dialects that programs are compiled for once more: the feature, which is the name of the module here too, and
/// what it is called.
const FRONTS: [(&str, &str); 2] = [("wasmedge", "WasmEdge"), ("wamr", "WAMR")];

/// Those programs: what they call has a counterpart in the dialect, or the tests leave out what has none.
const FOR_FRONTS: [&str; 12] = [
    "data_flags",
    "data_linger",
    "data_partial",
    "data_vectors",
    "http_server",
    "kinds_calls",
    "kinds_limits",
    "kinds_options",
    "listen_rules",
    "listener",
    "port_probe",
    "socket_states",
];

/// The packages of modules of which components are made, and the adapter for each: those of WASI 0.2 start by the
/// adapter's export, those of 0.3 by their own.
const COMPONENTS: [(&str, &[u8]); 2] = [
    ("component_programs", WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER),
    ("component_programs_p3", WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER),
];

/// The package of two modules that become one component, and the name of that.
const PARTS: &str = "component_parts";
const COMPOSED: &str = "composed_server";

/// What makes it of its parts. It is a program of the other workspace, so that what it is made of is not built into
/// this one, whose packages share some of that.
const TOOL: &str = "compose";

/// The parts: the module, its world, its adapter. The first one imports what the other exports.
const WORLDS: [(&str, &[u8]); 2] =
    [("front", WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER), ("back", WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)];

/// Everything in the folder of the programs that is written by hand.
const SOURCES: [&str; 19] = [
    "Cargo.toml",
    "Cargo.lock",
    "wasix",
    "http_server",
    "guests",
    "threaded",
    "threaded_v1",
    "threaded_programs",
    "threaded_programs_v1",
    "wasmedge_programs",
    "wamr_programs",
    "component_programs",
    "component_programs_p3",
    "component_parts",
    "compose",
    "component_std",
    "asyncify_programs",
    "asyncify_threaded",
    "wat",
];

fn main() {
    // One line, not a backtrace: the reader's machine lacks a tool.
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
    for name in SOURCES {
        println!("cargo::rerun-if-changed={}", sources.join(name).display());
    }

    let toolchain = Toolchain::find().context(guest_toolchain::MISSING)?;
    let target_dir = beside_profiles(&out_dir, "guests")?;
    let modules = toolchain.build(&sources, &target_dir)?;
    let with_threads = toolchain.build_threads(&sources, &target_dir)?;

    let mut programs = programs_with(&modules, "wasm")?;
    programs.extend(programs_with(&with_threads, "wasm")?);
    // A module of a source that is gone is still in the folder: only those count
    // that have a source.
    programs.retain(|program| has_source(&sources, program));
    programs.extend(programs_with(&sources.join("wat"), "wat")?);
    let twins = native_twins(&sources, &beside_profiles(&out_dir, "guests-native")?)?;
    let mut fronts = String::new();
    for (feature, dialect) in FRONTS {
        let target_dir = beside_profiles(&out_dir, &format!("guests-{feature}"))?;
        let folder = toolchain.build_for_dialect(&sources, &target_dir, feature, &FOR_FRONTS)?;
        fronts += &front(feature, dialect, &folder)?;
    }
    let components = components(&toolchain, &sources, &out_dir)?;
    let asyncified = asyncified(&toolchain, &sources, &out_dir)?;
    fs::write(
        out_dir.join("programs.rs"),
        listing(&programs)? + &fronts + &twins + &components + &asyncified,
    )?;
    Ok(())
}

/// Rewrites the programs that put their stack aside, and makes a constant for each.
fn asyncified(toolchain: &Toolchain, sources: &Path, out_dir: &Path) -> Result<String> {
    let target_dir = beside_profiles(out_dir, "guests")?;
    let packages = [
        (ASYNCIFIED, toolchain.build_to_asyncify(sources, &target_dir)?),
        (ASYNCIFIED_WITH_THREADS, toolchain.build_threads_to_asyncify(sources, &target_dir)?),
    ];
    let made = beside_profiles(out_dir, "guests-asyncified")?;
    fs::create_dir_all(&made).with_context(|| made.display().to_string())?;
    let (mut constants, mut names) = (String::new(), String::new());
    let mut programs = Vec::new();
    for (package, modules) in &packages {
        let sources = programs_with(&sources.join(package).join("src/bin"), "rs")?;
        programs.extend(sources.into_iter().map(|source| (source, modules)));
    }
    for (source, modules) in programs {
        let name = name_of(&source)?;
        let rewritten = made.join(name).with_extension("wasm");
        let is_there = asyncify(&modules.join(name).with_extension("wasm"), &rewritten)?;
        if !is_there {
            println!(
                "cargo::warning=no {WASM_OPT}: the tests of `{name}` are passed over (apt-get install {WASM_OPT_PACKAGE})"
            );
        }
        let path = is_there.then(|| rewritten.display().to_string());
        writeln!(constants, "/// The program `{name}`, where there is a tool to rewrite it.")?;
        writeln!(constants, "pub const {}: Option<&str> = {path:?};", name.to_uppercase())?;
        writeln!(names, "        $use_it!({name});")?;
    }
    Ok(format!(
        "
/// Programs that put their stack aside.
pub mod asyncified {{
{constants}}}

/// Calls the macro `use_it` with the name of every program that puts its stack aside.
#[macro_export]
macro_rules! for_each_asyncified {{
    ($use_it:ident) => {{
{names}    }};
}}
"
    ))
}

/// Makes the components, and a constant for each.
fn components(toolchain: &Toolchain, sources: &Path, out_dir: &Path) -> Result<String> {
    let packages: Vec<&str> = COMPONENTS.map(|(package, _)| package).into_iter().chain([PARTS]).collect();
    let modules = toolchain.build_for_components(sources, &beside_profiles(out_dir, "guests")?, &packages)?;
    let made = beside_profiles(out_dir, "guests-components")?;
    fs::create_dir_all(&made).with_context(|| made.display().to_string())?;
    let (mut constants, mut names) = (String::new(), String::new());
    for (package, adapter) in COMPONENTS {
        for source in programs_with(&sources.join(package).join("src/bin"), "rs")? {
            let name = name_of(&source)?;
            let component = made.join(name).with_extension("wasm");
            make_component(&modules.join(name).with_extension("wasm"), adapter, &component)?;
            constants += &constant(name, &component)?;
            writeln!(names, "        $use_it!({name});")?;
        }
    }
    let composed = made.join(COMPOSED).with_extension("wasm");
    let tool =
        Toolchain::build_native(sources, &beside_profiles(out_dir, "guests-tool")?, &[TOOL])?.join(TOOL);
    compose(sources, &modules, &made.join("parts"), &tool, &composed)?;
    constants += &constant(COMPOSED, &composed)?;
    writeln!(names, "        $use_it!({COMPOSED});")?;
    let folder = toolchain.build_std_components(sources, &beside_profiles(out_dir, "guests-wasip2")?)?;
    for source in programs_with(&sources.join("component_std/src/bin"), "rs")? {
        let name = name_of(&source)?;
        let path = folder.as_ref().map(|folder| folder.join(name).with_extension("wasm"));
        let path = path.map(|path| path.display().to_string());
        writeln!(constants, "/// The component `{name}`, where the toolchain has its target.")?;
        writeln!(constants, "pub const {}: Option<&str> = {path:?};", name.to_uppercase())?;
        writeln!(names, "        $use_it!({name});")?;
    }
    Ok(format!(
        "
/// Components.
pub mod components {{
{constants}}}

/// Calls the macro `use_it` with the name of every component.
#[macro_export]
macro_rules! for_each_component {{
    ($use_it:ident) => {{
{names}    }};
}}
"
    ))
}

/// Makes a component of each part in the folder `made`, and one of both.
fn compose(sources: &Path, modules: &Path, made: &Path, tool: &Path, composed: &Path) -> Result<()> {
    fs::create_dir_all(made).with_context(|| made.display().to_string())?;
    let mut resolve = Resolve::default();
    let package = resolve.push_file(sources.join(PARTS).join("parts.wit"))?;
    let mut parts = Vec::new();
    for (name, adapter) in WORLDS {
        let module = modules.join(name).with_extension("wasm");
        let mut bytes = fs::read(&module).with_context(|| module.display().to_string())?;
        let world = resolve.select_world(&[package], Some(name))?;
        embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)?;
        let part = made.join(name).with_extension("wasm");
        write_component(&bytes, adapter, &part)?;
        parts.push(part);
    }
    let status = Command::new(tool).args(parts).arg(composed).status().context("the tool does not start")?;
    ensure!(status.success(), "the parts in {} are not composed", made.display());
    Ok(())
}

/// Makes a component of a module whose standard library calls WASI preview 1.
fn make_component(module: &Path, adapter: &[u8], component: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| module.display().to_string())?;
    write_component(&bytes, adapter, component)
        .with_context(|| format!("no component can be made of {}", module.display()))
}

fn write_component(module: &[u8], adapter: &[u8], component: &Path) -> Result<()> {
    let encoded = ComponentEncoder::default()
        .module(module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
        .validate(true)
        .encode()?;
    fs::write(component, encoded).with_context(|| component.display().to_string())
}

fn name_of(source: &Path) -> Result<&str> {
    source.file_stem().and_then(OsStr::to_str).context("a program without a name")
}

/// One folder for every profile and every build of the tests: the guests are the
/// same, and their standard library takes a while.
fn beside_profiles(out_dir: &Path, name: &str) -> Result<PathBuf> {
    // target/release/build/guest-tests-0123/out
    let target = out_dir.ancestors().nth(4).context("the output folder lies elsewhere")?;
    Ok(target.join(name))
}

/// A constant for the native twin of each program that has one.
fn native_twins(sources: &Path, target_dir: &Path) -> Result<String> {
    let mut constants = String::new();
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        let folder = Toolchain::build_native(sources, target_dir, &NATIVE)?;
        for name in NATIVE {
            constants += &constant(name, &folder.join(name))?;
        }
    }
    Ok(format!(
        "
/// The native twins of guests: the same sources, on the calls of Linux itself.
pub mod native {{
{constants}}}
"
    ))
}

/// A constant for each program as it is compiled for another dialect.
fn front(module: &str, dialect: &str, folder: &Path) -> Result<String> {
    let mut constants = String::new();
    for name in FOR_FRONTS {
        constants += &constant(name, &folder.join(name).with_extension("wasm"))?;
    }
    Ok(format!(
        "
/// Guests with the calls of {dialect}: the same sources.
pub mod {module} {{
{constants}}}
"
    ))
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
    // One of the first generation has the source of the other.
    let threaded = name.strip_suffix("_v1").unwrap_or(name);
    has_bin(&sources.join("guests/src/bin"), name)
        || has_bin(&sources.join("threaded_programs/src/bin"), threaded)
        || has_bin(&sources.join("http_server/src/bin"), name)
        || has_bin(&sources.join("wasmedge_programs/src/bin"), name)
        || has_bin(&sources.join("wamr_programs/src/bin"), name)
        || sources.join(name).join("src/main.rs").exists()
}

fn has_bin(bins: &Path, name: &str) -> bool {
    bins.join(format!("{name}.rs")).exists() || bins.join(name).join("main.rs").exists()
}

/// A constant for each program, and the macro that asks for a test of each.
fn listing(programs: &[PathBuf]) -> Result<String> {
    let mut constants = String::new();
    let mut names = String::new();
    for program in programs {
        let name = program.file_stem().and_then(OsStr::to_str).context("a program without a name")?;
        constants += &constant(name, program)?;
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

fn constant(name: &str, program: &Path) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "/// The program `{name}`.")?;
    writeln!(text, "pub const {}: &str = {:?};", name.to_uppercase(), program.display().to_string())?;
    Ok(text)
}
