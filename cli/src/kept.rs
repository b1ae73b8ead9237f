//! The code of programs that are in files, for processes that are not to see where it is kept: those of containers.
//!
//! A process of a container asks one outside, its [keeper](KeepCode), and sends the program. The keeper
//! never takes code from there: it compiles what it does not have itself, and passes on what nobody can change, with a seal.
//! So who gets out of a guest's sandbox finds nothing in that process by which other containers' code could be changed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use trusted_code::{Code, Folder, Key, Kind, MemoryFile};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};
use wasock::Compile;

use crate::args::RunArgs;
use crate::cache;
use crate::contained::Compiler;
use crate::precompiled::Precompiler;
use crate::run;

/// The folder of this code, in that of the secret.
pub(crate) const FOLDER: &str = "code";

/// The way from a container's process to what keeps code for it: [`Precompiler::kept_code`], somewhere.
pub trait KeepCode: Send + Sync {
    /// The file with the code that is known by `key`, which `program` is compiled to; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Where nobody answers. The program is compiled here then.
    fn code(&self, key: &[u8], program: &[u8]) -> io::Result<Option<OwnedFd>>;
}

impl Precompiler {
    /// The code that is known by `key`, if it is kept: what [`KeepCode::code`] returns in a process to which it is
    /// passed.
    ///
    /// # Errors
    ///
    /// Where the folder is not this user's alone; and those of the system.
    pub fn kept_code(&self, key: &[u8]) -> io::Result<Option<OwnedFd>> {
        let Some(key) = Key::from_bytes(key) else { return Ok(None) };
        let Some(code) = Folder::open(&self.code)?.code(&key)? else { return Ok(None) };
        MemoryFile::new(&code, &self.secret, &key).map(|file| Some(file.into()))
    }

    /// Compiles `program`, and keeps the code where `key` is of an engine that a run has by itself. What nobody uses is
    /// removed after 60 days, and before that what is beyond a gibibyte.
    ///
    /// It takes its time, and all processors.
    ///
    /// # Errors
    ///
    /// Where the program is invalid, or the key is another one's; and those of the system.
    pub fn keep_code(self: &Arc<Self>, key: &[u8], program: &[u8]) -> Result<()> {
        let key = Key::from_bytes(key).context("it is no key")?;
        let engine = self.engine_of(&key, program)?.context("no engine of this version has that key")?;
        let code = Code::compile(&engine, key.kind(), program).map_err(|error| anyhow!("{error:#}"))?;
        let folder = Folder::open(&self.code)?;
        folder.keep(&key, &code)?;
        folder.sweep(cache::BOUNDS)?;
        Ok(())
    }

    /// The engine for which `key` is that of `program`.
    fn engine_of(self: &Arc<Self>, key: &Key, program: &[u8]) -> Result<Option<Engine>> {
        let compiler = Asked { precompiler: Arc::clone(self), keeper: None };
        let mut args = RunArgs::for_image("program", &[], Compiler(Arc::new(compiler)))?;
        for (no_threads, has_async) in [(false, false), (true, false), (false, true), (true, true)] {
            args.no_threads = no_threads;
            let engine = run::engine_for(&args, true, has_async)?;
            if Key::of(&engine, key.kind(), program) == *key {
                return Ok(Some(engine));
            }
        }
        Ok(None)
    }
}

/// Compiles what nobody keeps.
pub(crate) struct Asked {
    pub(crate) precompiler: Arc<Precompiler>,
    pub(crate) keeper: Option<Arc<dyn KeepCode>>,
}

impl Asked {
    fn get<T>(
        &self,
        engine: &Engine,
        kind: Kind,
        program: &[u8],
        load: impl FnOnce(MemoryFile, &Key) -> io::Result<T>,
    ) -> Option<T> {
        let keeper = self.keeper.as_ref()?;
        let key = Key::of(engine, kind, program);
        let found = keeper.code(&key.to_bytes(), program).and_then(|file| match file {
            Some(file) => load(file.into(), &key).map(Some),
            None => Ok(None),
        });
        found.unwrap_or_else(|error| {
            tracing::info!("compiling here: of the code that is kept outside, {error}");
            None
        })
    }
}

