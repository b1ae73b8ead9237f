//! From the host's [`Errno`] to the number that a preview 1 guest reads.
//!
//! Preview 1 ends at 76 (`notcapable`); the higher numbers of the shared type
//! are WASIX's and never written here.

use super::bindings::types;
use crate::error::{Errno, Error};
use crate::process::Thread;

impl types::UserErrorConversion for Thread {
    /// A [`Trap`](crate::error::Trap) becomes an error of the engine, which ends the guest.
    fn errno_from_error(&mut self, error: Error) -> wiggle::error::Result<types::Errno> {
        match error {
            Error::Errno(errno) => Ok(errno.into()),
            Error::Trap(trap) => Err(trap.into()),
        }
    }
}

impl From<Errno> for types::Errno {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::E2BIG => Self::TooBig,
            Errno::EACCES => Self::Acces,
            Errno::EADDRINUSE => Self::Addrinuse,
            Errno::EADDRNOTAVAIL => Self::Addrnotavail,
            Errno::EAFNOSUPPORT => Self::Afnosupport,
            Errno::EAGAIN => Self::Again,
            Errno::EALREADY => Self::Already,
            Errno::EBADF => Self::Badf,
            Errno::EBADMSG => Self::Badmsg,
            Errno::EBUSY => Self::Busy,
            Errno::ECANCELED => Self::Canceled,
            Errno::ECHILD => Self::Child,
            Errno::ECONNABORTED => Self::Connaborted,
            Errno::ECONNREFUSED => Self::Connrefused,
            Errno::ECONNRESET => Self::Connreset,
            Errno::EDEADLK => Self::Deadlk,
            Errno::EDESTADDRREQ => Self::Destaddrreq,
            Errno::EDOM => Self::Dom,
            Errno::EDQUOT => Self::Dquot,
            Errno::EEXIST => Self::Exist,
            Errno::EFAULT => Self::Fault,
            Errno::EFBIG => Self::Fbig,
            Errno::EHOSTUNREACH => Self::Hostunreach,
            Errno::EIDRM => Self::Idrm,
            Errno::EILSEQ => Self::Ilseq,
            Errno::EINPROGRESS => Self::Inprogress,
            Errno::EINTR => Self::Intr,
            Errno::EINVAL => Self::Inval,
            Errno::EIO => Self::Io,
            Errno::EISCONN => Self::Isconn,
            Errno::EISDIR => Self::Isdir,
            Errno::ELOOP => Self::Loop,
            Errno::EMFILE => Self::Mfile,
            Errno::EMLINK => Self::Mlink,
            Errno::EMSGSIZE => Self::Msgsize,
            Errno::EMULTIHOP => Self::Multihop,
            Errno::ENAMETOOLONG => Self::Nametoolong,
            Errno::ENETDOWN => Self::Netdown,
            Errno::ENETRESET => Self::Netreset,
            Errno::ENETUNREACH => Self::Netunreach,
            Errno::ENFILE => Self::Nfile,
            Errno::ENOBUFS => Self::Nobufs,
            Errno::ENODEV => Self::Nodev,
            Errno::ENOENT => Self::Noent,
            Errno::ENOEXEC => Self::Noexec,
            Errno::ENOLCK => Self::Nolck,
            Errno::ENOLINK => Self::Nolink,
            Errno::ENOMEM => Self::Nomem,
            Errno::ENOMSG => Self::Nomsg,
            Errno::ENOPROTOOPT => Self::Noprotoopt,
            Errno::ENOSPC => Self::Nospc,
            Errno::ENOSYS => Self::Nosys,
            Errno::ENOTCONN => Self::Notconn,
            Errno::ENOTDIR => Self::Notdir,
            Errno::ENOTEMPTY => Self::Notempty,
            Errno::ENOTRECOVERABLE => Self::Notrecoverable,
            Errno::ENOTSOCK => Self::Notsock,
            Errno::ENOTSUP => Self::Notsup,
            Errno::ENOTTY => Self::Notty,
            Errno::ENXIO => Self::Nxio,
            Errno::EOVERFLOW => Self::Overflow,
            Errno::EOWNERDEAD => Self::Ownerdead,
            Errno::EPERM => Self::Perm,
            Errno::EPIPE => Self::Pipe,
            Errno::EPROTO => Self::Proto,
            Errno::EPROTONOSUPPORT => Self::Protonosupport,
            Errno::EPROTOTYPE => Self::Prototype,
            Errno::ERANGE => Self::Range,
            Errno::EROFS => Self::Rofs,
            Errno::ESPIPE => Self::Spipe,
            Errno::ESRCH => Self::Srch,
            Errno::ESTALE => Self::Stale,
            Errno::ETIMEDOUT => Self::Timedout,
            Errno::ETXTBSY => Self::Txtbsy,
            Errno::EXDEV => Self::Xdev,
            Errno::ENOTCAPABLE => Self::Notcapable,
        }
    }
}

/// The number as a core function returns it.
pub(crate) fn number(errno: Errno) -> i32 {
    u16::from(types::Errno::from(errno)).into()
}

impl wiggle::GuestErrorType for types::Errno {
    fn success() -> Self {
        Self::Success
    }
}
