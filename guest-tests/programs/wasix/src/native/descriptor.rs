//! Descriptors.

use super::{descriptor_of, outcome};
use crate::descriptor::NONBLOCK;
use crate::{Fd, Result};
use libc::c_int;

pub fn close(fd: Fd) -> Result<()> {
    outcome(unsafe { libc::close(fd as c_int) }).map(drop)
}

/// Of the flags the kernel is told of [`NONBLOCK`] alone.
pub fn set_flags(fd: Fd, flags: u32) -> Result<()> {
    let status = if flags & NONBLOCK != 0 { libc::O_NONBLOCK } else { 0 };
    outcome(unsafe { libc::fcntl(fd as c_int, libc::F_SETFL, status) }).map(drop)
}

pub fn dup(fd: Fd) -> Result<Fd> {
    descriptor_of(unsafe { libc::dup(fd as c_int) })
}