impl Compile for Asked {
    fn module(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
        let load = |file: MemoryFile, key: &Key| file.module(engine, &self.precompiler.secret, key);
        let found = self.get(engine, Kind::Module, binary, load);
        found.map_or_else(|| Module::from_binary(engine, binary), Ok)
    }

    fn component(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Component> {
        let load = |file: MemoryFile, key: &Key| file.component(engine, &self.precompiler.secret, key);
        let found = self.get(engine, Kind::Component, binary, load);
        found.map_or_else(|| Component::from_binary(engine, binary), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};

    const PROGRAM: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

    /// A keeper in this very process.
    struct Keeper {
        precompiler: Arc<Precompiler>,
        passed: Mutex<u32>,
    }

    impl KeepCode for Keeper {
        fn code(&self, key: &[u8], program: &[u8]) -> io::Result<Option<OwnedFd>> {
            let kept = self.precompiler.kept_code(key)?;
            match &kept {
                Some(_) => *self.passed.lock().unwrap_or_else(PoisonError::into_inner) += 1,
                None => self.precompiler.keep_code(key, program).map_err(io::Error::other)?,
            }
            Ok(kept)
        }
    }

    fn keeper(folder: &Path) -> Result<Arc<Keeper>> {
        let precompiler = Arc::new(Precompiler::open(&folder.join("host"))?);
        Ok(Arc::new(Keeper { precompiler, passed: Mutex::default() }))
    }

    /// How often it has passed code on.
    fn passed(keeper: &Keeper) -> u32 {
        *keeper.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(keeper: &Arc<Keeper>, precompiler: &Arc<Precompiler>, flag: &str) -> Result<()> {
        let asked =
            Asked { precompiler: Arc::clone(precompiler), keeper: Some(Arc::<Keeper>::clone(keeper)) };
        let mut args = RunArgs::for_image("a.wat", PROGRAM.as_bytes(), Compiler(Arc::new(asked)))?;
        args.no_threads = flag == "--no-threads";
        run::load(Path::new("a.wat"), &args).map(drop)
    }

    #[test]
    fn what_one_process_keeps_another_one_runs() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let keeper = keeper(folder.path())?;
        for expected in [0, 1, 2] {
            load(&keeper, &keeper.precompiler, "")?;
            assert_eq!(passed(&keeper), expected);
        }
        // It is kept for each engine by itself.
        load(&keeper, &keeper.precompiler, "--no-threads")?;
        assert_eq!(passed(&keeper), 2);
        load(&keeper, &keeper.precompiler, "--no-threads")?;
        assert_eq!(passed(&keeper), 3);
        Ok(())
    }

    #[test]
    fn nothing_is_kept_under_the_key_of_another_program() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let keeper = keeper(folder.path())?;
        let asked = Asked { precompiler: Arc::clone(&keeper.precompiler), keeper: None };
        let args = RunArgs::for_image("a", b"", Compiler(Arc::new(asked)))?;
        let engine = run::engine_for(&args, true, false)?;
        let binary = wat::parse_str(PROGRAM)?;
        let key = Key::of(&engine, Kind::Module, &binary).to_bytes();
        let other = wat::parse_str("(module)")?;
        assert!(keeper.precompiler.keep_code(&key, &other).is_err());
        assert!(keeper.precompiler.keep_code(b"", &binary).is_err());
        assert!(keeper.precompiler.kept_code(&key)?.is_none());
        keeper.precompiler.keep_code(&key, &binary)?;
        assert!(keeper.precompiler.kept_code(&key)?.is_some());
        Ok(())
    }

    /// One that has another secret, or says nothing of use.
    #[test]
    fn a_keeper_that_is_not_believed_costs_a_compilation() -> Result<()> {
        let (folder, another) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let keeper = keeper(folder.path())?;
        let stranger = Arc::new(Precompiler::open(&another.path().join("host"))?);
        load(&keeper, &stranger, "")?;
        load(&keeper, &stranger, "")?;
        assert_eq!(passed(&keeper), 1);
        Ok(())
    }
}
