//! A directory of code, each piece in a file of its own.

mod sweep;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fstat,
    futimens, openat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
#[cfg(feature = "components")]
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::code::CodeFile;
use crate::proof;
use crate::trailer::{Trailer, digest_of};
use crate::walk::{look_at, open_own, overlap};
use crate::{Code, Key, Secret};

pub use sweep::{Bounds, Swept};

/// The file of the secret.
const SECRET: &str = "secret";

/// What the names of files begin with that are still being written.
const UNFINISHED: &str = ".new-";

/// How old the time of a file may be that is in use. Writing it anew each time would cost more.
const TIME_OF_USE: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory of code that nobody can have written but this user and root. Several processes may use it at once.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens the directory `path`, and makes it where it is missing. It must be this user's, of mode 0700, and below
    /// directories to which only this user and root can write; see [the contract](crate#the-contract).
    ///
    /// # Errors
    ///
    /// Where it is otherwise, with a sentence that names the place; and those of the system.
    pub fn open(path: &Path) -> io::Result<Self> {
        open_own(path).map(Self)
    }

    /// Does this folder lie in `directory`, or that in this one? Whoever may write there can write code
    /// then, and this folder proves nothing.
    ///
    /// # Errors
    ///
    /// Those of the system, as where there is no such directory.
    pub fn overlaps(&self, directory: &Path) -> io::Result<bool> {
        overlap(self.0.as_fd(), look_at(directory)?.as_fd())
    }

    /// The module that is known by `key`: mapped from its file, or `None` where there is no such file.
    ///
    /// # Errors
    ///
    /// Where there is a file, and it is not the one that was written, or Wasmtime does not take it. Compile anew then.
    pub fn module(&self, engine: &Engine, key: &Key) -> io::Result<Option<Module>> {
        let map = |file: CodeFile| file.module(engine);
        self.load(key, map, |code| code.module(engine))
    }

    /// The component that is known by `key`, as [`module`](Self::module) has it.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(feature = "components")]
    pub fn component(&self, engine: &Engine, key: &Key) -> io::Result<Option<Component>> {
        let map = |file: CodeFile| file.component(engine);
        self.load(key, map, |code| code.component(engine))
    }

    /// The code that is known by `key`, copied from its file: to be passed on.
    ///
    /// # Errors
    ///
    /// As [`module`](Self::module) has them.
    pub fn code(&self, key: &Key) -> io::Result<Option<Code<'static>>> {
        let Some(file) = self.file(&key.to_string())? else { return Ok(None) };
        let code = proof::code(&file, key, None)?;
        note_use(&file);
        Ok(Some(code))
    }

    fn load<T>(
        &self,
        key: &Key,
        map: impl FnOnce(CodeFile) -> wasmtime::Result<T>,
        copy: impl FnOnce(&Code<'_>) -> wasmtime::Result<T>,
    ) -> io::Result<Option<T>> {
        let Some(file) = self.file(&key.to_string())? else { return Ok(None) };
        let again = file.try_clone()?;
        let loaded = proof::load(file, key, None, map, copy)?;
        note_use(&again);
        Ok(Some(loaded))
    }

    /// Keeps code under `key`, in the place of any that has it.
    ///
    /// # Errors
    ///
    /// Those of the system. The file that was there is as it was then.
    pub fn keep(&self, key: &Key, code: &Code<'_>) -> io::Result<()> {
        let digest = digest_of(key, None).update(code.bytes()).finalize();
        let code_length = u64::try_from(code.bytes().len()).map_err(io::Error::other)?;
        let trailer = Trailer { code_length, digest }.encode();
        let new = self.write(&[code.bytes(), &trailer])?;
        // Whoever has the other file open goes on with it: it is not written to.
        renameat(&self.0, &new, &self.0, key.to_string()).map_err(|error| self.discard(&new, error))
    }

    /// What the processes of this user on this host know, and nobody else: made when it is asked for first.
    ///
    /// # Errors
    ///
    /// Those of the system, and where its file is not as it was made.
    pub fn secret(&self) -> io::Result<Secret> {
        let read = || self.file(SECRET)?.map(of_secret).transpose();
        if let Some(secret) = read()? {
            return Ok(secret);
        }
        let new = self.write(&[&random()?])?;
        match renameat_with(&self.0, &new, &self.0, SECRET, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(error) => {
                let error = self.discard(&new, error);
                // Another process was first, and its is the one.
                if error.kind() != io::ErrorKind::AlreadyExists {
                    return Err(error);
                }
            }
        }
        read()?.ok_or_else(|| Errno::NOENT.into())
    }

    /// Writes a new file, and returns its name.
    fn write(&self, parts: &[&[u8]]) -> io::Result<String> {
        let name = format!("{UNFINISHED}{}", blake3::Hash::from_bytes(random()?).to_hex());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, &name, flags, Mode::RUSR)?);
        for part in parts {
            if let Err(error) = file.write_all(part) {
                self.remove(&name);
                return Err(error);
            }
        }
        // It may be lost with the power, and its digest says so then: waiting for the disk is not worth it.
        Ok(name)
    }

    fn discard(&self, name: &str, error: Errno) -> io::Error {
        self.remove(name);
        error.into()
    }

    /// Removes a file, if it is there. It is used no longer, or soon found to be missing.
    fn remove(&self, name: &str) {
        unlinkat(&self.0, name, AtFlags::empty()).ok();
    }

    /// Opens a file that this crate has written, if there is one.
    fn file(&self, name: &str) -> io::Result<Option<File>> {
        // The opening of a pipe would wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        let found = fstat(&file)?;
        let is_own = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
            && found.st_uid == geteuid().as_raw()
            && found.st_mode & 0o7777 == Mode::RUSR.as_raw_mode()
            // None where another process has replaced or removed it by now.
            && found.st_nlink <= 1;
        if !is_own {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is not as this program writes files",
            ));
        }
        Ok(Some(file.into()))
    }
}

fn of_secret(file: File) -> io::Result<Secret> {
    let mut bytes = Vec::new();
    file.take(33).read_to_end(&mut bytes)?;
    bytes.try_into().map(Secret).map_err(|_| proof::changed())
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Makes a file that is in use younger than those that are not.
fn note_use(file: &File) {
    let modified = file.metadata().and_then(|found| found.modified());
    let is_recent =
        modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age < TIME_OF_USE));
    if !is_recent {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        };
        // It may be swept away then, and compiled anew.
        futimens(file, &times).ok();
    }
}

#[cfg(test)]
mod tests;
