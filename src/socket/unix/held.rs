//! A name that a socket has.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::net::SocketAddrUnix;

use super::FreeName;
use crate::error::Errno;

/// The bytes of the longest path that a socket is bound to. The kernel takes one more, without
/// its NUL; but many a peer reads that past its end, or dies of it.
const LONGEST: usize = 107;

/// A name in a directory, which is kept or removed when the socket closes.
#[derive(Debug)]
pub struct Held {
    /// Open as long as the socket, since peers reply to a name that begins with it.
    directory: OwnedFd,
    name: String,
    /// The file itself, where it is to be removed. While it is open, no other file can
    /// have its number.
    file: Option<OwnedFd>,
}

/// A name in a directory, as the file system knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameId {
    /// The device and the number of the directory.
    directory: (u64, u64),
    name: String,
}

impl NameId {
    pub(super) fn of(directory: &OwnedFd, name: &str) -> Result<Self, Errno> {
        let Stat { st_dev, st_ino, .. } = rustix::fs::fstat(directory)?;
        Ok(Self { directory: (st_dev, st_ino), name: name.to_owned() })
    }
}

impl Held {
    /// Binds `fd` at `place`. The mode of the file is what the host's umask leaves.
    pub(super) fn bind(fd: BorrowedFd<'_>, place: FreeName, is_removed: bool) -> Result<Self, Errno> {
        let FreeName { directory, name, .. } = place;
        // A peer of another process sees the name, and may reply to it.
        let path = |name: &str| format!("/proc/{}/fd/{}/{name}", std::process::id(), directory.as_raw_fd());
        let whole = path(&name);
        if whole.len() <= LONGEST {
            rustix::net::bind(fd, &SocketAddrUnix::new(whole)?)?;
        } else {
            bind_long(fd, directory.as_fd(), &name, path)?;
        }
        let mut held = Self { directory, name, file: None };
        if is_removed {
            held.file = held.open().ok();
        }
        Ok(held)
    }

    /// Holds the name that a socket of this host's got already, to remove it.
    ///
    /// # Errors
    ///
    /// What the host reports of the way there.
    pub fn adopt(path: &Path) -> Result<Self, Errno> {
        let mut held = Self::known(path)?;
        held.file = Some(held.open()?);
        Ok(held)
    }

    /// A name that others made, and that stays.
    ///
    /// # Errors
    ///
    /// What the host reports of the way there.
    pub fn known(path: &Path) -> Result<Self, Errno> {
        // "EINVAL": there is no name in what ends in "..", or is the root.
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(Errno::EINVAL)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
        Ok(Self { directory, name: name.to_owned(), file: None })
    }

    /// What tells the name from every other one.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn id(&self) -> Result<NameId, Errno> {
        NameId::of(&self.directory, &self.name)
    }

    /// The device and the number of the file that has the name now, where that is a socket.
    pub fn file_id(&self) -> Option<(u64, u64)> {
        let there = rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        is_socket(&there).then_some((there.st_dev, there.st_ino))
    }

    /// Removes the name as long as `file` has it.
    pub fn remove_file(&self, file: (u64, u64)) {
        if self.file_id() == Some(file) {
            let _gone = rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
        }
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty())?)
    }

    /// Removes the name, if it is to be, and is the socket's still.
    pub(in crate::socket) fn remove(&self) {
        let Some(file) = &self.file else { return };
        let (Ok(ours), Ok(there)) = (
            rustix::fs::fstat(file),
            rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW),
        ) else {
            return;
        };
        if is_socket(&ours) && (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino) {
            let _gone = rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.remove();
    }
}

fn is_socket(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket
}

/// Binds under a name that fits, and gives the file its own name then. The kernel still
/// reports the short name to peers.
fn bind_long(
    fd: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &str,
    path: impl Fn(&str) -> String,
) -> Result<(), Errno> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Checked first: a socket that is bound remains bound, even if the second step fails.
    if rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(Errno::EADDRINUSE);
    }
    let short = format!(".wasock-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    rustix::net::bind(fd, &SocketAddrUnix::new(path(&short))?)?;
    rustix::fs::renameat_with(directory, &short, directory, name, RenameFlags::NOREPLACE).map_err(|errno| {
        let _gone = rustix::fs::unlinkat(directory, &short, AtFlags::empty());
        match errno {
            rustix::io::Errno::EXIST => Errno::EADDRINUSE,
            errno => errno.into(),
        }
    })
}
