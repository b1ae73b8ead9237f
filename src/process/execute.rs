//! How a guest finds a program: what it may execute, where that is, and what is to be run for it.
//!
//! Nothing may be executed but what the operator granted for that ([`Executables`]), under the path that it has there.
//! The guest's directories play no part: that a file can be written, or read, makes no program of it.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use super::directory::{Preopened, absolute, below};
use super::{Image, Launcher, Process, Program};
use crate::account::Charge;
use crate::error::Errno;
use crate::file::{Access, Dir, FileType};
use crate::policy::Denial;

/// Where a name without a slash is searched for, where the guest does not say.
const DEFAULT_PATH: [&str; 3] = ["/usr/local/bin", "/bin", "/usr/bin"];

/// The longest name in a path, in bytes: `NAME_MAX`.
const MAX_NAME: usize = 255;

/// How many directories a name is searched for in at most.
const MAX_DIRECTORIES: usize = 256;

/// The most bytes that a program may have.
const MAX_PROGRAM: u64 = 256 << 20;

/// How many interpreters may have an interpreter: as on Linux.
const MAX_SCRIPTS: u32 = 4;

/// How much of the first line of a script is read: as on Linux.
const MAX_FIRST_LINE: usize = 256;

/// What a guest may execute.
#[derive(Debug, Default)]
pub(crate) struct Executables {
    granted: Vec<Granted>,
}

/// One grant: a file, or all that is in a directory, at any depth.
#[derive(Debug)]
struct Granted {
    /// The whole path that it has for the guest.
    path: String,
    /// The directory itself, or the one that the file is in.
    dir: Dir,
    /// The name of the file.
    file: Option<String>,
}

impl Executables {
    /// Grants `host`, a file or a directory of the host's, under the path `guest`.
    ///
    /// # Errors
    ///
    /// What the host reports of `host`; where it is neither, or its name is not UTF-8.
    pub(crate) fn grant(&mut self, host: &Path, guest: &str) -> io::Result<()> {
        let path = absolute("/", guest);
        let host = host.canonicalize()?;
        if host.is_dir() {
            let dir = Dir::open_ambient(&host, Access::ReadOnly)?;
            self.granted.push(Granted { path, dir, file: None });
            return Ok(());
        }
        let (Some(parent), Some(name)) = (host.parent(), host.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        if !host.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a directory"));
        }
        let dir = Dir::open_ambient(parent, Access::ReadOnly)?;
        self.granted.push(Granted { path, dir, file: Some(name) });
        Ok(())
    }

    /// May nothing be executed?
    pub(crate) fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }

    /// The grant that `path` is covered by, and the path of the file in its directory. The longest one counts.
    fn find<'a>(&'a self, path: &'a str) -> Option<(&'a Granted, &'a str)> {
        let covered = |granted: &'a Granted| match &granted.file {
            Some(file) => (path == granted.path).then_some((granted, file.as_str())),
            None => Some((granted, below(path, &granted.path)?)),
        };
        self.granted.iter().filter_map(covered).max_by_key(|(granted, _)| granted.path.len())
    }
}

/// What a file has, and what is charged for that.
struct Content {
    bytes: Vec<u8>,
    _held: Charge,
}

/// What a guest asks for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The name or the path of the program.
    pub(crate) name: String,
    /// Is a name without a slash searched for?
    pub(crate) search: Search,
    pub(crate) image: Image,
}

/// Where a name without a slash is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// In the working directory.
    Nowhere,
    /// In these directories, or the usual ones.
    In(Option<String>),
    /// In the working directory, then in the usual ones: for calls that can't say.
    HereFirst,
}

