//! Sockets with a name in the file system: `AF_UNIX`.
//!
//! What carries the data is a [stream](super::Stream) or a
//! [datagram socket](super::Datagram), as over a network. This module handles names:
//! how a guest's path becomes one that the kernel takes, and back.
//!
//! The kernel's calls take a path and follow it wherever it leads. A guest's path is resolved
//! first, inside the directories that it was given, by the implementation of [`Paths`]; the kernel
//! is then given the open directory, or the open file, by its path in `/proc`. So no link that
//! changes meanwhile leads out, and the length of the host's own paths does not count.
//!
//! Key types: [`Paths`], [`FreeName`], [`NamedSocketFile`], [`Held`].

mod held;

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{SocketAddrAny, SocketAddrUnix};

use super::Refusal;
use super::sockaddr::{self, HostName};
use crate::address::{Address, UnixName};
use crate::error::Errno;
use crate::policy::{Denial, Policy, Use};

pub use held::{Held, NameId};

/// The guest's directories, as far as sockets have their names there. Asks the host's
/// file system, and so may wait for a disk.
pub trait Paths: Send + Sync {
    /// A path as the guest wrote it, from its root on, without `.` and `..`.
    ///
    /// # Errors
    ///
    /// `EBADF` where the guest is gone.
    fn whole(&self, given: &str) -> Result<String, Errno>;

    /// Where the whole path `path` would get its name.
    ///
    /// # Errors
    ///
    /// `ENOENT` outside of the guest's directories; `ENOTCAPABLE` where the guest may not
    /// create anything there; `EACCES` where a link leads out of one; `EROFS`, `ENOTDIR`,
    /// `EADDRINUSE` and what else the file system reports.
    fn place(&self, path: &str) -> Result<FreeName, Errno>;

    /// What the whole path `path` names.
    ///
    /// # Errors
    ///
    /// As for [`place`](Self::place).
    fn found(&self, path: &str) -> Result<NamedSocketFile, Errno>;

    /// The guest's name for a path of the host's, where it lies in one of the guest's
    /// directories.
    fn name_of(&self, host: &Path) -> Option<String>;

    /// Are the names that sockets make to be removed when they close?
    fn removes_names(&self) -> bool;
}

/// A free name in a directory.
#[derive(Debug)]
pub struct FreeName {
    /// The directory.
    pub directory: OwnedFd,
    /// The name in it.
    pub name: String,
    /// The guest's whole path of it, without symbolic links.
    pub whole: String,
}

impl FreeName {
    /// What tells it from every other place.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn id(&self) -> Result<NameId, Errno> {
        NameId::of(&self.directory, &self.name)
    }
}

/// What a path names: a socket, perhaps.
#[derive(Debug)]
pub struct NamedSocketFile {
    /// The file, open for naming it.
    pub file: OwnedFd,
    /// The guest's whole path of it, without symbolic links.
    pub whole: String,
}

impl NamedSocketFile {
    /// An address that leads the kernel there and nowhere else.
    pub(super) fn address(&self) -> Result<SocketAddrUnix, Errno> {
        Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}", self.file.as_raw_fd()))?)
    }
}

/// Finds the place of the name that the guest wrote, for a socket to be bound there.
///
/// # Errors
///
/// A denial; `ENOENT` for no name, `EADDRINUSE` for that of a directory; those of
/// [`Paths::place`].
pub(super) fn place(
    name: &UnixName,
    paths: &dyn Paths,
    policy: &Policy,
) -> Result<(UnixName, FreeName), Refusal> {
    let (given, whole) = written(name, paths)?;
    let check = |path: &str| policy.check(Use::UnixListen(path));
    let place = granted(paths.place(&whole), &whole, |place| &place.whole, check)?;
    if is_directory(given) {
        // "ENOENT: A component of the pathname does not name an existing file": a socket
        // is no directory. - bind(3p)
        let taken = paths.found(&whole).is_ok();
        return Err(if taken { Errno::EADDRINUSE } else { Errno::ENOENT }.into());
    }
    Ok((name.clone().at(place.whole.as_str()), place))
}

