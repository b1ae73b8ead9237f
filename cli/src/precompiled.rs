//! Programs that this host has compiled before they run, and that others keep meanwhile: containerd, for the shim.
//!
//! What is kept is the program as it was, and the code of it in pieces, each with a seal by a secret of this host. A
//! piece without its seal, or for another engine than the run's, is as none: then the program is compiled anew, or
//! [kept code](crate::kept) is asked for.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use trusted_code::{Code, Folder, Key, Kind, Secret};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};
use wasock::Compile;

use crate::args::RunArgs;
use crate::contained::Compiler;
use crate::kept::{self, Asked};
use crate::run;

/// How a program with its code begins. No program of WebAssembly does.
const MAGIC: &[u8; 16] = b"\0wasock-code-1\0\0";

/// The file of the secret, by which one is told from another.
const SECRET: &str = "secret";

/// Compiles programs for [`ContainedRun`](crate::ContainedRun)s of this host.
#[derive(Debug)]
pub struct Precompiler {
    pub(crate) secret: Secret,
    identity: (u64, i64, i64),
    /// Where the code of programs in files is, which only processes outside of containers can see.
    pub(crate) code: PathBuf,
}

impl Precompiler {
    /// With the secret in the directory `path`, which is made where it is missing. It must be this user's alone, as
    /// must be the ways to it.
    ///
    /// # Errors
    ///
    /// Where it is not, or the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let secret = Folder::open(path)?.secret()?;
        let file = path.join(SECRET).symlink_metadata()?;
        let identity = (file.ino(), file.ctime(), file.ctime_nsec());
        Ok(Self { secret, identity, code: path.join(kept::FOLDER) })
    }

    /// What tells this one from those whose code it does not take: of another version, or with another secret.
    pub fn identity(&self) -> impl std::hash::Hash + use<> {
        (env!("CARGO_PKG_VERSION"), self.identity)
    }

    /// The program `bytes` with its code, for [`Program::Image`](crate::Program::Image) of a run that has this
    /// [precompiler](crate::ContainedRun::precompiler). `name` is for messages.
    ///
    /// It takes its time, and all processors.
    ///
    /// # Errors
    ///
    /// Where no run would take the program.
    pub fn compile(self: &Arc<Self>, name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        let recorder = Arc::new(Recorder { precompiler: Arc::clone(self), pieces: Mutex::default() });
        let compiler = Compiler(Arc::<Recorder>::clone(&recorder));
        run::load(Path::new(name), &RunArgs::for_image(name, bytes, compiler)?)?;
        let pieces = recorder.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        encode(bytes, &pieces).context("more bytes than can be counted")
    }
}

/// Keeps a seal of everything that is compiled.
struct Recorder {
    precompiler: Arc<Precompiler>,
    pieces: Mutex<Vec<Vec<u8>>>,
}

impl Recorder {
    fn compile(&self, engine: &Engine, kind: Kind, binary: &[u8]) -> wasmtime::Result<Code<'static>> {
        let code = Code::compile(engine, kind, binary)?;
        let sealed = code.seal(&self.precompiler.secret, &Key::of(engine, kind, binary));
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).push(sealed);
        Ok(code)
    }
}

impl Compile for Recorder {
    fn module(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
        self.compile(engine, Kind::Module, binary)?.module(engine)
    }

    fn component(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Component> {
        self.compile(engine, Kind::Component, binary)?.component(engine)
    }
}

/// A program, and what of its code may be there.
pub(crate) struct Decoded {
    pub(crate) program: Vec<u8>,
    pieces: Vec<Vec<u8>>,
}

impl Decoded {
    /// Takes apart what [`Precompiler::compile`] returned; anything else is the program.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        match decode(&bytes) {
            Some((program, pieces)) => {
                let pieces = pieces.into_iter().map(<[u8]>::to_vec).collect();
                Self { program: program.to_vec(), pieces }
            }
            None => Self { program: bytes, pieces: Vec::new() },
        }
    }

    /// The program, and what finds the code of it that `asked` proves, or asks for it.
    pub(crate) fn compiler(self, asked: Asked) -> (Vec<u8>, Compiler) {
        let Self { program, pieces } = self;
        (program, Compiler(Arc::new(Sealed { asked, pieces })))
    }
}

/// The program in what [`Precompiler::compile`] returned; anything else is the program.
pub(crate) fn program_in(bytes: &[u8]) -> &[u8] {
    decode(bytes).map_or(bytes, |(program, _)| program)
}

/// Code that was compiled before.
struct Sealed {
    asked: Asked,
    pieces: Vec<Vec<u8>>,
}

