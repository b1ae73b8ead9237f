//! Descriptors, by the imports.

use crate::descriptor::FdStat;
use crate::socket::IoVec;
use crate::{Fd, Result, address_of, address_of_mut, outcome, raw};

/// What `fd_filestat_get` and `path_filestat_get` write.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FileStat {
    pub dev: u64,
    pub ino: u64,
    pub filetype: u8,
    pub nlink: u64,
    pub size: u64,
    pub atim: u64,
    pub mtim: u64,
    pub ctim: u64,
}

pub fn close(fd: Fd) -> Result<()> {
    outcome(unsafe { raw::preview1::fd_close(fd) })
}

pub fn fdstat(fd: Fd) -> Result<FdStat> {
    let mut stat = FdStat::default();
    outcome(unsafe { raw::preview1::fd_fdstat_get(fd, address_of_mut(&mut stat)) })?;
    Ok(stat)
}

/// What a number is at the start: the kind, and the length of the name.
pub fn prestat(fd: Fd) -> Result<(u8, u32)> {
    let mut prestat = [0u32; 2];
    outcome(unsafe { raw::preview1::fd_prestat_get(fd, address_of_mut(&mut prestat)) })?;
    Ok((prestat[0].to_le_bytes()[0], prestat[1]))
}

pub fn set_flags(fd: Fd, flags: u32) -> Result<()> {
    outcome(unsafe { raw::preview1::fd_fdstat_set_flags(fd, flags) })
}

pub fn set_rights(fd: Fd, base: u64, inheriting: u64) -> Result<()> {
    outcome(unsafe { raw::preview1::fd_fdstat_set_rights(fd, base, inheriting) })
}

/// Takes `rights` away from the descriptor.
pub fn drop_rights(fd: Fd, rights: u64) -> Result<()> {
    let stat = fdstat(fd)?;
    set_rights(fd, stat.rights_base & !rights, stat.rights_inheriting & !rights)
}

pub fn dup(fd: Fd) -> Result<Fd> {
    let mut copy: Fd = u32::MAX;
    outcome(unsafe { raw::wasix::fd_dup(fd, address_of_mut(&mut copy)) })?;
    Ok(copy)
}

/// `fd_dup2`: the lowest free number that is not below `minimum`.
pub fn dup2(fd: Fd, minimum: Fd, cloexec: bool) -> Result<Fd> {
    let mut copy: Fd = u32::MAX;
    outcome(unsafe { raw::wasix::fd_dup2(fd, minimum, u32::from(cloexec), address_of_mut(&mut copy)) })?;
    Ok(copy)
}

pub fn fdflags(fd: Fd) -> Result<u16> {
    let mut flags = u16::MAX;
    outcome(unsafe { raw::wasix::fd_fdflags_get(fd, address_of_mut(&mut flags)) })?;
    Ok(flags)
}

pub fn set_fdflags(fd: Fd, flags: u32) -> Result<()> {
    outcome(unsafe { raw::wasix::fd_fdflags_set(fd, flags) })
}

/// `fd_renumber` of preview 1: moves.
pub fn renumber_preview1(from: Fd, to: Fd) -> Result<()> {
    outcome(unsafe { raw::preview1::fd_renumber(from, to) })
}

/// `fd_renumber` of `wasix_32v1`: duplicates.
pub fn renumber_wasix(from: Fd, to: Fd) -> Result<()> {
    outcome(unsafe { raw::wasix::fd_renumber(from, to) })
}

pub fn read(fd: Fd, buf: &mut [u8]) -> Result<usize> {
    let mut len = 0u32;
    let iovs = [IoVec::reading(buf)];
    outcome(unsafe { raw::preview1::fd_read(fd, address_of(&iovs), 1, address_of_mut(&mut len)) })?;
    Ok(len as usize)
}

pub fn write(fd: Fd, buf: &[u8]) -> Result<usize> {
    let mut len = 0u32;
    let iovs = [IoVec::writing(buf)];
    outcome(unsafe { raw::preview1::fd_write(fd, address_of(&iovs), 1, address_of_mut(&mut len)) })?;
    Ok(len as usize)
}
