//! What a guest may know about a file.

use cap_std::fs::{Metadata, MetadataExt};

/// The attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The device that holds the file.
    pub dev: u64,
    /// The serial number of the file within the device.
    pub ino: u64,
    /// The type of the file.
    pub kind: FileType,
    /// How many names the file has.
    pub nlink: u64,
    /// Bytes of the content; for a symbolic link, of its text.
    pub size: u64,
    /// The time of the last read, in nanoseconds since 1970.
    pub atim: u64,
    /// The time of the last change of the content, in nanoseconds since 1970.
    pub mtim: u64,
    /// The time of the last change of the attributes, in nanoseconds since 1970.
    pub ctim: u64,
}

impl Stat {
    /// What `fstat` and the like say. cap-std's own record is made by a conversion that panics
    /// on times which some file systems have.
    #[allow(clippy::useless_conversion, reason = "other machines have other widths")]
    pub(super) fn from_host(stat: &rustix::fs::Stat) -> Self {
        let rest = |nanoseconds| i64::try_from(nanoseconds).unwrap_or(0);
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            kind: FileType::from_host(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
            nlink: u64::from(stat.st_nlink),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            atim: nanoseconds(stat.st_atime, rest(stat.st_atime_nsec)),
            mtim: nanoseconds(stat.st_mtime, rest(stat.st_mtime_nsec)),
            ctim: nanoseconds(stat.st_ctime, rest(stat.st_ctime_nsec)),
        }
    }

    pub(super) fn from_cap(metadata: &Metadata) -> Self {
        let kind = rustix::fs::FileType::from_raw_mode(metadata.mode());
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            kind: FileType::from_host(kind),
            nlink: metadata.nlink(),
            size: metadata.size(),
            atim: nanoseconds(metadata.atime(), metadata.atime_nsec()),
            mtim: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctim: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// None of the others; WASI has no name for a FIFO.
    Unknown,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// A directory.
    Directory,
    /// A regular file.
    RegularFile,
    /// A socket of any type: a file system does not keep it.
    SocketStream,
    /// A symbolic link.
    SymbolicLink,
}

impl FileType {
    pub(super) fn from_host(kind: rustix::fs::FileType) -> Self {
        use rustix::fs::FileType as Host;
        match kind {
            Host::RegularFile => Self::RegularFile,
            Host::Directory => Self::Directory,
            Host::Symlink => Self::SymbolicLink,
            Host::BlockDevice => Self::BlockDevice,
            Host::CharacterDevice => Self::CharacterDevice,
            // The file system does not keep a socket's type. Most of those with
            // a name are streams.
            Host::Socket => Self::SocketStream,
            Host::Fifo | Host::Unknown => Self::Unknown,
        }
    }
}

/// A time of the host as WASI counts it; outside 1970 to 2554, the nearest end.
fn nanoseconds(sec: i64, nsec: i64) -> u64 {
    let ns = i128::from(sec) * 1_000_000_000 + i128::from(nsec);
    u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_outside_the_range_become_its_ends() {
        assert_eq!(nanoseconds(1, 2), 1_000_000_002);
        assert_eq!(nanoseconds(-1, 999_999_999), 0);
        assert_eq!(nanoseconds(i64::MAX, 0), u64::MAX);
        assert_eq!(nanoseconds(i64::MIN, 0), 0);
    }

    #[test]
    fn a_fifo_has_no_wasi_type() {
        use rustix::fs::FileType as Host;
        assert_eq!(FileType::from_host(Host::Fifo), FileType::Unknown);
        assert_eq!(FileType::from_host(Host::Socket), FileType::SocketStream);
    }
}
