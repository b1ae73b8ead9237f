//! Finds a compiler for `wasm32-wasip1` and builds the guests with it.
//!
//! Two are known: the one that rustup installs, and the packages of Debian,
//! which compile the standard library along with the first guest. Used by the
//! build script of `guest-tests` and by `cargo xtask`.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target of guests with one thread.
pub const TARGET: &str = "wasm32-wasip1";

/// The target of guests with threads.
pub const THREADS_TARGET: &str = "wasm32-wasip1-threads";

/// The target of components that need the standard library of WASI 0.2.
pub const COMPONENT_TARGET: &str = "wasm32-wasip2";

/// The packages of guests with threads.
const THREADED_PROGRAMS: [&str; 2] = ["threaded_programs", "threaded_programs_v1"];

/// The package of guests that are rewritten.
pub const ASYNCIFIED: &str = "asyncify_programs";

/// The same with threads.
pub const ASYNCIFIED_WITH_THREADS: &str = "asyncify_threaded";

/// The packages of Debian that make a toolchain for guests.
pub const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc", "lld-22"];

/// What to say when there is no toolchain.
pub const MISSING: &str = "no Rust toolchain for wasm32-wasip1: run \
     `rustup target add wasm32-wasip1 wasm32-wasip1-threads`, or on Debian `apt-get install rustc-web cargo-web rust-web-src wasi-libc lld-22`";

/// Binaryen's tool, which rewrites modules so that they can put their stack aside.
pub const WASM_OPT: &str = "wasm-opt";

/// The package of Debian that has it. Tests of such modules are passed over without.
pub const WASM_OPT_PACKAGE: &str = "binaryen";

/// Rewrites `module` by `wasm-opt --asyncify`; returns whether there is that tool.
///
/// # Errors
///
/// When it refuses the module.
pub fn asyncify(module: &Path, to: &Path) -> Result<bool> {
    let mut command = Command::new(WASM_OPT);
    command.args(["--asyncify", "-O1", "--all-features"]).arg(module).arg("-o").arg(to);
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(true),
        Ok(_) => bail!("{WASM_OPT} can't rewrite {}", module.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot start {command:?}")),
    }
}

