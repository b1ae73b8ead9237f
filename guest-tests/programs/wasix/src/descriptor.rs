//! Descriptors: flags, rights, duplicates, reading and writing.

#[cfg(not(target_os = "wasi"))]
pub use crate::native::descriptor::*;
#[cfg(target_os = "wasi")]
pub use crate::wasi::descriptor::*;
use crate::{Fd, Result};

pub const APPEND: u32 = 1;
pub const NONBLOCK: u32 = 4;
pub const CLOEXEC: u32 = 1;

pub const DIRECTORY: u8 = 3;
pub const REGULAR_FILE: u8 = 4;
pub const SOCKET_DGRAM: u8 = 5;
pub const SOCKET_STREAM: u8 = 6;
pub const SYMBOLIC_LINK: u8 = 7;
pub const SOCKET_SEQPACKET: u8 = 9;

/// Bits of the rights of a descriptor.
pub mod right {
    pub const FD_READ: u64 = 1 << 1;
    pub const FD_WRITE: u64 = 1 << 6;
    pub const FD_SEEK: u64 = 1 << 2;
    pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub const FD_FILESTAT_GET: u64 = 1 << 21;
    pub const POLL: u64 = 1 << 27;
    /// WAMR has none.
    pub const SOCK_SHUTDOWN: u64 = bit(28, 64);
    pub const SOCK_ACCEPT: u64 = bit(29, 31);
    pub const SOCK_CONNECT: u64 = bit(30, 28);
    pub const SOCK_LISTEN: u64 = bit(31, 29);
    pub const SOCK_BIND: u64 = bit(32, 30);
    pub const SOCK_RECV: u64 = bit(33, 32);
    pub const SOCK_SEND: u64 = bit(34, 33);

    /// The bits of sockets are others in WAMR.
    const fn bit(number: u32, in_wamr: u32) -> u64 {
        match 1_u64.checked_shl(if cfg!(feature = "wamr") { in_wamr } else { number }) {
            Some(bit) => bit,
            None => 0,
        }
    }
}

/// What `fd_fdstat_get` writes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FdStat {
    pub filetype: u8,
    pub flags: u16,
    pub rights_base: u64,
    pub rights_inheriting: u64,
}

pub fn set_nonblocking(fd: Fd) -> Result<()> {
    set_flags(fd, NONBLOCK)
}
