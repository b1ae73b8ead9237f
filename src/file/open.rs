//! How a file is opened, and what comes of it.

use super::{Dir, File, FileFlags};
use crate::error::Errno;
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::OpenOptionsExt;
use rustix::fs::OFlags;

/// What `open` shall do, in the names of POSIX.
///
/// The default opens an existing file with neither reading nor writing, and
/// does not follow a symbolic link at the end of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The content can be read.
    pub read: bool,
    /// The content can be changed.
    pub write: bool,
    /// A missing file is created.
    pub create: bool,
    /// With `create`, an existing file is an error.
    pub exclusive: bool,
    /// The content is dropped.
    pub truncate: bool,
    /// Anything but a directory is an error.
    pub directory: bool,
    /// Each write goes to the end of the file.
    pub append: bool,
    /// Each write waits until its data is on the disk.
    pub dsync: bool,
    /// Reads follow what `dsync` and `sync` guarantee for writes.
    pub rsync: bool,
    /// Each write waits until its data and attributes are on the disk.
    pub sync: bool,
    /// Reads and writes don't wait for another party.
    pub nonblock: bool,
    /// A symbolic link at the end of the path is followed.
    pub follow_symlinks: bool,
}

impl OpenOptions {
    /// Returns whether the file system, or a file in it, may change by this.
    pub(super) fn modifies(&self) -> bool {
        self.write || self.create || self.truncate || self.append
    }

    pub(super) fn flags(&self) -> FileFlags {
        FileFlags {
            append: self.append,
            dsync: self.dsync,
            rsync: self.rsync,
            sync: self.sync,
            nonblock: self.nonblock,
        }
    }

    /// The same for cap-std.
    ///
    /// Most flags go to the operating system as they are, for cap-std's own
    /// options are narrower than POSIX: they refuse to create or to truncate
    /// without write access.
    pub(super) fn to_cap(self) -> Result<cap_std::fs::OpenOptions, Errno> {
        let mut flags = OFlags::NOCTTY;
        // Without this, opening a FIFO would wait for the other side. It has no
        // effect on regular files and directories.
        flags |= OFlags::NONBLOCK;
        flags.set(OFlags::CREATE, self.create);
        flags.set(OFlags::EXCL, self.exclusive);
        flags.set(OFlags::TRUNC, self.truncate);
        flags.set(OFlags::DIRECTORY, self.directory);
        flags.set(OFlags::APPEND, self.append);
        let flags = i32::try_from(flags.bits()).map_err(|_| Errno::EINVAL)?;

        let mut options = cap_std::fs::OpenOptions::new();
        options
            // POSIX knows no file without any access. `File` enforces this.
            .read(self.read || !self.write)
            .write(self.write)
            .custom_flags(flags)
            .follow(match self.follow_symlinks {
                true => FollowSymlinks::Yes,
                false => FollowSymlinks::No,
            });
        Ok(options)
    }
}

/// What `open` found at the path.
#[derive(Debug)]
pub enum Opened {
    /// Anything but a directory.
    File(File),
    /// A directory.
    Dir(Dir),
}
