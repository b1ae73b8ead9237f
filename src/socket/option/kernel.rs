//! The kernel's options that rustix does not know.

use std::os::fd::BorrowedFd;

use nix::sys::socket::{GetSockOpt, SetSockOpt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

use crate::error::Errno;
use crate::socket::Family;

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
    /// Whether a connect waits for the first data.
    FastOpenConnect,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_FASTOPEN_CONNECT,
    bool
);

sockopt_impl!(
    /// How much free space makes a stream writable.
    SendLowWater,
    Both,
    libc::SOL_SOCKET,
    libc::SO_SNDLOWAT,
    i32
);

sockopt_impl!(
    /// Whether a socket takes what is sent to groups of IPv4 that others joined.
    AllGroupsV4,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MULTICAST_ALL,
    bool
);

sockopt_impl!(
    /// The same of IPv6.
    AllGroupsV6,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MULTICAST_ALL,
    bool
);

/// Has `fd` take what is sent to the groups that it joined itself, and to no others.
///
/// "IP_MULTICAST_ALL: ... If set to 1, the socket will receive messages from all the groups
/// that have been joined globally on the whole system. Otherwise, it will deliver only
/// messages from the groups that have been explicitly joined ... on this particular
/// socket." - ip(7). A kernel before 4.20 lacks it for IPv6, and is left as it is.
pub(in crate::socket) fn take_own_groups_only(fd: BorrowedFd<'_>, family: Family) {
    if family == Family::Inet6 {
        _ = set(fd, AllGroupsV6, &false);
    }
    // An IPv6 socket receives IPv4 too, unless set otherwise.
    if family != Family::Unix {
        _ = set(fd, AllGroupsV4, &false);
    }
}

pub(super) fn set<O: SetSockOpt>(fd: BorrowedFd<'_>, option: O, value: &O::Val) -> Result<(), Errno> {
    Ok(option.set(&fd, value).map_err(std::io::Error::from)?)
}

pub(super) fn get<O: GetSockOpt>(fd: BorrowedFd<'_>, option: O) -> Result<O::Val, Errno> {
    Ok(option.get(&fd).map_err(std::io::Error::from)?)
}
