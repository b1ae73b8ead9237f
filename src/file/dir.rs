//! A directory that the operator granted, or one below it.

use super::path::{check, has_trailing_slash};
use super::{File, OpenOptions, Opened, Stat, Times};
use crate::error::Errno;
use crate::io::HostRuntime;
use cap_fs_ext::{DirExt, MetadataExt as _};
use rustix::fs::{AtFlags, Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::io::retry_on_intr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// An open directory. Paths are relative to it and never leave it.
///
/// Every call that takes a path fails, beside its own errors, with `ENOENT`, `EINVAL`,
/// `ENAMETOOLONG` or `EPERM` for the path's form (`EPERM`: absolute), `EPERM` for a path or
/// symbolic link that leads out of the directory, and what the host's file system reports. Every
/// call that changes something fails with `EROFS` if [`Access`] is read-only.
#[derive(Debug)]
pub struct Dir {
    pub(super) dir: cap_std::fs::Dir,
    pub(super) access: Access,
}

/// Whether the guest may change what is in a directory, at any depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Each change is `EROFS`, as on a file system mounted read-only.
    ReadOnly,
    /// What the host's permissions allow.
    ReadWrite,
}

impl Access {
    pub(super) fn check_write(self) -> Result<(), Errno> {
        match self {
            Self::ReadWrite => Ok(()),
            // EROFS: "would be created resides on a read-only file system"
            // - mkdir(3p); likewise for each call that modifies.
            Self::ReadOnly => Err(Errno::EROFS),
        }
    }
}

impl Dir {
    /// Opens a directory of the host by its path there: the operator's grant.
    ///
    /// # Errors
    ///
    /// What the host reports, e.g. that the path is not a directory.
    pub fn open_ambient(host: &Path, access: Access) -> io::Result<Self> {
        let dir = cap_std::fs::Dir::open_ambient_dir(host, cap_std::ambient_authority())?;
        Ok(Self::from_cap(dir, access))
    }

    /// Grants a directory that is open already.
    pub fn from_cap(dir: cap_std::fs::Dir, access: Access) -> Self {
        Self { dir, access }
    }

    /// The directory itself, by a descriptor of its own, and what may be changed in it: for another sandbox
    /// than this one.
    ///
    /// # Errors
    ///
    /// Where the host has no descriptor to spare.
    #[cfg(feature = "components")]
    pub fn duplicate(&self) -> io::Result<(std::fs::File, Access)> {
        Ok((self.dir.try_clone()?.into_std_file(), self.access))
    }

    /// Opens what the path names; it inherits the access of this directory.
    ///
    /// A directory opens without the `directory` option too, as in POSIX. A FIFO
    /// or device opens without waiting.
    ///
    /// # Errors
    ///
    /// `EINVAL` for `create` with `directory`; `EISDIR` for a directory with
    /// `write` or `create`; `ENOTDIR` for a file with `directory` or a trailing
    /// slash; `EACCES` for what lies in a file system of processes (`/proc`), where the host's own memory is a file;
    /// `ELOOP` for a symbolic link that is not to be followed; `EEXIST` with `exclusive`; `ENXIO` for a socket, or for writing to a FIFO without
    /// a reader.
    pub fn open(&self, path: &str, options: &OpenOptions) -> Result<Opened, Errno> {
        let host_path = check(path)?;
        // POSIX leaves this open. Linux once made a regular file and now
        // fails with EINVAL (open(2), BUGS).
        if options.create && options.directory {
            return Err(Errno::EINVAL);
        }
        // EROFS: "resides on a read-only file system and either O_WRONLY, O_RDWR,
        // O_CREAT (if the file does not exist), or O_TRUNC is set" - open(3p).
        // Here also O_CREAT for a file that exists: the guest asks for a change.
        if options.modifies() {
            self.access.check_write()?;
        }
        let host = options.to_cap()?;
        let open = || retry_interrupted(|| self.dir.open_with(host_path, &host));
        let descriptors = &HostRuntime::of_process().descriptors;
        let file = descriptors.for_guest(1, open, |file| file.as_raw_fd()).map_err(|error| {
            match Errno::from(error) {
                // EISDIR: "includes O_CREAT" for a directory - open(3p). Where the
                // host lacks openat2, cap-std turns the slash into O_DIRECTORY,
                // which Linux refuses beside O_CREAT.
                Errno::EINVAL if options.create && has_trailing_slash(path) => Errno::EISDIR,
                errno => errno,
            }
        })?;
        let metadata = file.metadata()?;
        // What is on no block device has a number with the major 0, and `/proc` is on none, wherever it is mounted: none of
        // its files has another number. So what is on a disk is known by its number, which was asked for anyway. The others
        // that are on no device (tmpfs, sysfs, cgroups, overlays, btrfs, NFS) are asked what they are.
        let may_be_processes = rustix::fs::major(metadata.dev()) == 0;
        if may_be_processes && rustix::fs::fstatfs(&file)?.f_type == PROC_SUPER_MAGIC {
            return Err(Errno::EACCES);
        }
        if metadata.is_dir() {
            let dir = cap_std::fs::Dir::from_std_file(file.into_std());
            return Ok(Opened::Dir(Self::from_cap(dir, self.access)));
        }
        Ok(Opened::File(File::new(file, self.access, options)))
    }

