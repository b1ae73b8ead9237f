//! What is measured, built: the host, and each server as a guest and as its twin.

use super::workload::Module;
use super::{big_module, instructions};
use anyhow::{Context, Result, ensure};
use guest_toolchain::{TARGET, THREADS_TARGET, Toolchain, WASM_OPT_PACKAGE, asyncify};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use xtask::setup;
use xtask::workspace::{build_wasock, guests, succeed, target_dir, workspace_dir};

/// The programs that have a native twin here.
const TWINS: [&str; 4] = ["http_server", "one_request", "stream_server", "threaded_http"];

/// The programs of `benches/peers` that start others, and the server that is several processes.
const PROCESSES: [&str; 2] = ["process_times", "nothing"];
const SERVER_OF_PROCESSES: &str = "forking_server";

/// The dialects that `http_server` is compiled for besides WASIX: the feature, and what they are called.
pub(super) const DIALECTS: [(&str, &str); 2] = [("wasmedge", "WasmEdge"), ("wamr", "WAMR")];

/// Where everything lies.
pub(super) struct Built {
    pub(super) wasock: PathBuf,
    /// The compile cache of the measured host.
    pub(super) cache: PathBuf,
    modules: PathBuf,
    modules_with_threads: PathBuf,
    twins: PathBuf,
    /// `http_server` with functions that make it 3.5 MB.
    big: PathBuf,
    /// `http_server` with the calls of WASI 0.2: a component.
    pub(super) component: PathBuf,
    /// `p3_server` of the guests: a component of WASI 0.3.
    pub(super) async_component: PathBuf,
    /// `benches/component.rs`: other hosts for it.
    pub(super) component_host: PathBuf,
    pub(super) folder: Folder,
}

/// The folder that a bench writes to.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The file that keeps what a process says.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.log"))
    }
}

/// The variable that names another command to measure than the one of this tree, as for `bench --kubernetes`.
pub(super) const COMMAND: &str = "WASOCK_COMMAND";

/// The command that is measured.
///
/// # Errors
///
/// When it does not compile, or the variable names nothing.
pub(super) fn wasock() -> Result<PathBuf> {
    let Some(other) = env::var_os(COMMAND) else {
        eprintln!("compiling wasock");
        build_wasock()?;
        return Ok(target_dir().join("release/wasock"));
    };
    // Some commands are run in another folder.
    fs::canonicalize(&other).with_context(|| format!("{COMMAND}={}", other.display()))
}

impl Built {
    /// Builds it all.
    pub(super) fn build() -> Result<Self> {
        let modules = guests()?;
        let target = target_dir();
        let folder = Folder::new(target.join("bench"))?;
        eprintln!("compiling the native twins");
        let programs = workspace_dir().join("guest-tests/programs");
        let twins = Toolchain::build_native(&programs, &target.join("guests-native"), &TWINS)?;
        let toolchain = setup::ensure_toolchain()?;
        for (feature, _) in DIALECTS {
            toolchain.build_for_dialect(&programs, &in_dialect(feature), feature, &["http_server"])?;
        }
        let wasock = wasock()?;
        let component_host = instructions::build("component")?;
        let (component, async_component) = components(&toolchain, &modules, &folder)?;
        let big = folder.file("http_server_big.wasm");
        let small = fs::read(modules.join("http_server.wasm"))?;
        fs::write(&big, big_module::padded(&small).context("http_server.wasm")?)?;
        Ok(Self {
            wasock,
            cache: folder.file("cache"),
            modules,
            modules_with_threads: target.join("guests").join(THREADS_TARGET).join("release"),
            twins,
            big,
            component,
            async_component,
            component_host,
            folder,
        })
    }

    pub(super) fn module(&self, program: &str, module: Module) -> PathBuf {
        let file = format!("{program}.wasm");
        match module {
            Module::Big => self.big.clone(),
            Module::Small if program.starts_with("threaded") => self.modules_with_threads.join(file),
            Module::Small => self.modules.join(file),
        }
    }

    /// The module of `program` with the calls of another dialect, by its feature.
    pub(super) fn module_in(&self, program: &str, dialect: &str) -> PathBuf {
        in_dialect(dialect).join(TARGET).join("release").join(format!("{program}.wasm"))
    }

    pub(super) fn twin(&self, program: &str) -> PathBuf {
        self.twins.join(program)
    }
}

/// Where the programs are compiled for a dialect.
fn in_dialect(feature: &str) -> PathBuf {
    target_dir().join(format!("guests-{feature}"))
}

/// What is compiled to measure processes.
pub(super) struct Processes {
    modules: PathBuf,
    twins: PathBuf,
}

impl Processes {
    /// Compiles the programs and their twins, and rewrites the programs so that they can copy themselves.
    ///
    /// # Errors
    ///
    /// Where one does not compile, or there is no tool to rewrite it.
    pub(super) fn build(folder: &Folder) -> Result<Self> {
        let toolchain = setup::ensure_toolchain()?;
        eprintln!("compiling the programs of several processes");
        let (packages, target) = peers();
        let modules = toolchain.build(&packages, &target)?;
        let twins = Toolchain::build_native(&packages, &target, &PROCESSES)?;
        let programs = workspace_dir().join("guest-tests/programs");
        let servers = toolchain.build_to_asyncify(&programs, &target_dir().join("guests"))?;
        let rewritten = Folder::new(folder.file("processes"))?;
        let all =
            PROCESSES.map(|program| (&modules, program)).into_iter().chain([(&servers, SERVER_OF_PROCESSES)]);
        for (from, program) in all {
            let file = format!("{program}.wasm");
            let is_there = asyncify(&from.join(&file), &rewritten.file(&file))?;
            ensure!(is_there, "no wasm-opt: apt-get install {WASM_OPT_PACKAGE}");
        }
        Ok(Self { modules: rewritten.0, twins })
    }

    pub(super) fn module(&self, program: &str) -> PathBuf {
        self.modules.join(program).with_extension("wasm")
    }

    pub(super) fn twin(&self, program: &str) -> PathBuf {
        self.twins.join(program)
    }

    /// HTTP by one process or by several.
    pub(super) fn server(&self) -> PathBuf {
        self.module(SERVER_OF_PROCESSES)
    }
}

/// The packages that are a workspace of their own, and where they are compiled.
fn peers() -> (PathBuf, PathBuf) {
    (workspace_dir().join("benches/peers"), target_dir().join("peers"))
}

/// Makes components of `http_server`, which is compiled for WASI 0.2, and of `p3_server` of the `guests`, and says where
/// they are.
fn components(toolchain: &Toolchain, guests: &Path, folder: &Folder) -> Result<(PathBuf, PathBuf)> {
    eprintln!("compiling the component (the first time, the tool that makes it too)");
    let (packages, target) = peers();
    let modules = toolchain.build(&packages, &target)?;
    let tools = Toolchain::build_native(&packages, &target, &["component"])?;
    let made_of = |module: PathBuf, component: &str, kind: Option<&str>| {
        let component = folder.file(component);
        let mut command = Command::new(tools.join("component"));
        command.arg(module).arg(&component).args(kind).stdin(Stdio::null());
        succeed(command)?;
        Ok::<_, anyhow::Error>(component)
    };
    Ok((
        made_of(modules.join("http_server.wasm"), "http_server_p2.wasm", None)?,
        made_of(guests.join("p3_server.wasm"), "p3_server.wasm", Some("reactor"))?,
    ))
}
