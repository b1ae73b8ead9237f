//! Descriptors.

use super::{descriptor_of, outcome};
use crate::descriptor::{FdStat, NONBLOCK};
use crate::{Fd, Result};
use libc::c_int;

pub fn close(fd: Fd) -> Result<()> {
    outcome(unsafe { libc::close(fd as c_int) }).map(drop)
}

/// Only whether it is nonblocking: there are no rights, and other kinds of flags mean
/// nothing to a socket.
pub fn fdstat(fd: Fd) -> Result<FdStat> {
    let status = outcome(unsafe { libc::fcntl(fd as c_int, libc::F_GETFL) })? as c_int;
    let flags = if status & libc::O_NONBLOCK != 0 { NONBLOCK as u16 } else { 0 };
    Ok(FdStat { flags, ..FdStat::default() })
}

/// Of the flags, [`NONBLOCK`] alone is passed to the kernel.
pub fn set_flags(fd: Fd, flags: u32) -> Result<()> {
    let status = if flags & NONBLOCK != 0 { libc::O_NONBLOCK } else { 0 };
    outcome(unsafe { libc::fcntl(fd as c_int, libc::F_SETFL, status) }).map(drop)
}

pub fn dup(fd: Fd) -> Result<Fd> {
    descriptor_of(unsafe { libc::dup(fd as c_int) })
}