impl Request {
    /// The whole paths that the program may have, in their order, seen from the directory `from`.
    ///
    /// # Errors
    ///
    /// `ENOENT` for an empty name, `ENAMETOOLONG` for a long one and for too many directories.
    fn candidates<'a>(&'a self, from: &'a str) -> Result<impl Iterator<Item = String> + 'a, Errno> {
        // "ENOENT: A component of path or file does not name an existing file or path or file is an empty string."
        // - exec(3p)
        if self.name.is_empty() {
            return Err(Errno::ENOENT);
        }
        if self.name.split('/').any(|part| part.len() > MAX_NAME) {
            return Err(Errno::ENAMETOOLONG);
        }
        let directories: Vec<&str> = match &self.search {
            _ if self.name.contains('/') => vec!["."],
            Search::Nowhere => vec!["."],
            Search::In(Some(path)) => path.split(':').take(MAX_DIRECTORIES + 1).collect(),
            Search::In(None) => DEFAULT_PATH.to_vec(),
            Search::HereFirst => ["."].into_iter().chain(DEFAULT_PATH).collect(),
        };
        if directories.len() > MAX_DIRECTORIES {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(directories.into_iter().map(move |directory| absolute(&absolute(from, directory), &self.name)))
    }
}

impl Process {
    /// Finds the program of `request` and compiles it: what it was asked for, or the interpreter of that script. The
    /// image is what it is to be started with. This may take long, and stops its thread. What is read is charged to the
    /// guest meanwhile.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host holds too much for the guest;
    /// `ENOENT`, `EACCES` for what may not be executed or is no file, `ENOEXEC` for what is no program, `ELOOP` for a script
    /// whose interpreter is one, again and again; `ENAMETOOLONG`.
    pub(crate) fn find_program(
        &self,
        launcher: &dyn Launcher,
        request: Request,
    ) -> Result<(Program, Image), Errno> {
        let from = self.working_directory().clone();
        let (mut path, mut found) = self.first_found(request.candidates(&from)?)?;
        let Request { mut image, name, .. } = request;
        if image.arguments.is_empty() {
            image.arguments.push(name);
        }
        if image.environment.is_none() {
            let owned = |variables: &[&str]| variables.iter().map(|&variable| variable.to_owned()).collect();
            image.environment = Some(self.with_environment(owned));
        }
        for _ in 0..=MAX_SCRIPTS {
            let Some((interpreter, argument)) = interpreter(&found.bytes)? else {
                let program = launcher.load(&path, &found.bytes)?;
                return Ok((program, Image { path, ..image }));
            };
            let rest = image.arguments.into_iter().skip(1);
            let script = std::mem::take(&mut path);
            let given = [interpreter.clone()].into_iter().chain(argument).chain([script]);
            image.arguments = given.chain(rest).collect();
            path = absolute(&from, &interpreter);
            found = self.executable(&path)?;
        }
        // "ELOOP: The maximum recursion limit was reached during recursive script interpretation" - execve(2)
        Err(Errno::ELOOP)
    }

    /// The first of these that there is, with its content.
    fn first_found(&self, candidates: impl Iterator<Item = String>) -> Result<(String, Content), Errno> {
        let mut outcome = Errno::ENOENT;
        for path in candidates {
            match self.executable(&path) {
                Ok(content) => return Ok((path, content)),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                // "If permission is denied for a file ... these functions will continue searching the rest of the
                // search path." - exec(3)
                Err(Errno::EACCES) => outcome = Errno::EACCES,
                Err(errno) => return Err(errno),
            }
        }
        Err(outcome)
    }

    /// The content of the file with this whole path, which the guest may execute.
    fn executable(&self, path: &str) -> Result<Content, Errno> {
        let executables = &self.settings.executables;
        let Some((granted, file)) = executables.find(path) else {
            return Err(self.refuse_execution(path));
        };
        if file.is_empty() {
            return Err(Errno::EACCES);
        }
        match granted.dir.content(file, MAX_PROGRAM, |length| self.host_memory().charge(length)) {
            // A path that leads out of what was granted.
            Err(Errno::EPERM) => Err(Errno::EACCES),
            Err(errno) => Err(errno),
            Ok((bytes, held)) => Ok(Content { bytes, _held: held }),
        }
    }

