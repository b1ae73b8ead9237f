//! One open file: anything that `open` yields but a directory.

use super::{Access, OpenOptions, SetTime, Stat, Times};
use crate::error::Errno;
use rustix::fs::{FallocateFlags, FileType, OFlags, SeekFrom};
use rustix::io::retry_on_intr;
use std::io::{IoSlice, Read as _};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An open file.
///
/// The position and the flags belong to the open file, not to a descriptor, as
/// POSIX has it for an open file description.
#[derive(Debug)]
pub struct File {
    /// Held while the host's flags change, so that both always agree. No other
    /// lock is taken under it, and no read or write runs under it.
    flags: Mutex<FileFlags>,
    file: cap_std::fs::File,
    access: Access,
    can_read: bool,
    can_write: bool,
}

/// The flags of an open file that can change while it is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileFlags {
    /// Each write goes to the end of the file.
    pub append: bool,
    /// Each write waits until its data is on the disk.
    pub dsync: bool,
    /// Reads follow what `dsync` and `sync` guarantee for writes.
    pub rsync: bool,
    /// Each write waits until its data and attributes are on the disk.
    pub sync: bool,
    /// The guest asked not to wait. Reads and writes of this module never wait for
    /// another party; if the flag is off, the caller waits and tries again.
    pub nonblock: bool,
}

/// Where a seek counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The start of the file.
    Set,
    /// The position.
    Current,
    /// The end of the file.
    End,
}

/// What the guest will do with a range of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing special.
    Normal,
    /// Read it from the start to the end.
    Sequential,
    /// Read it in any order.
    Random,
    /// Use it soon.
    WillNeed,
    /// Leave it alone for a while.
    DontNeed,
    /// Use it once.
    NoReuse,
}

impl File {
    pub(super) fn new(file: cap_std::fs::File, access: Access, options: &OpenOptions) -> Self {
        Self {
            flags: Mutex::new(options.flags()),
            file,
            access,
            can_read: options.read,
            can_write: options.write,
        }
    }

    /// Was it opened for reading?
    pub fn can_read(&self) -> bool {
        self.can_read
    }

    /// Was it opened for writing?
    pub fn can_write(&self) -> bool {
        self.can_write
    }

    /// All that it has now, `most` bytes at most. `reserve` is told how much that is, before it is read.
    ///
    /// # Errors
    ///
    /// `EACCES` where it is no regular file; `ENOMEM` for more bytes; that of `reserve`.
    pub(super) fn content<R>(
        &self,
        most: u64,
        reserve: impl FnOnce(u64) -> Result<R, Errno>,
    ) -> Result<(Vec<u8>, R), Errno> {
        let metadata = self.file.metadata()?;
        if !metadata.is_file() {
            return Err(Errno::EACCES);
        }
        let length = Some(metadata.len()).filter(|length| *length <= most).ok_or(Errno::ENOMEM)?;
        let reserved = reserve(length)?;
        let mut bytes = Vec::new();
        let room = usize::try_from(length).map_err(|_| Errno::ENOMEM)?;
        // That it is at its end is found out by one more byte.
        bytes.try_reserve_exact(room.saturating_add(1)).map_err(|_| Errno::ENOMEM)?;
        // It may grow meanwhile.
        (&self.file).take(length).read_to_end(&mut bytes)?;
        Ok((bytes, reserved))
    }

