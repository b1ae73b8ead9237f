//! The few devices below `/dev` that programs take for granted.
//!
//! Daemons open `/dev/null` and `/dev/urandom` as a matter of course. A WASIX program, whose C
//! library has a root directory, finds these here where no granted directory is its `/dev`.
//! They are implemented by the host and give no access to it: bytes that are discarded, zeros, the
//! guest's randomness, and the streams that the guest has anyway.

use std::io::IoSlice;
use std::sync::Arc;

use super::{Input, Open, OpenFile, Output, Process, Thread};
use crate::error::Errno;
use crate::fd::{Descriptor, Rights};
use crate::file::{DirEntry, FileType, OpenOptions};
use crate::ready::TimeSlice;

/// Where the devices are, in the guest's eyes.
pub(crate) const DIRECTORY: &str = "/dev";

/// How many bytes are made without giving way to others.
const PIECE: usize = 64 * 1024;

/// A name in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Null,
    Zero,
    Full,
    Random,
    /// The standard stream with this number.
    Stream(u32),
    Tty,
}

/// Names, in the order of the directory.
const NAMES: [(&str, Name); 9] = [
    ("full", Name::Full),
    ("null", Name::Null),
    ("random", Name::Random),
    ("stderr", Name::Stream(2)),
    ("stdin", Name::Stream(0)),
    ("stdout", Name::Stream(1)),
    ("tty", Name::Tty),
    ("urandom", Name::Random),
    ("zero", Name::Zero),
];

/// An open device.
#[derive(Debug)]
pub struct Device {
    kind: DeviceKind,
    can_read: bool,
    can_write: bool,
}

#[derive(Debug)]
enum DeviceKind {
    Null,
    Zero,
    Full,
    Random,
    Terminal(Arc<Input>, Arc<Output>),
}

/// What a path below the directory names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceEntry {
    /// The directory.
    Directory,
    /// The device with this serial number.
    Device(u64),
}

impl Device {
    /// Is it a terminal, which has no position?
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.kind, DeviceKind::Terminal(..))
    }

    /// Was it opened for reading?
    pub(crate) fn can_read(&self) -> bool {
        self.can_read
    }

    /// Was it opened for writing?
    pub(crate) fn can_write(&self) -> bool {
        self.can_write
    }

    /// What there is to wait for at it; the others are always ready.
    pub(crate) fn input(&self) -> Option<&Arc<Input>> {
        match &self.kind {
            DeviceKind::Terminal(input, _) => Some(input),
            _ => None,
        }
    }

    /// Fills `buffer`, as far as the device goes.
    ///
    /// # Errors
    ///
    /// Those of a terminal.
    pub(super) async fn read(
        &self,
        process: &Process,
        waits: bool,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let fill: &(dyn Fn(&mut [u8]) + Sync) = match &self.kind {
            DeviceKind::Null => return Ok(0),
            DeviceKind::Terminal(input, _) => return input.read(waits, buffer).await,
            DeviceKind::Zero | DeviceKind::Full => &|piece| piece.fill(0),
            DeviceKind::Random => &|piece| process.fill_random(piece),
        };
        let (mut done, mut slice) = (0, TimeSlice::new());
        for piece in buffer.chunks_mut(PIECE) {
            // What was made counts more than an interruption.
            if done > 0 && slice.step().await.is_err() {
                break;
            }
            fill(piece);
            done += piece.len();
        }
        Ok(done)
    }

    /// Takes all of `data`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` for the full device; those of a terminal.
    pub(super) async fn write(&self, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
        match &self.kind {
            DeviceKind::Null | DeviceKind::Zero | DeviceKind::Random => {
                Ok(data.iter().map(|slice| slice.len()).sum())
            }
            // "Writes to the /dev/full device fail with an ENOSPC error." - full(4)
            DeviceKind::Full => Err(Errno::ENOSPC),
            DeviceKind::Terminal(_, output) => output.write(data).await,
        }
    }
}

impl Process {
    /// Gives the guest the built-in directory, unless a granted one is its `/dev`.
    pub(crate) fn give_devices(&self) {
        let mut preopens = self.preopens().into_iter();
        let is_there = preopens.any(|(name, dir)| match name.as_str() {
            DIRECTORY => true,
            "/" => dir.stat("dev", true).is_ok(),
            _ => false,
        });
        if is_there || self.has_devices() {
            return;
        }
        let open = OpenFile::shared(Open::Devices { is_preopened: true });
        // A table that is full has more important things in it.
        let _without = self.fds().insert(Descriptor {
            open,
            rights: Rights::DIRECTORY,
            inheriting: Rights::DIRECTORY_INHERITING,
            close_on_exec: false,
        });
    }

