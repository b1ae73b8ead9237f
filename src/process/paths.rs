//! Names of sockets in the guest's directories.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use super::directory::{Preopened, absolute};
use super::{Process, unpoisoned};
use crate::error::Errno;
use crate::fd::Rights;
use crate::file::{Dir, HostPath, SocketFile, SocketPlace};
use crate::io::{own_reactor, start_thread};
use crate::socket::unix::{FreeName, NamedSocketFile, Paths};

/// Weak, because the process holds the sockets that ask it.
impl Paths for Weak<Process> {
    fn whole(&self, given: &str) -> Result<String, Errno> {
        let from = with_process(self, |process| process.working_directory().clone()).ok_or(Errno::EBADF)?;
        Ok(absolute(&from, given))
    }

    fn place(&self, path: &str) -> Result<FreeName, Errno> {
        let Preopened { name: root, dir, rights, rest, .. } = preopened(self, path)?;
        // "EACCES: ... the requested name requires writing in a directory with a mode that
        // denies write permission." - bind(3p); a right that is missing has a number of its
        // own in WASI.
        rights.require(Rights::PATH_CREATE_FILE)?;
        if rest.is_empty() {
            // "EADDRINUSE: The specified address is already in use." - bind(3p)
            return Err(Errno::EADDRINUSE);
        }
        let SocketPlace { directory, name, within } = dir.socket_place(&rest)?;
        Ok(FreeName { directory, name, whole: named(&root, &within)? })
    }

    fn found(&self, path: &str) -> Result<NamedSocketFile, Errno> {
        let Preopened { name: root, dir, rights, rest, .. } = preopened(self, path)?;
        rights.require(Rights::PATH_OPEN)?;
        let rest = if rest.is_empty() { "." } else { &rest };
        let SocketFile { file, within } = dir.socket_file(rest)?;
        Ok(NamedSocketFile { file, whole: named(&root, &within)? })
    }

    fn name_of(&self, host: &Path) -> Option<String> {
        name_in(&with_process(self, Process::preopens)?, host)
    }

    fn removes_names(&self) -> bool {
        with_process(self, |process| process.service().removes_unix_names()).unwrap_or(false)
    }
}

fn preopened(process: &Weak<Process>, path: &str) -> Result<Preopened, Errno> {
    // "ENOENT: A component of the path prefix ... does not name an existing file" - bind(3p)
    with_process(process, |process| process.preopened(path)).ok_or(Errno::EBADF)?.ok_or(Errno::ENOENT)
}

/// Uses the process without ending it: the caller holds the lock of one of its sockets, which the
/// end of a process, closing all of them, needs too. The guest may end while one of its host threads is here.
fn with_process<T>(process: &Weak<Process>, with_process: impl FnOnce(&Process) -> T) -> Option<T> {
    let process = process.upgrade()?;
    let found = with_process(&process);
    if let Some(last) = Arc::into_inner(process) {
        end_elsewhere(last);
    }
    Some(found)
}

/// Ends a process on another thread: on one of its own, or else, on a host without a thread to
/// spare, on the one that drives the sockets.
fn end_elsewhere(process: Process) {
    let cell = Arc::new(Mutex::new(Some(process)));
    let end = |cell: &Mutex<Option<Process>>| drop(unpoisoned(cell).take());
    let here = Arc::clone(&cell);
    if start_thread("wasock-end".to_owned(), move || end(&here)).is_ok() {
        return;
    }
    match own_reactor() {
        Ok(reactor) => drop(reactor.spawn(async move { end(&cell) })),
        // To leave its sockets open is better than to wait forever.
        Err(_) => std::mem::forget(cell),
    }
}

/// The guest's name for a path of the host's, where it lies in one of the directories
/// `preopens`, each with the guest's whole name for it.
pub(super) fn name_in(preopens: &[(String, Arc<Dir>)], host: &Path) -> Option<String> {
    let (host, name) = located(host)?;
    let inside = preopens.iter().filter_map(|(root, dir)| {
        let top = dir.host_path().ok()?;
        let within = host.within(&top)?.join(&name);
        // The one that is deepest on the host says it shortest.
        Some((within.components().count(), named(root, &within).ok()?))
    });
    inside.min_by_key(|(depth, _)| *depth).map(|(_, name)| name)
}

/// The directory of a socket's name on the host, and the name in it. A socket of this
/// host, or of another one, has a name that begins with a descriptor: see
/// [`crate::socket::unix`].
fn located(host: &Path) -> Option<(HostPath, PathBuf)> {
    let (directory, name) = (host.parent()?, PathBuf::from(host.file_name()?));
    let text = directory.to_str()?;
    let is_descriptor = text.starts_with("/proc/") && text.rsplit_once('/')?.0.ends_with("/fd");
    let directory = match is_descriptor {
        true => HostPath::of_link(text).ok()?,
        false => HostPath::told(directory.to_path_buf()),
    };
    Some((directory, name))
}

/// The guest's name for a path below the directory that it calls `root`.
pub(super) fn named(root: &str, within: &Path) -> Result<String, Errno> {
    // A guest has no name for what is not UTF-8.
    let within = within.to_str().ok_or(Errno::EILSEQ)?;
    Ok(absolute(root, within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_seen_from_the_guests_root() {
        assert_eq!(named("/run", Path::new("a/s")), Ok("/run/a/s".to_owned()));
        assert_eq!(named("/", Path::new("s")), Ok("/s".to_owned()));
        assert_eq!(named("/run", Path::new("")), Ok("/run".to_owned()));
    }

    #[test]
    fn a_name_on_the_host_lies_in_a_directory() {
        let found = |path| located(Path::new(path));
        let told = HostPath::told("/tmp/x".into());
        assert_eq!(found("/tmp/x/s"), Some((told, "s".into())));
        assert_eq!(found("/"), None);
        assert_eq!(found("/proc/1/fd/99999999/s"), None);
    }
}
