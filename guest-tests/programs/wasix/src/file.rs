//! Files and directories, by the calls of preview 1.

use crate::descriptor::FileStat;
use crate::raw::preview1 as raw;
use crate::socket::IoVec;
use crate::{Fd, Result, address_of, address_of_mut, outcome};

pub const CREAT: u32 = 1;
pub const DIRECTORY: u32 = 2;
pub const EXCL: u32 = 4;
pub const TRUNC: u32 = 8;

pub const FOLLOW: u32 = 1;

pub const SET: u32 = 0;
pub const CUR: u32 = 1;
pub const END: u32 = 2;

pub const SET_ATIM: u32 = 1;
pub const SET_ATIM_NOW: u32 = 2;
pub const SET_MTIM: u32 = 4;
pub const SET_MTIM_NOW: u32 = 8;

/// The rights of a file that is read and written.
pub const FILE_RIGHTS: u64 = 0x1ff | (1 << 21) | (1 << 22) | (1 << 23) | (1 << 27);
/// The rights of a file that is only read.
pub const READ_RIGHTS: u64 = (1 << 1) | (1 << 2) | (1 << 5) | (1 << 21);

fn parts(path: &str) -> (u32, u32) {
    (address_of(path.as_bytes()), path.len() as u32)
}

/// `path_open` following symbolic links, for reading and writing.
pub fn open(folder: Fd, path: &str, oflags: u32, fdflags: u32) -> Result<Fd> {
    open_with(folder, FOLLOW, path, oflags, FILE_RIGHTS, fdflags)
}

/// Opens a folder below `folder`.
pub fn open_folder(folder: Fd, path: &str) -> Result<Fd> {
    let rights = crate::descriptor::fdstat(folder)?;
    let mut fd: Fd = u32::MAX;
    let (at, len) = parts(path);
    outcome(unsafe {
        raw::path_open(
            folder,
            FOLLOW,
            at,
            len,
            DIRECTORY,
            rights.rights_base,
            rights.rights_inheriting,
            0,
            address_of_mut(&mut fd),
        )
    })?;
    Ok(fd)
}

pub fn open_with(folder: Fd, lookup: u32, path: &str, oflags: u32, rights: u64, fdflags: u32) -> Result<Fd> {
    let mut fd: Fd = u32::MAX;
    let (at, len) = parts(path);
    let fd_at = address_of_mut(&mut fd);
    outcome(unsafe { raw::path_open(folder, lookup, at, len, oflags, rights, 0, fdflags, fd_at) })?;
    Ok(fd)
}

pub fn pread(fd: Fd, buf: &mut [u8], offset: u64) -> Result<usize> {
    let mut len = 0u32;
    let iovs = [IoVec::reading(buf)];
    outcome(unsafe { raw::fd_pread(fd, address_of(&iovs), 1, offset, address_of_mut(&mut len)) })?;
    Ok(len as usize)
}

pub fn pwrite(fd: Fd, buf: &[u8], offset: u64) -> Result<usize> {
    let mut len = 0u32;
    let iovs = [IoVec::writing(buf)];
    outcome(unsafe { raw::fd_pwrite(fd, address_of(&iovs), 1, offset, address_of_mut(&mut len)) })?;
    Ok(len as usize)
}

pub fn seek(fd: Fd, delta: i64, whence: u32) -> Result<u64> {
    let mut position = 0u64;
    let at = address_of_mut(&mut position);
    outcome(unsafe { raw::fd_seek(fd, delta as u64, whence, at) })?;
    Ok(position)
}

pub fn tell(fd: Fd) -> Result<u64> {
    let mut position = 0u64;
    outcome(unsafe { raw::fd_tell(fd, address_of_mut(&mut position)) })?;
    Ok(position)
}

pub fn stat(fd: Fd) -> Result<FileStat> {
    let mut stat = FileStat::default();
    outcome(unsafe { raw::fd_filestat_get(fd, address_of_mut(&mut stat)) })?;
    Ok(stat)
}

pub fn path_stat(folder: Fd, lookup: u32, path: &str) -> Result<FileStat> {
    let mut stat = FileStat::default();
    let (at, len) = parts(path);
    let stat_at = address_of_mut(&mut stat);
    outcome(unsafe { raw::path_filestat_get(folder, lookup, at, len, stat_at) })?;
    Ok(stat)
}

pub fn set_size(fd: Fd, size: u64) -> Result<()> {
    outcome(unsafe { raw::fd_filestat_set_size(fd, size) })
}

pub fn set_times(fd: Fd, atim: u64, mtim: u64, flags: u32) -> Result<()> {
    outcome(unsafe { raw::fd_filestat_set_times(fd, atim, mtim, flags) })
}

