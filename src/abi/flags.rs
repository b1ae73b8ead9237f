//! Flags and small numbers that every dialect writes alike.
//!
//! A bit or a value that the ABI does not know is `EINVAL`, never a trap.

use crate::error::Errno;
use crate::socket::{RecvFlags, ShutdownHow};

pub(crate) const FDFLAG_APPEND: u16 = 1;
pub(crate) const FDFLAG_DSYNC: u16 = 2;
pub(crate) const FDFLAG_NONBLOCK: u16 = 4;
pub(crate) const FDFLAG_RSYNC: u16 = 8;
pub(crate) const FDFLAG_SYNC: u16 = 16;

/// # Errors
///
/// `EINVAL` for a bit outside of `known`.
pub(crate) fn known(flags: u32, known: u16) -> Result<u16, Errno> {
    u16::try_from(flags).ok().filter(|flags| flags & !known == 0).ok_or(Errno::EINVAL)
}

/// The descriptor flags of `fd_fdstat_set_flags` and `path_open`.
pub(crate) fn descriptor(flags: u32) -> Result<u16, Errno> {
    known(flags, FDFLAG_APPEND | FDFLAG_DSYNC | FDFLAG_NONBLOCK | FDFLAG_RSYNC | FDFLAG_SYNC)
}

/// The descriptor flags of an accept: is the new socket, and this call, to be
/// nonblocking? The other flags mean nothing to a socket.
pub(crate) fn accept(flags: u32) -> Result<bool, Errno> {
    Ok(descriptor(flags)? & FDFLAG_NONBLOCK != 0)
}

/// How to receive: peek 1, wait for all 2, return the whole length of a message 4 (`MSG_TRUNC`
/// of the C library; a stream has none), do not wait 8.
pub(crate) fn receive(flags: u32) -> Result<RecvFlags, Errno> {
    let flags = known(flags, 0b1111)?;
    Ok(RecvFlags {
        peek: flags & 1 != 0,
        wait_all: flags & 2 != 0,
        whole_length: flags & 4 != 0,
        dont_wait: flags & 8 != 0,
    })
}

/// How to send: do not wait 1.
pub(crate) fn send(flags: u32) -> Result<bool, Errno> {
    Ok(known(flags, 1)? != 0)
}

/// Which direction to shut down: receiving 1, sending 2, both 3.
pub(crate) fn shutdown(how: u32) -> Result<ShutdownHow, Errno> {
    match how {
        1 => Ok(ShutdownHow::Read),
        2 => Ok(ShutdownHow::Write),
        3 => Ok(ShutdownHow::Both),
        // "EINVAL: The how argument is invalid." - shutdown(3p)
        _ => Err(Errno::EINVAL),
    }
}

/// A boolean.
pub(crate) fn boolean(value: u32) -> Result<bool, Errno> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::EINVAL),
    }
}
