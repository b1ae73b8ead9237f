//! Why a file is no guest.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::observe::Escaped;
use crate::observe::text::Excerpt;

/// Why a file is no guest. One line: what, where, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file can't be read.
    Unreadable(PathBuf, io::Error),
    /// It is neither WebAssembly nor its text.
    NotWasm(PathBuf),
    /// It is a component, and this library was built without them.
    Component(PathBuf),
    /// It is a component, and no program that this host runs: the sentence says what it is. Names that
    /// the component chose are escaped in it.
    NotProgram(PathBuf, String),
    /// It is a component with async functions, and the engine lacks them:
    /// [`Config::concurrency_support`](wasmtime::Config::concurrency_support) is what it needs.
    NeedsAsync(PathBuf),
    /// It is a component that is broken, or needs what the engine lacks.
    InvalidComponent(PathBuf, wasmtime::Error),
    /// It needs threads, and the engine has none, or the operator forbids them.
    NeedsThreads(PathBuf),
    /// It imports what only one dialect has, and what only another one has. The sentence names both
    /// imports; names that the module chose are escaped in it.
    MixesDialects(PathBuf, String),
    /// It is broken, or needs what the engine lacks.
    Invalid(PathBuf, wasmtime::Error),
    /// A copy of an instance would not be all that the instance is: the reason.
    NotCopied(PathBuf, String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", Escaped(path.display())),
            Self::NotWasm(path) => write!(
                f,
                "{} is not WebAssembly: expected a module or a component (.wasm) or its text (.wat), as built for \
                 wasm32-wasip1 or wasm32-wasip2",
                Escaped(path.display())
            ),
            Self::Component(path) => write!(
                f,
                "{} is a component: this host was built without them; build it for wasm32-wasip1, without \
                 componentizing it",
                Escaped(path.display())
            ),
            Self::NotProgram(path, why) => write!(f, "{} {why}", Escaped(path.display())),
            Self::NeedsAsync(path) => write!(
                f,
                "{} has async functions, as components of WASI 0.3 have: its engine needs them too \
                 (Config::concurrency_support)",
                Escaped(path.display())
            ),
            Self::NeedsThreads(path) => write!(
                f,
                "{} needs threads, which are not allowed here: build it without them, or run it without \
                 --no-threads",
                Escaped(path.display())
            ),
            Self::NotCopied(path, why) => write!(
                f,
                "{} can't be started once and copied for each connection: it {why}",
                Escaped(path.display())
            ),
            Self::MixesDialects(path, mixture) => write!(f, "{} {mixture}", Escaped(path.display())),
            Self::Invalid(path, error) => invalid(f, path, "module", error),
            Self::InvalidComponent(path, error) => invalid(f, path, "component", error),
        }
    }
}

fn invalid(f: &mut fmt::Formatter<'_>, path: &Path, what: &str, error: &wasmtime::Error) -> fmt::Result {
    // The reason quotes names of the file's.
    let reason = one_line(&format!("{error:#}"));
    write!(f, "{} is not a valid {what}: {}", Escaped(path.display()), Excerpt::sentence(reason))
}

/// The engine's reason without the excerpt that it draws below an error in a text.
fn one_line(reason: &str) -> String {
    let mut line = String::new();
    for part in reason.lines().map(str::trim) {
        match part.strip_prefix("--> ").and_then(|place| place.split_once(':')) {
            Some((_, place)) => line += &format!(" (at {place})"),
            None if part.contains('|') => {}
            None if line.is_empty() => line += part,
            None => line = line + " " + part,
        }
    }
    line.trim_end().to_owned()
}

impl std::error::Error for LoadError {}