impl Sealed {
    fn get<T>(
        &self,
        engine: &Engine,
        kind: Kind,
        binary: &[u8],
        load: impl Fn(&Code<'_>, &Engine) -> wasmtime::Result<T>,
    ) -> Option<T> {
        let key = Key::of(engine, kind, binary);
        let mut codes =
            self.pieces.iter().filter_map(|piece| Code::unseal(&self.asked.precompiler.secret, &key, piece));
        codes.find_map(|code| load(&code, engine).ok())
    }
}

impl Compile for Sealed {
    fn module(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
        let found = self.get(engine, Kind::Module, binary, |code, engine| code.module(engine));
        found.map_or_else(|| self.asked.module(engine, binary), Ok)
    }

    fn component(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Component> {
        let found = self.get(engine, Kind::Component, binary, |code, engine| code.component(engine));
        found.map_or_else(|| self.asked.component(engine, binary), Ok)
    }
}

/// The magic bytes, then each part after its length: the program first.
fn encode(program: &[u8], pieces: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    for part in [program].into_iter().chain(pieces.iter().map(Vec::as_slice)) {
        bytes.extend(u64::try_from(part.len()).ok()?.to_le_bytes());
        bytes.extend(part);
    }
    Some(bytes)
}

/// `None` for what was not encoded so.
fn decode(bytes: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk()?;
        let (part, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        parts.push(part);
        rest = after;
    }
    let (program, pieces) = parts.split_first()?;
    Some((*program, pieces.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use anyhow::bail;

    const PROGRAM: &[u8] = br#"(module (memory (export "memory") 1) (func (export "_start")))"#;

    fn precompiler(folder: &Path) -> Result<Arc<Precompiler>> {
        Ok(Arc::new(Precompiler::open(&folder.join("code"))?))
    }

    /// Does a run that has `precompiler` find the code of the program in `packed`?
    fn finds(packed: &[u8], precompiler: Arc<Precompiler>) -> Result<bool> {
        let asked = Asked { precompiler, keeper: None };
        let sealed = Arc::new(Sealed { asked, pieces: Decoded::of(packed.to_vec()).pieces });
        let compiler = Compiler(Arc::<Sealed>::clone(&sealed));
        let engine = run::engine_for(&RunArgs::for_image("a", PROGRAM, compiler)?, true, false)?;
        let binary = wat::parse_bytes(PROGRAM)?;
        Ok(sealed.get(&engine, Kind::Module, &binary, |code, engine| code.module(engine)).is_some())
    }

    #[test]
    fn a_program_comes_back_with_its_code() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let precompiler = precompiler(folder.path())?;
        let packed = precompiler.compile("a.wat", PROGRAM)?;
        assert_eq!(Decoded::of(packed.clone()).program, PROGRAM);
        assert!(finds(&packed, Arc::clone(&precompiler))?);
        let run = RunArgs::for_image(
            "a",
            PROGRAM,
            Decoded::of(packed).compiler(Asked { precompiler, keeper: None }).1,
        )?;
        run::load(Path::new("a"), &run)?;
        Ok(())
    }

    #[test]
    fn code_of_another_host_or_with_another_bit_is_as_none() -> Result<()> {
        let (folder, another) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let own = precompiler(folder.path())?;
        let packed = own.compile("a.wat", PROGRAM)?;
        assert!(!finds(&packed, precompiler(another.path())?)?);
        let mut changed = packed.clone();
        let place = MAGIC.len() + 16 + PROGRAM.len() + 100;
        changed.get_mut(place).context("it is shorter").map(|byte| *byte ^= 1)?;
        assert!(!finds(&changed, Arc::clone(&own))?);
        // What is cut is no such thing, and then no program.
        let cut = packed.get(..packed.len() - 1).unwrap_or_default();
        assert_eq!(Decoded::of(cut.to_vec()).program, cut);
        assert!(own.compile("a", b"garbage").is_err());
        Ok(())
    }

    #[test]
    fn what_was_never_packed_is_the_program() {
        for bytes in
            [PROGRAM, b"\0asm\x01\0\0\0", b"", MAGIC, b"\0wasock-code-1\0\0\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            let decoded = Decoded::of(bytes.to_vec());
            assert_eq!((decoded.program.as_slice(), decoded.pieces.len()), (bytes, 0));
        }
    }

    /// Instances for connections come from a pool where the module is in no file, too.
    #[test]
    fn an_engine_for_connections_has_places_for_them() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let asked = Asked { precompiler: precompiler(folder.path())?, keeper: None };
        let mut args = RunArgs::for_image("a", PROGRAM, Compiler(Arc::new(asked)))?;
        assert!(run::engine_for(&args, true, false)?.pooling_allocator_metrics().is_none());
        let words = ["wasock", "run", "--per-connection", "127.0.0.1:0", "--", "a"];
        let Command::Run(for_each) = Args::read(words.into_iter().map(Into::into))?.command else {
            bail!("another command");
        };
        args.connections = for_each.connections;
        assert!(run::engine_for(&args, true, false)?.pooling_allocator_metrics().is_some());
        Ok(())
    }
}
