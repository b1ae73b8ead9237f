//! Code that one process passes to another one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
#[cfg(feature = "components")]
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::code::CodeFile;
use crate::{Code, Key, Secret, proof};

/// Nobody can change what is in there, whatever rights and mappings he has.
const UNCHANGEABLE: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW);

/// A file in memory that has code with its seal, and that nobody can change any more. A process that may not see a
/// [`Folder`](crate::Folder), or that others might take over, gets its code so from one that has it.
///
/// Its descriptor may come from anybody: what is not such a file is an error when it is loaded.
#[derive(Debug)]
pub struct MemoryFile(OwnedFd);

impl MemoryFile {
    /// One with `code`, which is known by `key`.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn new(code: &Code<'_>, secret: &Secret, key: &Key) -> io::Result<Self> {
        let mut file =
            File::from(memfd_create("code", MemfdFlags::CLOEXEC.union(MemfdFlags::ALLOW_SEALING))?);
        file.write_all(&code.seal(secret, key))?;
        // Not even further seals.
        fcntl_add_seals(&file, UNCHANGEABLE.union(SealFlags::SEAL))?;
        Ok(Self(file.into()))
    }

    /// The module that is known by `key`: mapped from the file.
    ///
    /// # Errors
    ///
    /// Where the file is not one of a process that knew `secret`, for that key, or can be changed, or Wasmtime does not
    /// take its code. Compile anew then.
    pub fn module(self, engine: &Engine, secret: &Secret, key: &Key) -> io::Result<Module> {
        let map = |file: CodeFile| file.module(engine);
        proof::load(self.unchangeable()?, key, Some(secret), map, |code| code.module(engine))
    }

    /// The component that is known by `key`, as [`module`](Self::module) has it.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(feature = "components")]
    pub fn component(self, engine: &Engine, secret: &Secret, key: &Key) -> io::Result<Component> {
        let map = |file: CodeFile| file.component(engine);
        proof::load(self.unchangeable()?, key, Some(secret), map, |code| code.component(engine))
    }

    /// Before anything is read of it: what is proven afterwards stays so.
    fn unchangeable(self) -> io::Result<File> {
        // Of a file that has a name it is an error.
        if !fcntl_get_seals(&self.0)?.contains(UNCHANGEABLE) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it could still be changed"));
        }
        Ok(self.0.into())
    }
}

/// Whatever file it is.
impl From<OwnedFd> for MemoryFile {
    fn from(file: OwnedFd) -> Self {
        Self(file)
    }
}

impl From<MemoryFile> for OwnedFd {
    fn from(file: MemoryFile) -> Self {
        file.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use wasmtime::{Instance, Store};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const SECRET: Secret = Secret([1; 32]);

    fn of(engine: &Engine, text: &str) -> wasmtime::Result<(Key, Code<'static>)> {
        let key = Key::of(engine, Kind::Module, text.as_bytes());
        Ok((key, Code::compile(engine, Kind::Module, text.as_bytes())?))
    }

    const ANSWERS: &str = r#"(module (memory 1) (data (i32.const 0) "abc") (func (export "answer") (result i32) (i32.const 42)))"#;

    #[test]
    fn what_is_passed_runs() -> Outcome {
        let engine = Engine::default();
        let (key, code) = of(&engine, ANSWERS)?;
        let passed = OwnedFd::from(MemoryFile::new(&code, &SECRET, &key)?);
        let module = MemoryFile::from(passed).module(&engine, &SECRET, &key)?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "answer")?.call(&mut store, ())?, 42);
        Ok(())
    }

    #[test]
    fn another_secret_or_key_is_not_believed() -> Outcome {
        let engine = Engine::default();
        let (key, code) = of(&engine, ANSWERS)?;
        let (other, _) = of(&engine, "(module)")?;
        for (secret, asked) in [(Secret([2; 32]), key), (SECRET, other)] {
            let file = MemoryFile::new(&code, &SECRET, &key)?;
            assert!(file.module(&engine, &secret, &asked).is_err());
        }
        Ok(())
    }

    #[test]
    fn what_can_still_be_changed_is_not_loaded() -> Outcome {
        let engine = Engine::default();
        let (key, code) = of(&engine, ANSWERS)?;
        let bytes = code.seal(&SECRET, &key);
        // With all seals but one.
        for missing in [SealFlags::WRITE, SealFlags::SHRINK, SealFlags::GROW] {
            let mut file = File::from(memfd_create("code", MemfdFlags::ALLOW_SEALING)?);
            file.write_all(&bytes)?;
            fcntl_add_seals(&file, UNCHANGEABLE.difference(missing))?;
            let refusal = MemoryFile(file.into()).module(&engine, &SECRET, &key);
            assert!(refusal.is_err_and(|it| it.to_string().contains("could still be changed")));
        }
        // A file on a disk.
        let mut file = tempfile::tempfile()?;
        file.write_all(&bytes)?;
        assert!(MemoryFile(file.into()).module(&engine, &SECRET, &key).is_err());
        let (reader, _writer) = io::pipe()?;
        assert!(MemoryFile(reader.into()).module(&engine, &SECRET, &key).is_err());
        Ok(())
    }

    #[test]
    fn nobody_writes_to_it() -> Outcome {
        let engine = Engine::default();
        let (key, code) = of(&engine, "(module)")?;
        let mut file = File::from(OwnedFd::from(MemoryFile::new(&code, &SECRET, &key)?));
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
        Ok(())
    }
}
