//! The error codes of WASI 0.3.

use super::sockets::types::ErrorCode;
use crate::abi::component::failure::Failure;
use crate::abi::component::trace::Named;
use crate::error::Errno;

/// How a call of `wasi:sockets` fails: by a code for the guest, or by a trap.
#[derive(Debug)]
pub enum SocketError {
    /// The guest's.
    Code(ErrorCode),
    /// The end of the guest.
    Trap(wasmtime::Error),
}

impl<F: Into<Failure>> From<F> for SocketError {
    fn from(failure: F) -> Self {
        Self::Code(match failure.into() {
            // There is no call in two parts any more.
            Failure::State | Failure::Conflict | Failure::NotStarted => ErrorCode::InvalidState,
            Failure::Argument => ErrorCode::InvalidArgument,
            Failure::Errno(errno) => code(errno),
            Failure::Trap(trap) => return Self::Trap(trap),
        })
    }
}

impl Named for SocketError {
    fn name(&self) -> &'static str {
        match self {
            Self::Code(code) => name(code),
            Self::Trap(_) => "trap",
        }
    }
}

/// The code for an error number of the core's.
pub(super) fn code(errno: Errno) -> ErrorCode {
    use Errno as E;
    match errno {
        E::EACCES | E::EPERM | E::ENOTCAPABLE => ErrorCode::AccessDenied,
        E::ENOTSUP | E::ENOPROTOOPT | E::EPROTONOSUPPORT | E::EPROTOTYPE | E::ENOSYS => {
            ErrorCode::NotSupported
        }
        E::EINVAL | E::EAFNOSUPPORT | E::EDESTADDRREQ => ErrorCode::InvalidArgument,
        E::ENOMEM | E::ENOBUFS => ErrorCode::OutOfMemory,
        E::ETIMEDOUT => ErrorCode::Timeout,
        E::EISCONN | E::ENOTCONN | E::EALREADY | E::EINPROGRESS => ErrorCode::InvalidState,
        E::EADDRNOTAVAIL => ErrorCode::AddressNotBindable,
        E::EADDRINUSE => ErrorCode::AddressInUse,
        E::EHOSTUNREACH | E::ENETUNREACH | E::ENETDOWN => ErrorCode::RemoteUnreachable,
        E::ECONNREFUSED => ErrorCode::ConnectionRefused,
        E::EPIPE => ErrorCode::ConnectionBroken,
        E::ECONNRESET => ErrorCode::ConnectionReset,
        E::ECONNABORTED | E::ENETRESET => ErrorCode::ConnectionAborted,
        E::EMSGSIZE => ErrorCode::DatagramTooLarge,
        E::EMFILE | E::ENFILE => ErrorCode::Other(Some("too many open sockets".to_owned())),
        E::E2BIG
        | E::EAGAIN
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
        | E::EINTR
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
            ErrorCode::Other(None)
        }
    }
}

/// WIT's name of a code.
fn name(code: &ErrorCode) -> &'static str {
    match code {
        ErrorCode::AccessDenied => "access-denied",
        ErrorCode::NotSupported => "not-supported",
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::OutOfMemory => "out-of-memory",
        ErrorCode::Timeout => "timeout",
        ErrorCode::InvalidState => "invalid-state",
        ErrorCode::AddressNotBindable => "address-not-bindable",
        ErrorCode::AddressInUse => "address-in-use",
        ErrorCode::RemoteUnreachable => "remote-unreachable",
        ErrorCode::ConnectionRefused => "connection-refused",
        ErrorCode::ConnectionBroken => "connection-broken",
        ErrorCode::ConnectionReset => "connection-reset",
        ErrorCode::ConnectionAborted => "connection-aborted",
        ErrorCode::DatagramTooLarge => "datagram-too-large",
        ErrorCode::Other(_) => "other",
    }
}
