//! The compile cache: what was compiled once is mapped from a file the next time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trusted_code::{Bounds, Code, Folder, Key, Kind};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};
use wasock::Compile;
use wasock::observe::Escaped;

use crate::args::RunArgs;
use crate::report::say;

/// The folder of this program among those of others.
const NAME: &str = "wasock";

/// That of the code in there. A folder of its own, since only this user may use it.
const CODE: &str = "code";

/// What is kept at most: code has two to four times the bytes of its module.
pub(crate) const BOUNDS: Bounds = Bounds { bytes: 1 << 30, unused: Duration::from_secs(60 * 24 * 60 * 60) };

/// Code that this user's hosts have compiled.
pub(crate) struct Cache(Folder);

/// The cache that `args` ask for, if there can be one. Without, all is compiled anew: that costs time, not the run.
pub(crate) fn open(args: &RunArgs) -> Option<Arc<dyn Compile>> {
    let path = directory(args)?;
    let folder = match Folder::open(&path) {
        Ok(folder) => folder,
        // Who has asked for it is told.
        Err(error) if args.cache.is_some() => {
            say!("wasock: no compile cache (--cache): {}", Escaped(error));
            return None;
        }
        Err(error) => {
            tracing::info!("no compile cache: {}", Escaped(error));
            return None;
        }
    };
    if let Some(directory) = writable(&folder, args) {
        say!(
            "wasock: the compile cache is not used: the guest may write to {} (--dir), and what is in {} runs \
             outside of its sandbox; keep the two apart (--cache), or say --no-cache",
            Escaped(directory.display()),
            Escaped(path.display())
        );
        return None;
    }
    Some(Arc::new(Cache(folder)))
}

/// Where it is: `--cache`, or the user's folder for caches.
pub(crate) fn directory(args: &RunArgs) -> Option<PathBuf> {
    if args.no_cache {
        return None;
    }
    let folder = args.cache.clone().or_else(|| Some(user_folder()?.join(NAME)))?;
    Some(folder.join(CODE))
}

/// "All paths set in these environment variables must be absolute. If an implementation encounters
/// a relative path in any of these variables it should consider the path invalid and ignore
/// it." - XDG Base Directory Specification
fn user_folder() -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute);
    named.or_else(|| Some(std::env::home_dir().filter(absolute)?.join(".cache")))
}

/// The directory by which the guest could change what is in the folder.
fn writable<'a>(folder: &Folder, args: &'a RunArgs) -> Option<&'a Path> {
    let mut granted = args.dir.iter().map(|directory| directory.host.as_path());
    // One that is not there is refused elsewhere.
    granted.find(|directory| folder.overlaps(directory).unwrap_or(false))
}

impl Cache {
    fn get<T>(
        &self,
        engine: &Engine,
        kind: Kind,
        binary: &[u8],
        find: impl Fn(&Folder, &Engine, &Key) -> io::Result<Option<T>>,
        load: impl FnOnce(&Code<'_>, &Engine) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<T> {
        let key = Key::of(engine, kind, binary);
        match find(&self.0, engine, &key) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => tracing::info!("compiling anew: the compile cache has {key}, but {error}"),
        }
        let code = Code::compile(engine, kind, binary)?;
        if let Err(error) = self.keep(&key, &code) {
            tracing::info!("what was compiled is not kept: {error}");
            return load(&code, engine);
        }
        // A file takes no memory for what never runs, and is shared with other hosts.
        match find(&self.0, engine, &key) {
            Ok(Some(found)) => Ok(found),
            _ => load(&code, engine),
        }
    }

    fn keep(&self, key: &Key, code: &Code<'_>) -> io::Result<()> {
        self.0.keep(key, code)?;
        let swept = self.0.sweep(BOUNDS)?;
        if swept.count > 0 {
            tracing::info!("removed {} files with {} bytes from the compile cache", swept.count, swept.bytes);
        }
        Ok(())
    }
}

impl Compile for Cache {
    fn module(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
        self.get(engine, Kind::Module, binary, Folder::module, |code, engine| code.module(engine))
    }

    fn component(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Component> {
        self.get(engine, Kind::Component, binary, Folder::component, |code, engine| code.component(engine))
    }
}