/// A way to compile guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The active toolchain has the targets installed.
    Rustup,
    /// The packages of Debian.
    Debian {
        /// The linker of that version of LLVM.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// The toolchain that is installed, if any.
    pub fn find() -> Option<Self> {
        if has_targets(&[TARGET, THREADS_TARGET]) {
            return Some(Self::Rustup);
        }
        let linker = ["/usr/bin/wasm-ld-22", "/usr/bin/wasm-ld"]
            .into_iter()
            .map(PathBuf::from)
            .find(|linker| linker.exists())?;
        let needed = [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_START, DEBIAN_STD];
        let has_all = needed.iter().all(|path| Path::new(path).exists());
        has_all.then_some(Self::Debian { linker })
    }

    /// Builds the guests with one thread of the workspace in `programs`; the modules land
    /// in the folder that it returns.
    ///
    /// # Errors
    ///
    /// When the compiler does not start or refuses a program.
    pub fn build(&self, programs: &Path, target_dir: &Path) -> Result<PathBuf> {
        build_for(TARGET, self.command(), programs, target_dir)
    }

    /// Builds the programs of `names` once more, with the calls of another dialect below the same
    /// functions, which `feature` chooses.
    ///
    /// # Errors
    ///
    /// When the compiler does not start or refuses a program.
    pub fn build_for_dialect(
        &self,
        programs: &Path,
        target_dir: &Path,
        feature: &str,
        names: &[&str],
    ) -> Result<PathBuf> {
        let mut command = self.command();
        command.args(["--package", "guests", "--package", "http_server"]);
        command.arg("--features").arg(format!("guests/{feature}"));
        command.args(names.iter().flat_map(|name| ["--bin", name]));
        build_for(TARGET, command, programs, target_dir)
    }

    /// Builds the guests with threads, as [`Toolchain::build`] does the others.
    ///
    /// # Errors
    ///
    /// When the compiler does not start or refuses a program.
    pub fn build_threads(&self, programs: &Path, target_dir: &Path) -> Result<PathBuf> {
        let mut command = self.threads_command();
        command.args(THREADED_PROGRAMS.iter().flat_map(|package| ["--package", package]));
        build_for(THREADS_TARGET, command, programs, target_dir)
    }

    /// Builds the modules of which components are made, those of `packages`. They land in the folder that it
    /// returns.
    ///
    /// # Errors
    ///
    /// When the compiler does not start or refuses a program.
    pub fn build_for_components(
        &self,
        programs: &Path,
        target_dir: &Path,
        packages: &[&str],
    ) -> Result<PathBuf> {
        let mut command = self.command();
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        build_for(TARGET, command, programs, target_dir)
    }

    /// Builds the components that need the standard library of WASI 0.2, where this toolchain has it:
    /// Debian's packages have none.
    ///
    /// # Errors
    ///
    /// When the compiler does not start or refuses a program.
    pub fn build_std_components(&self, programs: &Path, target_dir: &Path) -> Result<Option<PathBuf>> {
        if *self != Self::Rustup || !has_targets(&[COMPONENT_TARGET]) {
            return Ok(None);
        }
        let mut command = self.command();
        // tokio has sockets for this target behind that.
        command.env("RUSTFLAGS", "--cfg tokio_unstable").args(["--package", "component_std"]);
        build_for(COMPONENT_TARGET, command, programs, target_dir).map(Some)
    }

    /// Builds the modules that `wasm-opt --asyncify` is to rewrite. They land in the folder that it returns.
    ///
    /// # Errors
    ///
    /// When the compiler does not start or refuses a program.
    pub fn build_to_asyncify(&self, programs: &Path, target_dir: &Path) -> Result<PathBuf> {
        let mut command = self.command();
        command.args(["--package", ASYNCIFIED]);
        build_for(TARGET, command, programs, target_dir)
    }

    /// As [`Toolchain::build_to_asyncify`], for those with threads.
    ///
    /// # Errors
    ///
    /// When the compiler does not start or refuses a program.
    pub fn build_threads_to_asyncify(&self, programs: &Path, target_dir: &Path) -> Result<PathBuf> {
        let mut command = self.threads_command();
        command.args(["--package", ASYNCIFIED_WITH_THREADS]);
        build_for(THREADS_TARGET, command, programs, target_dir)
    }

    /// Builds the programs of `names` for this machine itself, from the same
    /// sources; they land in the folder that it returns.
    ///
    /// # Errors
    ///
    /// When the compiler does not start or refuses a program.
    pub fn build_native(programs: &Path, target_dir: &Path, names: &[&str]) -> Result<PathBuf> {
        // The compiler of the outer build, which has the standard library for it.
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = clean(Command::new(cargo));
        if let Some(rustc) = env::var_os("RUSTC") {
            command.env("RUSTC", rustc);
        }
        command
            .args(["build", "--release", "--locked", "--quiet", "--workspace"])
            .args(names.iter().flat_map(|name| ["--bin", name]))
            .current_dir(programs)
            .env("CARGO_TARGET_DIR", target_dir)
            .stdin(Stdio::null());
        let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
        if !status.success() {
            bail!("the native twins in {} do not compile", programs.display());
        }
        Ok(target_dir.join("release"))
    }

    fn command(&self) -> Command {
        match self {
            Self::Rustup => build_command("cargo"),
            Self::Debian { linker } => {
                let mut command = build_command(DEBIAN_CARGO);
                let start = format!("-L/usr/lib/wasm32-wasi -Clink-arg={DEBIAN_START}");
                command
                    .env("RUSTC", DEBIAN_RUSTC)
                    // The packages hold no compiled std for the target.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTFLAGS", format!("{} {OWN_START} {start}", debian_linker(linker)))
                    .arg("-Zbuild-std=std,panic_abort");
                command
            }
        }
    }

    /// Such guests have no std, and begin in functions of their own. How a thread begins
    /// is written in assembler, which the compiler calls unstable.
    fn threads_command(&self) -> Command {
        let mut command = match self {
            Self::Rustup => {
                let mut command = build_command("cargo");
                command.env("RUSTFLAGS", OWN_START);
                command
            }
            Self::Debian { linker } => {
                let mut command = build_command(DEBIAN_CARGO);
                command
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTFLAGS", format!("{} {OWN_START}", debian_linker(linker)))
                    .arg("-Zbuild-std=core,alloc,panic_abort");
                command
            }
        };
        command.env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

fn build_command(cargo: &str) -> Command {
    let mut command = clean(Command::new(cargo));
    command.args(["build", "--release", "--locked", "--quiet"]);
    command
}

fn build_for(target: &str, mut command: Command, programs: &Path, target_dir: &Path) -> Result<PathBuf> {
    command
        .args(["--target", target])
        .current_dir(programs)
        .env("CARGO_TARGET_DIR", target_dir)
        .stdin(Stdio::null());
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("the guests in {} do not compile for {target}", programs.display());
    }
    Ok(target_dir.join(target).join("release"))
}

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_START: &str = "/usr/lib/wasm32-wasi/crt1-command.o";
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust/library/Cargo.lock";

/// Without the start code that comes with the compiler.
const OWN_START: &str = "-Clink-self-contained=no";

fn debian_linker(linker: &Path) -> String {
    format!("-Clinker={} -Clinker-flavor=wasm-ld", linker.display())
}

/// Whether the compiler in use has the standard library for these targets.
fn has_targets(targets: &[&str]) -> bool {
    let output = clean(Command::new("rustc")).args(["--print", "sysroot"]).output();
    let Ok(output) = output else { return false };
    let sysroot = String::from_utf8_lossy(&output.stdout);
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
    let has = |target: &&str| libraries.join(target).join("lib").is_dir();
    output.status.success() && targets.iter().all(has)
}

/// Takes away what an outer cargo tells its own compilers. `PATH` begins with the
/// outer toolchain under rustup, so that `cargo` and `rustc` are the outer ones;
/// what must not go on are the flags, the wrapper and the folders.
fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        if is_of_cargo(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn is_of_cargo(name: &OsString) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let is_kept = matches!(name, "CARGO_HOME" | "CARGO_HTTP_CAINFO" | "CARGO_NET_OFFLINE")
        || name.starts_with("CARGO_REGISTRIES_")
        || name.starts_with("CARGO_REGISTRY_")
        || name.starts_with("CARGO_SOURCE_")
        || name.starts_with("CARGO_HTTP_")
        || name.starts_with("CARGO_NET_");
    let is_set_by_cargo = name.starts_with("CARGO")
        || name.starts_with("DEP_")
        || matches!(
            name,
            "RUSTC"
                | "RUSTDOC"
                | "RUSTFLAGS"
                | "RUSTC_WRAPPER"
                | "RUSTC_WORKSPACE_WRAPPER"
                | "RUSTC_LINKER"
                | "TARGET"
                | "HOST"
                | "OUT_DIR"
                | "PROFILE"
                | "OPT_LEVEL"
                | "DEBUG"
                | "NUM_JOBS"
                | "LD_LIBRARY_PATH"
        );
    is_set_by_cargo && !is_kept
}
