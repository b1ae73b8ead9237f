//! Descriptors: files, sockets and streams alike.

use std::sync::Arc;

use wiggle::{GuestMemory, GuestPtr, GuestType};

use super::bindings::preview1_fd::Preview1Fd;
use super::bindings::types;
use super::stat;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{Buffers, check_out, check_out_value, write_bytes};
use crate::abi::rights;
use crate::abi::transfer::count;
use crate::account::Charge;
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::file::{Advice, Dir, DirEntry, FileFlags, Listing, Stat, Whence};
use crate::observe::Closed;
use crate::process::{Open, Thread, device};
use crate::ready::TimeSlice;

/// "dir" is 0, the only kind that preview 1 names.
const PREOPENED_SOCKET: u8 = 1;

/// The size of the head of a directory entry; the name follows.
const DIRENT_SIZE: usize = 24;

/// How many entries of a directory are read at a time.
const ENTRIES: usize = 128;

impl Preview1Fd for Call<'_> {
    fn fd_advise(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        offset: u64,
        len: u64,
        advice: u32,
    ) -> Result<(), Error> {
        let file = self.file(fd, Rights::FD_ADVISE)?;
        Ok(file.advise(offset, len, advice_of(advice)?)?)
    }

    fn fd_allocate(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        offset: u64,
        len: u64,
    ) -> Result<(), Error> {
        let file = self.file(fd, Rights::FD_ALLOCATE).map_err(|errno| match errno {
            // "ENODEV: The fd argument does not refer to a regular file." - posix_fallocate(3p)
            Errno::ESPIPE if !self.is_pipe(fd) => Errno::ENODEV,
            other => other,
        })?;
        self.file_call(memory, move || file.allocate(offset, len))
    }

    fn fd_close(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<(), Error> {
        Ok(self.close_descriptor(fd)?)
    }

    fn fd_datasync(&mut self, memory: &mut GuestMemory<'_>, fd: u32) -> Result<(), Error> {
        match self.stored(fd, Rights::FD_DATASYNC)?.open {
            Open::File(ref file) => {
                let file = Arc::clone(file);
                self.file_call(memory, move || file.datasync())
            }
            Open::Directory(ref directory) => {
                let dir = Arc::clone(&directory.dir);
                self.file_call(memory, move || dir.datasync())
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn fd_sync(&mut self, memory: &mut GuestMemory<'_>, fd: u32) -> Result<(), Error> {
        match self.stored(fd, Rights::FD_SYNC)?.open {
            Open::File(ref file) => {
                let file = Arc::clone(file);
                self.file_call(memory, move || file.sync())
            }
            Open::Directory(ref directory) => {
                let dir = Arc::clone(&directory.dir);
                self.file_call(memory, move || dir.sync())
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn fd_fdstat_get(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<types::Fdstat, Error> {
        let descriptor = self.descriptor(fd, Rights::NONE)?;
        let mut fs_flags = if descriptor.open.is_nonblocking() { flags::FDFLAG_NONBLOCK } else { 0 };
        if let Open::File(file) = &descriptor.open.open {
            fs_flags |= flag_bits(file.flags());
        }
        Ok(types::Fdstat {
            fs_filetype: stat::kind_of(&descriptor.open.open),
            fs_flags,
            fs_rights_base: rights::to_guest(descriptor.rights, self.personality),
            fs_rights_inheriting: rights::to_guest(descriptor.inheriting, self.personality),
        })
    }

    fn fd_fdstat_set_flags(&mut self, _: &mut GuestMemory<'_>, fd: u32, flags: u32) -> Result<(), Error> {
        let descriptor = self.descriptor(fd, Rights::FD_FDSTAT_SET_FLAGS)?;
        let flags = flags::descriptor(flags)?;
        if let Open::File(file) = &descriptor.open.open {
            file.set_flags(file_flags(flags))?;
        }
        descriptor.open.set_nonblocking(flags & flags::FDFLAG_NONBLOCK != 0);
        Ok(())
    }

    fn fd_fdstat_set_rights(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        base: u64,
        inheriting: u64,
    ) -> Result<(), Error> {
        let mut fds = self.process().fds();
        let descriptor = fds.get_mut(fd)?;
        let base = rights::from_guest(base, descriptor.rights, self.personality);
        let inheriting = rights::from_guest(inheriting, descriptor.inheriting, self.personality);
        // "This can only be used to remove rights, and returns errno::notcapable if
        // called in a way that would attempt to add rights" - preview 1
        descriptor.rights.require(base)?;
        descriptor.inheriting.require(inheriting)?;
        descriptor.rights = base;
        descriptor.inheriting = inheriting;
        Ok(())
    }

    fn fd_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        ret_stat: GuestPtr<types::Filestat>,
    ) -> Result<(), Error> {
        self.fd_stat_as(memory, fd, ret_stat)
    }

    fn fd_filestat_set_size(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        size: u64,
    ) -> Result<(), Error> {
        // "EBADF or EINVAL: The fildes argument is not a file descriptor open for writing":
        // what has no size is EINVAL, as on Linux. - ftruncate(3p)
        let no_size = |errno| if errno == Errno::ESPIPE { Errno::EINVAL } else { errno };
        let file = self.file(fd, Rights::FD_FILESTAT_SET_SIZE).map_err(no_size)?;
        self.file_call(memory, move || file.set_size(size))
    }

    fn fd_filestat_set_times(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        atim: u64,
        mtim: u64,
        fst_flags: u32,
    ) -> Result<(), Error> {
        let stored = self.stored(fd, Rights::FD_FILESTAT_SET_TIMES)?;
        let times = stat::times(atim, mtim, fst_flags)?;
        match stored.open {
            Open::File(ref file) => {
                let file = Arc::clone(file);
                self.file_call(memory, move || file.set_times(times))
            }
            Open::Directory(ref directory) => {
                let dir = Arc::clone(&directory.dir);
                self.file_call(memory, move || dir.set_times_self(times))
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn fd_pread(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        offset: u64,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let rights = Rights::FD_READ | Rights::FD_SEEK;
        let device = self.device(fd, rights)?;
        let file = if device.is_none() { Some(self.file(fd, rights)?) } else { None };
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        match (device, file) {
            (Some(device), _) => self.read_as(memory, device, buffers, ret_n),
            (None, Some(file)) => self.read_at_as(memory, file, buffers, offset, ret_n),
            (None, None) => Err(Errno::EBADF.into()),
        }
    }

    fn fd_pwrite(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        offset: u64,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let rights = Rights::FD_WRITE | Rights::FD_SEEK;
        let device = self.device(fd, rights)?;
        let file = if device.is_none() { Some(self.file(fd, rights)?) } else { None };
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        match (device, file) {
            (Some(device), _) => self.write_as(memory, device, buffers, false, None, ret_n),
            (None, Some(file)) => self.write_at_as(memory, file, buffers, offset, ret_n),
            (None, None) => Err(Errno::EBADF.into()),
        }
    }

    fn fd_read(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let open = self.descriptor(fd, Rights::FD_READ)?.open;
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        self.read_as(memory, open, buffers, ret_n)
    }

    fn fd_write(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let open = self.descriptor(fd, Rights::FD_WRITE)?.open;
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        self.write_as(memory, open, buffers, false, None, ret_n)
    }

    fn fd_prestat_get(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<types::Prestat, Error> {
        // A program that looks for directories goes on at a tag which it does not know, and
        // stops or fails at an error.
        if self.process().is_first_socket(fd) {
            return Ok(types::Prestat { tag: PREOPENED_SOCKET, name_len: 0 });
        }
        let name = self.preopened_name(fd)?;
        Ok(types::Prestat { tag: 0, name_len: count(name.len())? })
    }

    fn fd_prestat_dir_name(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        path: GuestPtr<u8>,
        path_len: u32,
    ) -> Result<(), Error> {
        let name = self.preopened_name(fd)?;
        check_out(memory, path.offset(), path_len)?;
        if count(name.len())? > path_len {
            return Err(Errno::ENAMETOOLONG.into());
        }
        write_bytes(memory, path, name.as_bytes())
    }

    fn fd_readdir(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        buf: GuestPtr<u8>,
        buf_len: u32,
        cookie: u64,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let is_devices = self.is_devices(fd, Rights::FD_READDIR)?;
        let dir = if is_devices { None } else { Some(self.directory(fd, Rights::FD_READDIR)?) };
        check_out(memory, buf.offset(), buf_len)?;
        check_out_value(memory, ret_n)?;
        let room = usize::try_from(buf_len).map_err(|_| Errno::EINVAL)?;
        let Some(dir) = dir else {
            return write_listing(memory, (buf, room), ret_n, list_devices(cookie)?);
        };
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let listing = call.list(dir, room, cookie).await?;
                write_listing(memory, (buf, room), ret_n, listing)
            })
        }))
    }

    fn fd_renumber(&mut self, _: &mut GuestMemory<'_>, fd: u32, to: u32) -> Result<(), Error> {
        let mut fds = self.process().fds();
        let replaced = if self.personality.renumber_duplicates {
            fds.duplicate_onto(fd, to)?
        } else {
            fds.renumber(fd, to)?
        };
        drop(fds);
        self.process().note_change(fd);
        self.process().note_change(to);
        // What was there closes outside of the table's lock.
        if let Some(replaced) = replaced {
            self.process().close(to, replaced, Closed::Replaced);
        }
        Ok(())
    }

    fn fd_seek(&mut self, _: &mut GuestMemory<'_>, fd: u32, offset: i64, whence: u32) -> Result<u64, Error> {
        // "Seeking by 0 from here" is how a program asks where it is.
        let needed = if offset == 0 && whence == 1 { Rights::FD_TELL } else { Rights::FD_SEEK };
        let device = self.device(fd, needed)?;
        let file = if device.is_none() { Some(self.file(fd, needed)?) } else { None };
        let whence = match whence {
            0 => Whence::Set,
            1 => Whence::Current,
            2 => Whence::End,
            _ => return Err(Errno::EINVAL.into()),
        };
        // Linux returns 0 for the devices, whatever the target.
        Ok(file.map_or(Ok(0), |file| file.seek(offset, whence))?)
    }

    fn fd_tell(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u64, Error> {
        if self.device(fd, Rights::FD_TELL)?.is_some() {
            return Ok(0);
        }
        Ok(self.file(fd, Rights::FD_TELL)?.tell()?)
    }
}

impl Call<'_> {
    /// What is known of the file `fd`, in the layout of any snapshot.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(super) fn fd_stat_as<T: GuestType + From<types::Filestat> + 'static>(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        ret_stat: GuestPtr<T>,
    ) -> Result<(), Error> {
        let descriptor = self.descriptor(fd, Rights::FD_FILESTAT_GET)?;
        check_out_value(memory, ret_stat)?;
        let at = ret_stat.offset();
        let write = move |_: &Thread, memory: &mut GuestMemory<'_>, found: Stat| {
            Ok(memory.write(GuestPtr::<T>::new(at), stat::filestat(&found).into())?)
        };
        match &descriptor.open.open {
            Open::File(file) => {
                let file = Arc::clone(file);
                self.file_call_as(memory, move || file.stat(), write)
            }
            Open::Directory(directory) => {
                let dir = Arc::clone(&directory.dir);
                self.file_call_as(memory, move || dir.stat_self(), write)
            }
            other => Ok(memory.write(ret_stat, stat::of_no_file(other).into())?),
        }
    }
}

impl Thread {
    /// Lists `dir` from `cookie` on, `room` bytes or more if there is more.
    async fn list(&self, dir: Arc<Dir>, room: usize, cookie: u64) -> Result<Vec<u8>, Error> {
        let mut host = self.on_disk(move || Listing::new(dir)).await?;
        let mut listing = Vec::new();
        let mut held = Charge::none(self.process().host_memory());
        let mut slice = TimeSlice::new();
        while listing.len() < room && !host.is_over() {
            slice.step_on().await;
            let entries;
            (host, entries) = self
                .on_disk(move || {
                    let entries = host.read(ENTRIES, cookie)?;
                    Ok((host, entries))
                })
                .await?;
            for (place, entry) in entries {
                push_entry(&mut listing, &entry, place)?;
            }
            charge_listing(&mut held, listing.len())?;
        }
        Ok(listing)
    }

    fn is_pipe(&self, fd: u32) -> bool {
        let open = self.descriptor(fd, Rights::NONE);
        open.is_ok_and(|it| matches!(it.open.open, Open::Pipe(_)))
    }

    /// The name of a preopened directory.
    ///
    /// # Errors
    ///
    /// `EBADF` for anything else: programs scan upwards until they see it.
    fn preopened_name(&self, fd: u32) -> Result<String, Errno> {
        let descriptor = self.descriptor(fd, Rights::NONE)?;
        let name = match &descriptor.open.open {
            Open::Directory(directory) => directory.preopened_as.clone(),
            Open::Devices { is_preopened } => is_preopened.then(|| device::DIRECTORY.to_owned()),
            _ => None,
        };
        name.ok_or(Errno::EBADF)
    }
}

fn advice_of(number: u32) -> Result<Advice, Errno> {
    Ok(match number {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::EINVAL),
    })
}

pub(super) fn file_flags(flags: u16) -> FileFlags {
    FileFlags {
        append: flags & flags::FDFLAG_APPEND != 0,
        dsync: flags & flags::FDFLAG_DSYNC != 0,
        rsync: flags & flags::FDFLAG_RSYNC != 0,
        sync: flags & flags::FDFLAG_SYNC != 0,
        nonblock: flags & flags::FDFLAG_NONBLOCK != 0,
    }
}

fn flag_bits(file: FileFlags) -> u16 {
    let bit = |on: bool, bit: u16| if on { bit } else { 0 };
    bit(file.append, flags::FDFLAG_APPEND)
        | bit(file.dsync, flags::FDFLAG_DSYNC)
        | bit(file.rsync, flags::FDFLAG_RSYNC)
        | bit(file.sync, flags::FDFLAG_SYNC)
}

/// Lists the built-in devices.
fn list_devices(cookie: u64) -> Result<Vec<u8>, Error> {
    let mut listing = Vec::new();
    let first = usize::try_from(cookie).unwrap_or(usize::MAX);
    for (entry, next) in device::entries().iter().zip(1..).skip(first) {
        push_entry(&mut listing, entry, next)?;
    }
    Ok(listing)
}

/// Writes as much of a listing as there is room for, and how much that is at `ret_n`.
fn write_listing(
    memory: &mut GuestMemory<'_>,
    (buf, room): (GuestPtr<u8>, usize),
    ret_n: GuestPtr<u32>,
    mut listing: Vec<u8>,
) -> Result<(), Error> {
    // A truncated last entry shows the guest that there is more.
    listing.truncate(room);
    write_bytes(memory, buf, &listing)?;
    Ok(memory.write(ret_n, count(listing.len())?)?)
}

/// How much of a listing is part of what every thread is charged for, and how much more is
/// charged at once.
const LISTING_PIECE: u64 = 64 * 1024;

/// Charges a listing that has become so long.
///
/// # Errors
///
/// `ENOMEM`.
fn charge_listing(held: &mut Charge, length: usize) -> Result<(), Errno> {
    // A vector may have twice the capacity that it uses.
    let bytes = u64::try_from(length).unwrap_or(u64::MAX).saturating_mul(2);
    if bytes <= held.bytes().max(LISTING_PIECE) {
        return Ok(());
    }
    held.resize(bytes.saturating_add(LISTING_PIECE))
}

/// Writes an entry as a guest reads it: next cookie at 0, inode at 8, length of the
/// name at 16, kind at 20; then the name.
fn push_entry(listing: &mut Vec<u8>, entry: &DirEntry, next: u64) -> Result<(), Error> {
    let start = listing.len();
    listing.extend_from_slice(&next.to_le_bytes());
    listing.extend_from_slice(&entry.ino.to_le_bytes());
    listing.extend_from_slice(&count(entry.name.len())?.to_le_bytes());
    listing.push(stat::kind(entry.kind));
    listing.resize(start + DIRENT_SIZE, 0);
    listing.extend_from_slice(entry.name.as_bytes());
    Ok(())
}
