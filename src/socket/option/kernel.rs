//! The kernel's options that rustix does not know.

use std::os::fd::BorrowedFd;

use nix::sys::socket::{GetSockOpt, SetSockOpt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

use crate::error::Errno;

pub(super) use nix::sys::socket::sockopt::DontRoute;

sockopt_impl!(
    /// How many bytes make a stream readable.
    ReceiveLowWater,
    Both,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    i32
);

sockopt_impl!(
    /// How much room makes a stream writable.
    SendLowWater,
    Both,
    libc::SOL_SOCKET,
    libc::SO_SNDLOWAT,
    i32
);

pub(super) fn set<O: SetSockOpt>(fd: BorrowedFd<'_>, option: O, value: &O::Val) -> Result<(), Errno> {
    Ok(option.set(&fd, value).map_err(std::io::Error::from)?)
}

pub(super) fn get<O: GetSockOpt>(fd: BorrowedFd<'_>, option: O) -> Result<O::Val, Errno> {
    Ok(option.get(&fd).map_err(std::io::Error::from)?)
}