    fn has_devices(&self) -> bool {
        let fds = self.fds();
        let is_one = |fd| fds.get(fd).is_ok_and(|it| matches!(it.open.open, Open::Devices { .. }));
        (0..fds.end()).any(is_one)
    }

    /// What a whole path names of the built-in directory; `None` where it is not below it, or
    /// the guest does not have it.
    pub(super) fn device_at(&self, path: &str) -> Option<Result<DeviceEntry, Errno>> {
        let below = path.strip_prefix(DIRECTORY)?;
        let below = if below.is_empty() { "." } else { below.strip_prefix('/')? };
        self.has_devices().then(|| entry(below))
    }
}

impl Thread {
    /// Is `fd` the built-in directory, with `rights`?
    ///
    /// # Errors
    ///
    /// `EBADF`; `ENOTCAPABLE` where it is.
    pub(crate) fn is_devices(&self, fd: u32, rights: Rights) -> Result<bool, Errno> {
        let fds = self.process().fds();
        let descriptor = fds.get(fd)?;
        let is_devices = matches!(descriptor.open.open, Open::Devices { .. });
        if is_devices {
            descriptor.rights.require(rights)?;
        }
        Ok(is_devices)
    }

    /// The device that `fd` stands for, if it is one, for a call at a position that needs
    /// `rights`.
    ///
    /// # Errors
    ///
    /// For a device: `EBADF`, `ESPIPE` for a terminal, `ENOTCAPABLE`.
    pub(crate) fn device(&self, fd: u32, rights: Rights) -> Result<Option<Arc<OpenFile>>, Errno> {
        let fds = self.process().fds();
        let descriptor = fds.get(fd)?;
        let Open::Device(device) = &descriptor.open.open else { return Ok(None) };
        descriptor.open.open.check_direction(rights)?;
        if device.is_terminal() {
            return Err(Errno::ESPIPE);
        }
        descriptor.rights.require(rights)?;
        Ok(Some(Arc::clone(&descriptor.open)))
    }
}

impl Process {
    /// Opens what `path` names of the built-in directory, with the rights that it may have.
    ///
    /// # Errors
    ///
    /// `EINVAL` for creating a directory, `EEXIST`, `EISDIR` for writing to the directory,
    /// `ENOTDIR` for a device that is to be one, `EROFS` for creating anything; `ENOENT`, also
    /// for a standard stream that was closed; `ENXIO` for one that is a socket, and for a
    /// terminal where there is none.
    pub(crate) fn open_device(
        &self,
        path: &str,
        options: &OpenOptions,
    ) -> Result<(Arc<OpenFile>, Rights), Errno> {
        if options.create && options.directory {
            return Err(Errno::EINVAL);
        }
        let name = match find(path) {
            // "EROFS: The named file resides on a read-only file system and ... O_CREAT (if the
            // file does not exist)" - open(3p)
            Err(Errno::ENOENT) if options.create && !path.is_empty() => return Err(Errno::EROFS),
            found => found?.1,
        };
        // "EEXIST: O_CREAT and O_EXCL are set, and the named file exists." - open(3p)
        if options.create && options.exclusive {
            return Err(Errno::EEXIST);
        }
        let Some(name) = name else {
            if options.write || options.create || options.truncate {
                return Err(Errno::EISDIR);
            }
            return Ok((OpenFile::shared(Open::Devices { is_preopened: false }), Rights::DIRECTORY));
        };
        if options.directory {
            return Err(Errno::ENOTDIR);
        }
        let kind = match name {
            Name::Null => DeviceKind::Null,
            Name::Zero => DeviceKind::Zero,
            Name::Full => DeviceKind::Full,
            Name::Random => DeviceKind::Random,
            Name::Stream(number) => return self.stream(number),
            Name::Tty => self.settings().terminal().ok_or(Errno::ENXIO)?,
        };
        let most = if name == Name::Tty { Rights::STDIO } else { Rights::FILE };
        let device = Device { kind, can_read: options.read, can_write: options.write };
        Ok((OpenFile::with_nonblocking(Open::Device(Box::new(device)), options.nonblock), most))
    }