pub fn path_set_times(folder: Fd, path: &str, atim: u64, mtim: u64, flags: u32) -> Result<()> {
    let (at, len) = parts(path);
    outcome(unsafe { raw::path_filestat_set_times(folder, FOLLOW, at, len, atim, mtim, flags) })
}

pub fn advise(fd: Fd, offset: u64, len: u64, advice: u32) -> Result<()> {
    outcome(unsafe { raw::fd_advise(fd, offset, len, advice) })
}

pub fn allocate(fd: Fd, offset: u64, len: u64) -> Result<()> {
    outcome(unsafe { raw::fd_allocate(fd, offset, len) })
}

pub fn sync(fd: Fd) -> Result<()> {
    outcome(unsafe { raw::fd_sync(fd) })
}

pub fn datasync(fd: Fd) -> Result<()> {
    outcome(unsafe { raw::fd_datasync(fd) })
}

pub fn mkdir(folder: Fd, path: &str) -> Result<()> {
    let (at, len) = parts(path);
    outcome(unsafe { raw::path_create_directory(folder, at, len) })
}

pub fn rmdir(folder: Fd, path: &str) -> Result<()> {
    let (at, len) = parts(path);
    outcome(unsafe { raw::path_remove_directory(folder, at, len) })
}

pub fn unlink(folder: Fd, path: &str) -> Result<()> {
    let (at, len) = parts(path);
    outcome(unsafe { raw::path_unlink_file(folder, at, len) })
}

pub fn rename(folder: Fd, old: &str, new: &str) -> Result<()> {
    let ((old, old_len), (new, new_len)) = (parts(old), parts(new));
    outcome(unsafe { raw::path_rename(folder, old, old_len, folder, new, new_len) })
}

pub fn link(folder: Fd, old: &str, new: &str) -> Result<()> {
    let ((old, old_len), (new, new_len)) = (parts(old), parts(new));
    outcome(unsafe { raw::path_link(folder, 0, old, old_len, folder, new, new_len) })
}

pub fn symlink(folder: Fd, target: &str, path: &str) -> Result<()> {
    let ((target, target_len), (path, len)) = (parts(target), parts(path));
    outcome(unsafe { raw::path_symlink(target, target_len, folder, path, len) })
}

pub fn readlink(folder: Fd, path: &str, buf: &mut [u8]) -> Result<usize> {
    let mut used = 0u32;
    let (at, len) = parts(path);
    let (buf_at, buf_len) = (address_of_mut(buf), buf.len() as u32);
    outcome(unsafe { raw::path_readlink(folder, at, len, buf_at, buf_len, address_of_mut(&mut used)) })?;
    Ok(used as usize)
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the next entry begins.
    pub next: u64,
    pub filetype: u8,
    pub name: String,
}

/// What one `fd_readdir` answers: the whole entries, and how many bytes there were.
pub fn readdir(fd: Fd, buf: &mut [u8], cookie: u64) -> Result<(Vec<Entry>, usize)> {
    let mut used = 0u32;
    let (buf_at, buf_len) = (address_of_mut(buf), buf.len() as u32);
    outcome(unsafe { raw::fd_readdir(fd, buf_at, buf_len, cookie, address_of_mut(&mut used)) })?;
    let mut rest = &buf[..used as usize];
    let mut entries = Vec::new();
    while rest.len() >= 24 {
        let name_len = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
        let Some(name) = rest.get(24..24 + name_len) else {
            break;
        };
        entries.push(Entry {
            next: u64::from_le_bytes(rest[..8].try_into().unwrap()),
            filetype: rest[20],
            name: String::from_utf8(name.to_vec()).unwrap(),
        });
        rest = &rest[24 + name_len..];
    }
    Ok((entries, used as usize))
}

/// The preopened folder with this name.
pub fn folder(name: &str) -> Result<Fd> {
    for fd in 3.. {
        let mut prestat = [0u32; 2];
        outcome(unsafe { raw::fd_prestat_get(fd, address_of_mut(&mut prestat)) })?;
        if prestat[0] != 0 {
            // A socket.
            continue;
        }
        let mut path = vec![0u8; prestat[1] as usize];
        outcome(unsafe { raw::fd_prestat_dir_name(fd, address_of_mut(&mut path[..]), prestat[1]) })?;
        if path == name.as_bytes() {
            return Ok(fd);
        }
    }
    Err(crate::errno::EBADF)
}

pub fn chdir(path: &str) -> Result<()> {
    let (at, len) = parts(path);
    outcome(unsafe { crate::raw::wasix::chdir(at, len) })
}