    /// The content of the regular file that `path` names, `most` bytes at most. `reserve` is told how much that is, before it
    /// is read.
    ///
    /// # Errors
    ///
    /// `EACCES` for anything else than a file; `ENOMEM` for more bytes; that of `reserve`.
    pub fn content<R>(
        &self,
        path: &str,
        most: u64,
        reserve: impl FnOnce(u64) -> Result<R, Errno>,
    ) -> Result<(Vec<u8>, R), Errno> {
        let options =
            OpenOptions { read: true, nonblock: true, follow_symlinks: true, ..OpenOptions::default() };
        let Opened::File(file) = self.open(path, &options)? else { return Err(Errno::EACCES) };
        file.content(most, reserve)
    }

    /// Makes an empty directory.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the path names anything.
    pub fn create_dir(&self, path: &str) -> Result<(), Errno> {
        let path = check(path)?;
        self.access.check_write()?;
        Ok(self.dir.create_dir(path)?)
    }

    /// The attributes of what the path names.
    ///
    /// # Errors
    ///
    /// `ENOTDIR` for a file with a trailing slash.
    pub fn stat(&self, path: &str, follow: bool) -> Result<Stat, Errno> {
        let host = check(path)?;
        // A trailing slash makes the link a directory on the way, which is always
        // followed. cap-std drops the slash where it does not follow.
        if !follow && !has_trailing_slash(path) {
            return self.parent(path)?.stat();
        }
        Ok(Stat::from_cap(&self.dir.metadata(host)?))
    }

    /// Sets the time stamps of what the path names.
    ///
    /// # Errors
    ///
    /// `EPERM` also if the host's user does not own the file.
    pub fn set_times(&self, path: &str, follow: bool, times: Times) -> Result<(), Errno> {
        let path = check(path)?;
        self.access.check_write()?;
        // cap-std's own way to follow opens the file for writing, which waits on
        // a FIFO.
        let path = self.last_link(path, follow)?;
        let (atim, mtim) = (times.atim.to_cap(), times.mtim.to_cap());
        Ok(self.dir.set_symlink_times(path, atim, mtim)?)
    }

