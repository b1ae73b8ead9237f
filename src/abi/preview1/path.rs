//! Files by name, below an open directory.

use std::sync::Arc;

use wiggle::{GuestMemory, GuestPtr, GuestType};

use super::bindings::preview1_path::Preview1Path;
use super::bindings::types;
use super::stat;
use crate::abi::call::Call;
use crate::abi::memory::{check_out, check_out_value, write_bytes};
use crate::abi::path::{self, OpenRequest, follows};
use crate::abi::transfer::count;
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::file::Stat;
use crate::process::{Thread, device};

type Path = GuestPtr<[u8]>;

impl Preview1Path for Call<'_> {
    fn path_create_directory(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        path: Path,
    ) -> Result<(), Error> {
        let dir = self.directory(fd, Rights::PATH_CREATE_DIRECTORY)?;
        let path = path::below(self, memory, fd, path)?;
        self.file_call(memory, move || dir.create_dir(&path))
    }

    fn path_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        path: Path,
        ret_stat: GuestPtr<types::Filestat>,
    ) -> Result<(), Error> {
        self.path_stat_as(memory, fd, flags, path, ret_stat)
    }

    fn path_filestat_set_times(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        path: Path,
        atim: u64,
        mtim: u64,
        fst_flags: u32,
    ) -> Result<(), Error> {
        let dir = self.directory(fd, Rights::PATH_FILESTAT_SET_TIMES)?;
        let path = path::below(self, memory, fd, path)?;
        let follow = follows(flags)?;
        let times = stat::times(atim, mtim, fst_flags)?;
        self.file_call(memory, move || dir.set_times(&path, follow, times))
    }

    fn path_link(
        &mut self,
        memory: &mut GuestMemory<'_>,
        old_fd: u32,
        old_flags: u32,
        old_path: Path,
        new_fd: u32,
        new_path: Path,
    ) -> Result<(), Error> {
        let old_dir = self.directory(old_fd, Rights::PATH_LINK_SOURCE)?;
        let new_dir = self.directory(new_fd, Rights::PATH_LINK_TARGET)?;
        let old = path::below(self, memory, old_fd, old_path)?;
        let new = path::below(self, memory, new_fd, new_path)?;
        let follow = follows(old_flags)?;
        let process = Arc::clone(self.process());
        self.file_call(memory, move || process.link((&old_dir, &old), follow, (&new_dir, &new)))
    }

    fn path_open(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        dirflags: u32,
        path: Path,
        oflags: u32,
        rights: u64,
        _inheriting: u64,
        fdflags: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let request = OpenRequest { fd, lookup: dirflags, oflags, rights, fdflags, close_on_exec: false };
        path::open(self, memory, &request, path, ret_fd)
    }

    fn path_readlink(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        path: Path,
        buf: GuestPtr<u8>,
        buf_len: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        if self.is_devices(fd, Rights::PATH_READLINK)? {
            device::entry(&path::read(memory, path)?)?;
            // "EINVAL: The path argument names a file that is not a symbolic link." - readlink(3p)
            return Err(Errno::EINVAL.into());
        }
        let dir = self.directory(fd, Rights::PATH_READLINK)?;
        let path = path::below(self, memory, fd, path)?;
        check_out(memory, buf.offset(), buf_len)?;
        check_out_value(memory, ret_n)?;
        let room = usize::try_from(buf_len).map_err(|_| Errno::EINVAL)?;
        let write = move |_: &Thread, memory: &mut GuestMemory<'_>, mut target: Vec<u8>| {
            // "If the buf argument is not large enough ... the first bufsize bytes" - readlink(3p)
            target.truncate(room);
            write_bytes(memory, buf, &target)?;
            Ok(memory.write(ret_n, count(target.len())?)?)
        };
        self.file_call_as(memory, move || dir.readlink(&path), write)
    }

    fn path_remove_directory(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        path: Path,
    ) -> Result<(), Error> {
        let dir = self.directory(fd, Rights::PATH_REMOVE_DIRECTORY)?;
        let path = path::below(self, memory, fd, path)?;
        self.file_call(memory, move || dir.remove_dir(&path))
    }

    fn path_rename(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        old_path: Path,
        new_fd: u32,
        new_path: Path,
    ) -> Result<(), Error> {
        let old_dir = self.directory(fd, Rights::PATH_RENAME_SOURCE)?;
        let new_dir = self.directory(new_fd, Rights::PATH_RENAME_TARGET)?;
        let old = path::below(self, memory, fd, old_path)?;
        let new = path::below(self, memory, new_fd, new_path)?;
        let process = Arc::clone(self.process());
        self.file_call(memory, move || process.rename((&old_dir, &old), (&new_dir, &new)))
    }

    fn path_symlink(
        &mut self,
        memory: &mut GuestMemory<'_>,
        old_path: Path,
        fd: u32,
        new_path: Path,
    ) -> Result<(), Error> {
        let dir = self.directory(fd, Rights::PATH_SYMLINK)?;
        let target = path::read(memory, old_path)?;
        let path = path::below(self, memory, fd, new_path)?;
        self.file_call(memory, move || dir.symlink(&target, &path))
    }

    fn path_unlink_file(&mut self, memory: &mut GuestMemory<'_>, fd: u32, path: Path) -> Result<(), Error> {
        let dir = self.directory(fd, Rights::PATH_UNLINK_FILE)?;
        let path = path::below(self, memory, fd, path)?;
        let process = Arc::clone(self.process());
        self.file_call(memory, move || process.unlink((&dir, &path)))
    }
}

impl Call<'_> {
    /// What is known of the file `path`, in the layout of any snapshot.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(super) fn path_stat_as<T: GuestType + From<types::Filestat> + 'static>(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        path: Path,
        ret_stat: GuestPtr<T>,
    ) -> Result<(), Error> {
        let is_devices = self.is_devices(fd, Rights::PATH_FILESTAT_GET)?;
        let dir = if is_devices { None } else { Some(self.directory(fd, Rights::PATH_FILESTAT_GET)?) };
        check_out_value(memory, ret_stat)?;
        let Some(dir) = dir else {
            follows(flags)?;
            let entry = device::entry(&path::read(memory, path)?)?;
            return Ok(memory.write(ret_stat, stat::of_device(entry).into())?);
        };
        let path = path::below(self, memory, fd, path)?;
        let follow = follows(flags)?;
        let (process, at) = (Arc::clone(self.process()), ret_stat.offset());
        let write = move |_: &Thread, memory: &mut GuestMemory<'_>, found: Stat| {
            Ok(memory.write(GuestPtr::<T>::new(at), stat::filestat(&found).into())?)
        };
        self.file_call_as(memory, move || process.stat((&dir, &path), follow), write)
    }
}