    /// Reads at the position, and moves it. Zero is the end of the file.
    ///
    /// # Errors
    ///
    /// `EBADF` if not opened for reading; `EAGAIN` on an empty FIFO or device.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        self.check_read()?;
        Ok(retry_on_intr(|| rustix::io::read(&self.file, &mut *buf))?)
    }

    /// Reads at `offset`; the position is unchanged.
    ///
    /// # Errors
    ///
    /// As [`File::read`]; `EINVAL` from 2^63 on; `ESPIPE` on a FIFO or terminal.
    pub fn pread(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.check_read()?;
        Ok(retry_on_intr(|| rustix::io::pread(&self.file, &mut *buf, offset))?)
    }

    /// Writes at the position, or at the end of an append file.
    ///
    /// # Errors
    ///
    /// `EBADF` if not opened for writing; `EAGAIN` on a full FIFO or device;
    /// with a sync flag, the error of that sync after the data is written.
    pub fn write(&self, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.check_write()?;
        let written = retry_on_intr(|| rustix::io::writev(&self.file, bufs))?;
        self.finish_write()?;
        Ok(written)
    }

    /// Writes at `offset`; the position is unchanged.
    ///
    /// On an append file the data goes to its end, whatever `offset` says: POSIX
    /// wants it at `offset`, and Linux does not (pwrite(2), BUGS). The guest sees
    /// what a program on this host would see.
    ///
    /// # Errors
    ///
    /// As [`File::write`]; `EINVAL` from 2^63 on; `EFBIG` past what the file
    /// system can hold; `ESPIPE` on a FIFO or terminal.
    pub fn pwrite(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<usize, Errno> {
        self.check_write()?;
        let written = retry_on_intr(|| rustix::io::pwritev(&self.file, bufs, offset))?;
        self.finish_write()?;
        Ok(written)
    }

    /// Moves the position, and returns it as counted from the start.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a position below zero or past what the file system can hold;
    /// `ESPIPE` on a FIFO or terminal.
    pub fn seek(&self, delta: i64, whence: Whence) -> Result<u64, Errno> {
        let target = match whence {
            // EINVAL: "the resulting file offset would be negative" - lseek(3p)
            Whence::Set => SeekFrom::Start(u64::try_from(delta).map_err(|_| Errno::EINVAL)?),
            Whence::Current => SeekFrom::Current(delta),
            Whence::End => SeekFrom::End(delta),
        };
        Ok(rustix::fs::seek(&self.file, target)?)
    }

    /// The position.
    ///
    /// # Errors
    ///
    /// `ESPIPE` on a FIFO or terminal.
    pub fn tell(&self) -> Result<u64, Errno> {
        self.seek(0, Whence::Current)
    }

    /// How many bytes it has, as its file system counts them; nothing for what is no regular file.
    pub fn length(&self) -> Option<u64> {
        let stat = rustix::fs::fstat(&self.file).ok()?;
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_regular.then(|| u64::try_from(stat.st_size).ok()).flatten()
    }

    /// The attributes.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    pub fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat::from_cap(&self.file.metadata()?))
    }

    /// Cuts the content to `size`, or fills it up with zeros.
    ///
    /// # Errors
    ///
    /// `EROFS` in a read-only directory; `EINVAL` if not opened for writing and
    /// from 2^63 on; `EFBIG` past what the file system can hold.
    pub fn set_size(&self, size: u64) -> Result<(), Errno> {
        self.access.check_write()?;
        // EINVAL: "not a file descriptor open for writing" - ftruncate(3p). The
        // same errno for a length over the limit: "EFBIG or EINVAL".
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.file, size))?)
    }

    /// Sets the time stamps.
    ///
    /// # Errors
    ///
    /// `EROFS` in a read-only directory; `EPERM` if the host's user does not own
    /// the file.
    pub fn set_times(&self, times: Times) -> Result<(), Errno> {
        self.access.check_write()?;
        if times.atim == SetTime::Keep && times.mtim == SetTime::Keep {
            return Ok(());
        }
        Ok(rustix::fs::futimens(&self.file, &times.to_host())?)
    }

    /// Makes sure that the file system has space for a range, and the file
    /// reaches to its end.
    ///
    /// # Errors
    ///
    /// `EROFS` in a read-only directory; `EBADF` if not opened for writing;
    /// `EINVAL` for an empty range and from 2^63 on; `EFBIG` for a range that
    /// ends past what the file system can hold; `ESPIPE` on a FIFO; `ENODEV` on
    /// a device; `ENOTSUP` where the file system can't.
    pub fn allocate(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.access.check_write()?;
        self.check_write()?;
        // EINVAL: "The len argument is less than zero" - posix_fallocate(3p)
        let (Ok(start), Ok(length)) = (i64::try_from(offset), i64::try_from(len)) else {
            return Err(Errno::EINVAL);
        };
        // EFBIG: "The value of offset+len is greater than the maximum file
        // size." - posix_fallocate(3p)
        if start.checked_add(length).is_none() {
            return Err(Errno::EFBIG);
        }
        let flags = FallocateFlags::empty();
        Ok(retry_on_intr(|| rustix::fs::fallocate(&self.file, flags, offset, len))?)
    }

    /// Tells the host how a range will be used. A `len` of zero means up to the
    /// end.
    ///
    /// # Errors
    ///
    /// `EINVAL` from 2^63 on; `ESPIPE` on a FIFO.
    pub fn advise(&self, offset: u64, len: u64, advice: Advice) -> Result<(), Errno> {
        use rustix::fs::Advice as Host;
        // EINVAL: "the value of len is less than zero" - posix_fadvise(3p). An
        // offset below zero has no meaning either, though Linux takes it.
        if i64::try_from(offset).is_err() || i64::try_from(len).is_err() {
            return Err(Errno::EINVAL);
        }
        let advice = match advice {
            Advice::Normal => Host::Normal,
            Advice::Sequential => Host::Sequential,
            Advice::Random => Host::Random,
            Advice::WillNeed => Host::WillNeed,
            Advice::DontNeed => Host::DontNeed,
            Advice::NoReuse => Host::NoReuse,
        };
        let len = NonZeroU64::new(len);
        Ok(rustix::fs::fadvise(&self.file, offset, len, advice)?)
    }

    /// Waits until data and attributes are on the disk.
    ///
    /// # Errors
    ///
    /// `EINVAL` on a FIFO or device without a disk; `EIO`.
    pub fn sync(&self) -> Result<(), Errno> {
        Ok(retry_on_intr(|| rustix::fs::fsync(&self.file))?)
    }

    /// Waits until the data is on the disk.
    ///
    /// # Errors
    ///
    /// As [`File::sync`].
    pub fn datasync(&self) -> Result<(), Errno> {
        Ok(retry_on_intr(|| rustix::fs::fdatasync(&self.file))?)
    }

    /// The flags as opened, or as last set.
    pub fn flags(&self) -> FileFlags {
        *self.lock_flags()
    }

    /// Replaces the flags.
    ///
    /// # Errors
    ///
    /// `EPERM` for taking `append` off a file that the host marked append-only.
    pub fn set_flags(&self, flags: FileFlags) -> Result<(), Errno> {
        let mut held = self.lock_flags();
        // Only `append` is kept by the host, since only the host can find the end
        // and write there in one step. Linux does not let the sync flags change
        // (fcntl(2), F_SETFL), so `finish_write` implements them.
        let mut host = rustix::fs::fcntl_getfl(&self.file)?;
        if host.contains(OFlags::APPEND) != flags.append {
            host.set(OFlags::APPEND, flags.append);
            rustix::fs::fcntl_setfl(&self.file, host)?;
        }
        *held = flags;
        Ok(())
    }

    fn check_read(&self) -> Result<(), Errno> {
        // EBADF: "not a valid file descriptor open for reading" - read(3p)
        self.can_read.then_some(()).ok_or(Errno::EBADF)
    }

    fn check_write(&self) -> Result<(), Errno> {
        // EBADF: "not a valid file descriptor open for writing" - write(3p)
        self.can_write.then_some(()).ok_or(Errno::EBADF)
    }

    /// Implements the sync flags for the write that was just made.
    fn finish_write(&self) -> Result<(), Errno> {
        let flags = self.flags();
        // Linux gives O_RSYNC the meaning of O_SYNC (open(2)).
        if flags.sync || flags.rsync {
            self.sync()
        } else if flags.dsync {
            self.datasync()
        } else {
            Ok(())
        }
    }

    fn lock_flags(&self) -> MutexGuard<'_, FileFlags> {
        // Nothing under the lock can panic; if it did, the flags are whole.
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests;