    /// The text of a symbolic link, whether or not it leads anywhere.
    ///
    /// # Errors
    ///
    /// `EINVAL` for anything but a symbolic link.
    pub fn readlink(&self, path: &str) -> Result<Vec<u8>, Errno> {
        // EINVAL: "names a file that is not a symbolic link" - readlink(3p)
        let target = self.dir.read_link_contents(check(path)?)?;
        Ok(target.into_os_string().into_vec())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// `ENOTEMPTY`; `ENOTDIR` for anything but a directory; `EINVAL` for `.`.
    pub fn remove_dir(&self, path: &str) -> Result<(), Errno> {
        check(path)?;
        self.access.check_write()?;
        // cap-std reads a trailing slash as `/.`, which rmdir(3p) refuses with
        // EINVAL; the slash alone names the directory itself.
        Ok(self.dir.remove_dir(path.trim_end_matches('/'))?)
    }

    /// Removes the name of a file or symbolic link.
    ///
    /// # Errors
    ///
    /// `EISDIR` for a directory; `ENOTDIR` for a file with a trailing slash.
    pub fn unlink(&self, path: &str) -> Result<(), Errno> {
        let path = check(path)?;
        self.access.check_write()?;
        Ok(self.dir.remove_file(path)?)
    }

    /// Makes a symbolic link that reads `target`.
    ///
    /// A relative target may lead out of the directory: it is only text, and
    /// following it is refused.
    ///
    /// # Errors
    ///
    /// `EPERM` for an absolute target, which no guest could follow but a program
    /// of the host might; `ENOENT` for an empty one; `EEXIST`.
    pub fn symlink(&self, target: &str, path: &str) -> Result<(), Errno> {
        let (target, path) = (check(target)?, check(path)?);
        self.access.check_write()?;
        Ok(self.dir.symlink(target, path)?)
    }

    /// The attributes of this directory.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    pub fn stat_self(&self) -> Result<Stat, Errno> {
        Ok(Stat::from_cap(&self.dir.dir_metadata()?))
    }

    /// Sets the time stamps of this directory.
    ///
    /// # Errors
    ///
    /// `EROFS`; `EPERM` if the host's user does not own the directory.
    pub fn set_times_self(&self, times: Times) -> Result<(), Errno> {
        self.access.check_write()?;
        // By the name `.`, since the handle may be one for searching only.
        let times = times.to_host();
        Ok(rustix::fs::utimensat(&self.dir, ".", &times, AtFlags::empty())?)
    }

    /// Waits until the entries and attributes are on the disk.
    ///
    /// # Errors
    ///
    /// `EACCES` where the host lets wasock search the directory but not list it.
    pub fn sync(&self) -> Result<(), Errno> {
        let dir = self.reopen()?;
        Ok(retry_on_intr(|| rustix::fs::fsync(&dir))?)
    }

    /// Waits until the entries are on the disk.
    ///
    /// # Errors
    ///
    /// As [`Dir::sync`].
    pub fn datasync(&self) -> Result<(), Errno> {
        let dir = self.reopen()?;
        Ok(retry_on_intr(|| rustix::fs::fdatasync(&dir))?)
    }

    /// Opens this directory once more, for listing, with a position of its own.
    ///
    /// The handle that cap-std keeps is often one for searching only (`O_PATH`).
    pub(super) fn reopen(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || retry_on_intr(|| rustix::fs::openat(&self.dir, ".", flags, Mode::empty()));
        Ok(HostRuntime::of_process().descriptors.for_guest(1, open, |fd| fd.as_raw_fd())?)
    }

    /// Follows the symbolic link at the end of `path`, if there is one, up to a
    /// path that names none.
    ///
    /// Opens nothing, so it waits for nothing. The result is a path like one that
    /// the guest gave: cap-std checks it again where it is used.
    pub(super) fn last_link(&self, path: &Path, follow: bool) -> Result<PathBuf, Errno> {
        let mut path = path.to_path_buf();
        if !follow {
            return Ok(path);
        }
        for _ in 0..SYMLOOP_MAX {
            match self.dir.read_link_contents(&path) {
                // `join` would take an absolute target as it is, and so would
                // cap-std; it refuses the path in the next round.
                Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
                Err(error) => {
                    return match Errno::from(error) {
                        // Not a symbolic link.
                        Errno::EINVAL => Ok(path),
                        errno => Err(errno),
                    };
                }
            }
        }
        // ELOOP: "More than {SYMLOOP_MAX} symbolic links were encountered"
        // - open(3p)
        Err(Errno::ELOOP)
    }
}

/// How many symbolic links one path may lead through, as on Linux.
const SYMLOOP_MAX: usize = 40;

/// Repeats a call that a signal interrupted.
fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
