//! Where sockets have their names.
//!
//! `bind` and `connect` of the operating system take a path, and follow it wherever it
//! leads. So the path is resolved here first, inside the directory, and what is returned
//! is open: no link that changes later leads anywhere else.

use super::Dir;
use super::path::check;
use crate::error::Errno;
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A name in a directory, which may be free.
#[derive(Debug)]
pub struct SocketPlace {
    /// The directory that has it, or will have it.
    pub directory: OwnedFd,
    /// The name there: no `/`, nor `.` or `..`.
    pub name: String,
    /// The path below the directory that was asked, without symbolic links.
    pub within: PathBuf,
}

/// What a path names.
#[derive(Debug)]
pub struct SocketFile {
    /// Open for naming it (`O_PATH`), not for its content.
    pub file: OwnedFd,
    /// The path below the directory that was asked, without symbolic links.
    pub within: PathBuf,
}

impl Dir {
    /// Finds the directory in which the socket `path` is to have its name.
    ///
    /// # Errors
    ///
    /// `EROFS` where [`Access`](super::Access) is read-only; `EADDRINUSE` for what is this
    /// directory itself or above; `EACCES` for a way out of it.
    pub fn socket_place(&self, path: &str) -> Result<SocketPlace, Errno> {
        let path = check(path)?;
        // "EADDRINUSE: The specified address is already in use." - bind(3p)
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(Errno::EADDRINUSE)?;
        // "EROFS: The name would reside on a read-only file system." - bind(3p)
        self.access.check_write()?;
        let directory: OwnedFd = match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => self.dir.open_dir(parent).map_err(escaped)?.into(),
            None => self.dir.try_clone()?.into(),
        };
        let within = self.host_path()?.below(&directory)?.join(name);
        Ok(SocketPlace { directory, name: name.to_owned(), within })
    }

    /// Finds what `path` names, symbolic links followed.
    ///
    /// # Errors
    ///
    /// `EACCES` for a way out of this directory.
    pub fn socket_file(&self, path: &str) -> Result<SocketFile, Errno> {
        let path = check(path)?;
        let flags = i32::try_from(OFlags::PATH.bits()).map_err(|_| Errno::EINVAL)?;
        let mut options = cap_std::fs::OpenOptions::new();
        options.read(true).custom_flags(flags).follow(FollowSymlinks::Yes);
        let file: OwnedFd = self.dir.open_with(path, &options).map_err(escaped)?.into_std().into();
        let within = self.host_path()?.below(&file)?;
        Ok(SocketFile { file, within })
    }

    /// What this directory is called on the host now.
    ///
    /// # Errors
    ///
    /// If the host does not report it.
    pub fn host_path(&self) -> Result<HostPath, Errno> {
        HostPath::of(&self.dir)
    }
}

/// The host path of an open thing. For messages, not for opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPath(PathBuf);

impl HostPath {
    pub(super) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        Self::of_link(&format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
    }

    /// What the descriptor `link`, a path in `/proc`, is called.
    ///
    /// # Errors
    ///
    /// If the host does not report it.
    pub fn of_link(link: &str) -> Result<Self, Errno> {
        let bytes = rustix::fs::readlink(link, Vec::new())?.into_bytes();
        Ok(Self(std::ffi::OsString::from_vec(bytes).into()))
    }

    /// A path from another source.
    pub fn told(path: PathBuf) -> Self {
        Self(path)
    }

    fn below(&self, fd: impl AsFd) -> Result<PathBuf, Errno> {
        // It was moved away since it was opened.
        Self::of(fd)?.within(self).map(Path::to_path_buf).ok_or(Errno::ENOENT)
    }

    /// The name `name` in it.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        Self(self.0.join(name))
    }

    /// The path itself.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// What of it lies below `directory`.
    pub fn within(&self, directory: &Self) -> Option<&Path> {
        self.0.strip_prefix(&directory.0).ok()
    }
}

/// The error for a path that leads out of the directory.
///
/// "EACCES: A component of the path prefix denies search permission" - bind(3p). Files
/// have `EPERM` there, which neither bind(3p) nor connect(3p) knows.
fn escaped(error: std::io::Error) -> Errno {
    match Errno::from(error) {
        Errno::EPERM => Errno::EACCES,
        errno => errno,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{Scratch, TestResult, errno};
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_place_is_where_the_links_lead() -> TestResult {
        let scratch = Scratch::new()?;
        std::fs::create_dir(scratch.path("real"))?;
        symlink("real", scratch.path("link"))?;
        let dir = scratch.dir()?;
        for (path, within) in [("s", "s"), ("real/s", "real/s"), ("link/s", "real/s"), ("link/../s", "s")] {
            let place = dir.socket_place(path)?;
            assert_eq!((place.name.as_str(), place.within), ("s", PathBuf::from(within)), "{path}");
        }
        Ok(())
    }

    #[test]
    fn no_place_lies_outside() -> TestResult {
        let scratch = Scratch::new()?;
        symlink("..", scratch.path("up"))?;
        symlink("/tmp", scratch.path("tmp"))?;
        let dir = scratch.dir()?;
        for path in ["up/s", "../s", "tmp/s", "up/granted/s"] {
            assert_eq!(errno(dir.socket_place(path)), Some(Errno::EACCES), "{path}");
            assert_eq!(errno(dir.socket_file(path)), Some(Errno::EACCES), "{path}");
        }
        assert_eq!(errno(dir.socket_place("..")), Some(Errno::EADDRINUSE));
        assert_eq!(errno(dir.socket_place("none/s")), Some(Errno::ENOENT));
        assert_eq!(errno(scratch.read_only()?.socket_place("s")), Some(Errno::EROFS));
        Ok(())
    }

    #[test]
    fn a_file_is_found_through_links_inside() -> TestResult {
        let scratch = Scratch::new()?;
        let _listener = UnixListener::bind(scratch.path("s"))?;
        symlink("s", scratch.path("link"))?;
        symlink("../secret", scratch.path("out"))?;
        let dir = scratch.dir()?;
        for path in ["s", "link"] {
            assert_eq!(dir.socket_file(path)?.within, PathBuf::from("s"));
        }
        assert_eq!(errno(dir.socket_file("out")), Some(Errno::EACCES));
        assert_eq!(errno(dir.socket_file("s/")), Some(Errno::ENOTDIR));
        assert_eq!(errno(dir.socket_file("none")), Some(Errno::ENOENT));
        Ok(())
    }
}