    /// A standard stream, which both descriptors share from then on.
    fn stream(&self, number: u32) -> Result<(Arc<OpenFile>, Rights), Errno> {
        let fds = self.fds();
        // "ENOENT: A dangling symbolic link" - open(2): so it is with /proc/self/fd.
        let descriptor = fds.get(number).map_err(|_| Errno::ENOENT)?;
        match descriptor.open.open {
            // "ENXIO: The file is a UNIX domain socket." - open(2)
            Open::Socket(_) => Err(Errno::ENXIO),
            _ => Ok((Arc::clone(&descriptor.open), descriptor.rights)),
        }
    }
}

impl super::Settings {
    /// The terminal of the guest: its input, and the output that is one.
    fn terminal(&self) -> Option<DeviceKind> {
        let output = [&self.stdout, &self.stderr].into_iter().find(|output| output.is_terminal());
        let output = match output {
            Some(output) => output,
            None if self.stdin.is_terminal() => &self.stdout,
            None => return None,
        };
        Some(DeviceKind::Terminal(Arc::clone(&self.stdin), Arc::clone(output)))
    }
}

/// What `path` names, seen from the directory.
///
/// # Errors
///
/// Those of [`find`].
pub(crate) fn entry(path: &str) -> Result<DeviceEntry, Errno> {
    find(path).map(
        |(number, name)| if name.is_some() { DeviceEntry::Device(number) } else { DeviceEntry::Directory },
    )
}

/// The directory's entries.
pub(crate) fn entries() -> Vec<DirEntry> {
    let own = [".", ".."].map(|name| (name, FileType::Directory, 1));
    let devices = NAMES.iter().zip(2..).map(|((name, _), ino)| (*name, FileType::CharacterDevice, ino));
    let all = own.into_iter().chain(devices);
    all.map(|(name, kind, ino)| DirEntry { name: name.to_owned(), ino, kind }).collect()
}

/// The serial number of what `path` names, and its name; none for the directory itself.
///
/// # Errors
///
/// `EPERM` for a path that leaves the directory, `EINVAL` for a NUL inside, `ENOTDIR` for
/// something below a device, `ENOENT`.
fn find(path: &str) -> Result<(u64, Option<Name>), Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    if path.contains('\0') {
        return Err(Errno::EINVAL);
    }
    // As for any directory that was granted.
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(Errno::EPERM);
    }
    let is_directory = path.ends_with('/') || path.ends_with("/.");
    let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    let Some(first) = parts.next() else { return Ok((1, None)) };
    let found = NAMES.iter().zip(2..).find(|((name, _), _)| *name == first);
    let ((_, name), number) = found.ok_or(Errno::ENOENT)?;
    if is_directory || parts.next().is_some() {
        // "ENOTDIR: A component of the path prefix names an existing file that is neither a
        // directory nor a symbolic link to a directory" - open(3p)
        return Err(Errno::ENOTDIR);
    }
    Ok((number, Some(*name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_device_or_the_directory() {
        for directory in [".", "./", "./."] {
            assert_eq!(entry(directory), Ok(DeviceEntry::Directory), "{directory}");
        }
        assert_eq!(entry("null"), Ok(DeviceEntry::Device(3)));
        assert_eq!(entry("./null"), entry("null"));
        for (path, errno) in [
            ("", Errno::ENOENT),
            ("sda", Errno::ENOENT),
            ("sda/x", Errno::ENOENT),
            ("nul\0l", Errno::EINVAL),
            ("..", Errno::EPERM),
            ("null/..", Errno::EPERM),
            ("/dev/null", Errno::EPERM),
            ("null/", Errno::ENOTDIR),
            ("null/.", Errno::ENOTDIR),
            ("null/x", Errno::ENOTDIR),
        ] {
            assert_eq!(entry(path), Err(errno), "{path:?}");
        }
    }

    #[test]
    fn each_entry_is_found_by_its_name() {
        let entries = entries();
        assert_eq!(entries.len(), 2 + NAMES.len());
        for listed in entries.iter().skip(2) {
            assert_eq!(entry(&listed.name), Ok(DeviceEntry::Device(listed.ino)), "{}", listed.name);
        }
    }
}