    /// The error for a file that the guest may not execute: that of a file which is not there, where it is not.
    fn refuse_execution(&self, path: &str) -> Errno {
        let found = self.preopened(path).map(|Preopened { dir, rest, .. }| dir.stat(&rest, true));
        let is_there = found.is_some_and(|stat| stat.is_ok_and(|stat| stat.kind == FileType::RegularFile));
        if is_there || self.settings.executables.is_empty() {
            self.report().report_denial("exec", Denial::of_execution(path));
        }
        if is_there { Errno::EACCES } else { Errno::ENOENT }
    }
}

/// The interpreter of a script, and the one argument that it gets from there: `#!interpreter argument`.
///
/// # Errors
///
/// `ENOEXEC` for a first line that names none, is no text or is too long.
fn interpreter(bytes: &[u8]) -> Result<Option<(String, Option<String>)>, Errno> {
    let Some(rest) = bytes.strip_prefix(b"#!") else { return Ok(None) };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() > MAX_FIRST_LINE {
        return Err(Errno::ENOEXEC);
    }
    let line = String::from_utf8_lossy(line);
    if matches!(line, Cow::Owned(_)) {
        return Err(Errno::ENOEXEC);
    }
    let line = line.trim_matches([' ', '\t', '\r']);
    let (name, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if name.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let argument = argument.trim_matches([' ', '\t']);
    Ok(Some((name.to_owned(), (!argument.is_empty()).then(|| argument.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, search: Search) -> Request {
        Request { name: name.to_owned(), search, image: Image::default() }
    }

    #[test]
    fn a_name_is_searched_for_where_it_was_asked() {
        let paths = |name: &str, search| {
            let request = request(name, search);
            request.candidates("/home").map(Iterator::collect::<Vec<_>>)
        };
        assert_eq!(paths("ls", Search::Nowhere), Ok(vec!["/home/ls".to_owned()]));
        let path = Search::In(Some("/a:b::/c/".to_owned()));
        let found = ["/a/ls", "/home/b/ls", "/home/ls", "/c/ls"].map(str::to_owned).to_vec();
        assert_eq!(paths("ls", path.clone()), Ok(found));
        assert_eq!(paths("./ls", path.clone()), Ok(vec!["/home/ls".to_owned()]));
        assert_eq!(paths("", path.clone()), Err(Errno::ENOENT));
        assert_eq!(paths(&"x".repeat(256), path), Err(Errno::ENAMETOOLONG));
        assert_eq!(paths("ls", Search::In(Some(":".repeat(256)))), Err(Errno::ENAMETOOLONG));
        let usual = ["/usr/local/bin/ls", "/bin/ls", "/usr/bin/ls"].map(str::to_owned).to_vec();
        assert_eq!(paths("ls", Search::In(None)), Ok(usual.clone()));
        let all = std::iter::once("/home/ls".to_owned()).chain(usual).collect();
        assert_eq!(paths("ls", Search::HereFirst), Ok(all));
    }

    #[test]
    fn a_script_names_its_interpreter() {
        let some =
            |name: &str, argument: Option<&str>| Ok(Some((name.to_owned(), argument.map(str::to_owned))));
        assert_eq!(interpreter(b"#!/bin/sh\necho"), some("/bin/sh", None));
        assert_eq!(interpreter(b"#! /bin/sh -e -u \r\n"), some("/bin/sh", Some("-e -u")));
        assert_eq!(interpreter(b"#!/bin/sh"), some("/bin/sh", None));
        assert_eq!(interpreter(b"\0asm"), Ok(None));
        assert_eq!(interpreter(b"#!\n"), Err(Errno::ENOEXEC));
        assert_eq!(interpreter(b"#!\xff\n"), Err(Errno::ENOEXEC));
        assert_eq!(interpreter(&[b"#!", &[b'x'; 300][..]].concat()), Err(Errno::ENOEXEC));
    }
}
