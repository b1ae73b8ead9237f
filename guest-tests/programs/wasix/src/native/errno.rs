//! The kernel's error numbers, by the names that WASI has for them too.

use crate::errno::*;

/// Why the last call of this thread failed.
pub(super) fn last() -> Errno {
    of(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// The error with the name of the kernel's number.
pub(super) fn of(number: i32) -> Errno {
    match number {
        libc::EACCES => EACCES,
        libc::EADDRINUSE => EADDRINUSE,
        libc::EADDRNOTAVAIL => EADDRNOTAVAIL,
        libc::EAFNOSUPPORT => EAFNOSUPPORT,
        libc::EAGAIN => EAGAIN,
        libc::EALREADY => EALREADY,
        libc::EBADF => EBADF,
        libc::ECONNABORTED => ECONNABORTED,
        libc::ECONNREFUSED => ECONNREFUSED,
        libc::ECONNRESET => ECONNRESET,
        libc::EDESTADDRREQ => EDESTADDRREQ,
        libc::EINPROGRESS => EINPROGRESS,
        libc::EINTR => EINTR,
        libc::EINVAL => EINVAL,
        libc::EISCONN => EISCONN,
        libc::EMFILE => EMFILE,
        libc::EMSGSIZE => EMSGSIZE,
        libc::ENFILE => ENFILE,
        libc::ENOBUFS => ENOBUFS,
        libc::ENOMEM => ENOMEM,
        libc::ENOPROTOOPT => ENOPROTOOPT,
        libc::ENOTCONN => ENOTCONN,
        libc::ENOTSOCK => ENOTSOCK,
        // WASI has no number of its own for EOPNOTSUPP.
        libc::EOPNOTSUPP => ENOTSUP,
        libc::EPERM => EPERM,
        libc::EPIPE => EPIPE,
        libc::EPROTONOSUPPORT => EPROTONOSUPPORT,
        libc::EPROTOTYPE => EPROTOTYPE,
        libc::ETIMEDOUT => ETIMEDOUT,
        number => panic!("error number {number} of the kernel has no name here"),
    }
}