/// Gives the host's socket `fd` the name at `place`.
///
/// # Errors
///
/// `EADDRINUSE` for one that is taken, whatever has it; `EACCES` and what else the host
/// returns.
pub(super) fn bind(fd: BorrowedFd<'_>, place: FreeName, paths: &dyn Paths) -> Result<Held, Errno> {
    Held::bind(fd, place, paths.removes_names())
}

/// Finds the socket that the guest wrote.
///
/// # Errors
///
/// A denial; `ENOENT` for no name; those of [`Paths::found`].
pub(super) fn target(
    name: &UnixName,
    paths: &dyn Paths,
    policy: &Policy,
) -> Result<(UnixName, NamedSocketFile), Refusal> {
    let (given, whole) = written(name, paths)?;
    let check = |path: &str| policy.check(Use::UnixConnect(path));
    let target = granted(paths.found(&whole), &whole, |target| &target.whole, check)?;
    if policy.reserves_files() {
        // By whatever name it was found: renamed, linked, or seen by another directory.
        let stat = rustix::fs::fstat(&target.file).map_err(Errno::from)?;
        policy.check_file(Use::UnixConnect(&target.whole), (stat.st_dev, stat.st_ino))?;
    }
    if is_directory(given) && !is_kind(&target.file, rustix::fs::FileType::Directory)? {
        // "ENOTDIR: A component of the path prefix ... names an existing file that is
        // neither a directory nor a symbolic link to a directory" - connect(3p)
        return Err(Errno::ENOTDIR.into());
    }
    Ok((name.clone().at(target.whole.as_str()), target))
}

/// The path as the guest wrote it, and whole.
fn written<'a>(name: &'a UnixName, paths: &dyn Paths) -> Result<(&'a str, String), Errno> {
    // "ENOENT: ... or the pathname is an empty string." - bind(3p), connect(3p). There are
    // no names outside of the file system: they could not be granted.
    let given = name.given().filter(|given| !given.is_empty()).ok_or(Errno::ENOENT)?;
    Ok((given, paths.whole(given)?))
}

/// Asks the policy for the path that was found; for the one that was asked, if
/// nothing was found, so that the guest cannot tell whether a path that is not granted exists.
fn granted<T>(
    found: Result<T, Errno>,
    asked: &str,
    path: impl Fn(&T) -> &str,
    check: impl Fn(&str) -> Result<(), Denial>,
) -> Result<T, Refusal> {
    check(found.as_ref().map_or(asked, path))?;
    Ok(found?)
}

/// Does a path ask for a directory?
fn is_directory(given: &str) -> bool {
    matches!(given.rsplit('/').next(), None | Some("" | "." | ".."))
}

fn is_kind(file: &OwnedFd, kind: rustix::fs::FileType) -> Result<bool, Errno> {
    Ok(rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == kind)
}

/// What the kernel calls a socket, as the host's operator knows it.
pub(super) fn as_told(address: &SocketAddrAny) -> Result<UnixName, Errno> {
    Ok(match sockaddr::unix(address)? {
        HostName::Unnamed => UnixName::unnamed(),
        HostName::Path(path) => UnixName::outside(&String::from_utf8_lossy(&path)),
        HostName::Abstract(name) => UnixName::outside(&format!("@{}", String::from_utf8_lossy(&name))),
    })
}

/// The guest's name for what the kernel calls a socket.
pub(super) fn from_host(address: &SocketAddrAny, paths: &dyn Paths) -> Result<Address, Errno> {
    use std::os::unix::ffi::OsStringExt;
    let name = match sockaddr::unix(address)? {
        HostName::Path(path) => paths.name_of(&PathBuf::from(std::ffi::OsString::from_vec(path))),
        HostName::Unnamed | HostName::Abstract(_) => None,
    };
    Ok(Address::Unix(name.map_or_else(UnixName::unnamed, UnixName::new)))
}
