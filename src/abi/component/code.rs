//! The error codes of `wasi:sockets`, those of all versions together: each version has a number of its own for
//! most of them.

use super::failure::Failure;
use super::trace::Named;
use crate::error::Errno;

/// Why a call fails, as WIT names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    /// Of calls in two parts, which 0.2 alone has.
    ConcurrencyConflict,
    /// As `ConcurrencyConflict`.
    NotInProgress,
    /// Of calls that never wait, which 0.2 alone has.
    WouldBlock,
    InvalidState,
    /// "A new socket resource could not be created because of a system limit. (EMFILE, ENFILE)"
    NewSocketLimit,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    /// A code of 0.3.
    ConnectionBroken,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
    /// There is none for it.
    Unknown,
}

/// How a call of `wasi:sockets` fails: by a code of its version for the guest, or by a trap.
#[derive(Debug)]
pub(crate) enum SocketError<C> {
    /// The guest's.
    Code(C),
    /// The end of the guest.
    Trap(wasmtime::Error),
}

impl<C> SocketError<C> {
    /// The code, where it is no trap.
    ///
    /// # Errors
    ///
    /// The trap.
    pub(super) fn code(self) -> wasmtime::Result<C> {
        match self {
            Self::Code(code) => Ok(code),
            Self::Trap(trap) => Err(trap),
        }
    }
}

impl<C: From<Code>, F: Into<Failure>> From<F> for SocketError<C> {
    fn from(failure: F) -> Self {
        let code = match failure.into() {
            Failure::State => Code::InvalidState,
            Failure::Conflict => Code::ConcurrencyConflict,
            Failure::NotStarted => Code::NotInProgress,
            Failure::Argument => Code::InvalidArgument,
            Failure::Errno(errno) => errno.into(),
            Failure::Trap(trap) => return Self::Trap(trap),
        };
        Self::Code(code.into())
    }
}

impl<C: Named> Named for SocketError<C> {
    fn name(&self) -> &'static str {
        match self {
            Self::Code(code) => code.name(),
            Self::Trap(_) => "trap",
        }
    }
}

impl Code {
    /// Why a name was not found.
    pub(super) fn of_look_up(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT => Self::NameUnresolvable,
            Errno::EAGAIN | Errno::ETIMEDOUT | Errno::ENOMEM | Errno::ENFILE => {
                Self::TemporaryResolverFailure
            }
            _ => Self::PermanentResolverFailure,
        }
    }
}

/// The code for an error number of the core's.
impl From<Errno> for Code {
    fn from(errno: Errno) -> Self {
        use Errno as E;
        match errno {
            E::EACCES | E::EPERM | E::ENOTCAPABLE => Self::AccessDenied,
            E::ENOTSUP | E::ENOPROTOOPT | E::EPROTONOSUPPORT | E::EPROTOTYPE | E::ENOSYS => {
                Self::NotSupported
            }
            E::EINVAL | E::EAFNOSUPPORT | E::EDESTADDRREQ => Self::InvalidArgument,
            E::ENOMEM | E::ENOBUFS => Self::OutOfMemory,
            E::ETIMEDOUT => Self::Timeout,
            E::EALREADY => Self::ConcurrencyConflict,
            E::EAGAIN | E::EINPROGRESS | E::EINTR => Self::WouldBlock,
            E::EISCONN | E::ENOTCONN => Self::InvalidState,
            E::EMFILE | E::ENFILE => Self::NewSocketLimit,
            E::EADDRNOTAVAIL => Self::AddressNotBindable,
            E::EADDRINUSE => Self::AddressInUse,
            E::EHOSTUNREACH | E::ENETUNREACH | E::ENETDOWN => Self::RemoteUnreachable,
            E::ECONNREFUSED => Self::ConnectionRefused,
            E::EPIPE => Self::ConnectionBroken,
            E::ECONNRESET => Self::ConnectionReset,
            E::ECONNABORTED | E::ENETRESET => Self::ConnectionAborted,
            E::EMSGSIZE => Self::DatagramTooLarge,
            E::E2BIG
            | E::EBADF
            | E::EBADMSG
            | E::EBUSY
            | E::ECANCELED
            | E::ECHILD
            | E::EDEADLK
            | E::EDOM
            | E::EDQUOT
            | E::EEXIST
            | E::EFAULT
            | E::EFBIG
            | E::EIDRM
            | E::EILSEQ
            | E::EIO
            | E::EISDIR
            | E::ELOOP
            | E::EMLINK
            | E::EMULTIHOP
            | E::ENAMETOOLONG
            | E::ENODEV
            | E::ENOENT
            | E::ENOEXEC
            | E::ENOLCK
            | E::ENOLINK
            | E::ENOMSG
            | E::ENOSPC
            | E::ENOTDIR
            | E::ENOTEMPTY
            | E::ENOTRECOVERABLE
            | E::ENOTSOCK
            | E::ENOTTY
            | E::ENXIO
            | E::EOVERFLOW
            | E::EOWNERDEAD
            | E::EPROTO
            | E::ERANGE
            | E::EROFS
            | E::ESPIPE
            | E::ESRCH
            | E::ESTALE
            | E::ETXTBSY
            | E::EXDEV => {
                tracing::debug!("an error of a socket without a code of WASI: {errno}");
                Self::Unknown
            }
        }
    }
}
