//! The error codes of WASI 0.2.

use std::fmt;

use wasmtime_wasi_io::streams::StreamError;

use super::sockets::network::ErrorCode;
use crate::abi::component::connection::StreamEnd;
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
            Failure::State => ErrorCode::InvalidState,
            Failure::Conflict => ErrorCode::ConcurrencyConflict,
            Failure::NotStarted => ErrorCode::NotInProgress,
            Failure::Argument => ErrorCode::InvalidArgument,
            Failure::Errno(errno) => code(errno),
            Failure::Trap(trap) => return Self::Trap(trap),
        })
    }
}

impl Named for SocketError {
    fn name(&self) -> &'static str {
        match self {
            Self::Code(code) => name(*code),
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
        E::EALREADY => ErrorCode::ConcurrencyConflict,
        E::EAGAIN | E::EINPROGRESS | E::EINTR => ErrorCode::WouldBlock,
        E::EISCONN | E::ENOTCONN => ErrorCode::InvalidState,
        // "A new socket resource could not be created because of a system limit. (EMFILE, ENFILE)"
        E::EMFILE | E::ENFILE => ErrorCode::NewSocketLimit,
        E::EADDRNOTAVAIL => ErrorCode::AddressNotBindable,
        E::EADDRINUSE => ErrorCode::AddressInUse,
        E::EHOSTUNREACH | E::ENETUNREACH | E::ENETDOWN => ErrorCode::RemoteUnreachable,
        E::ECONNREFUSED => ErrorCode::ConnectionRefused,
        E::ECONNRESET => ErrorCode::ConnectionReset,
        E::ECONNABORTED | E::ENETRESET | E::EPIPE => ErrorCode::ConnectionAborted,
        E::EMSGSIZE => ErrorCode::DatagramTooLarge,
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
            ErrorCode::Unknown
        }
    }
}

/// WIT's name of a code.
fn name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unknown => "unknown",
        ErrorCode::AccessDenied => "access-denied",
        ErrorCode::NotSupported => "not-supported",
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::OutOfMemory => "out-of-memory",
        ErrorCode::Timeout => "timeout",
        ErrorCode::ConcurrencyConflict => "concurrency-conflict",
        ErrorCode::NotInProgress => "not-in-progress",
        ErrorCode::WouldBlock => "would-block",
        ErrorCode::InvalidState => "invalid-state",
        ErrorCode::NewSocketLimit => "new-socket-limit",
        ErrorCode::AddressNotBindable => "address-not-bindable",
        ErrorCode::AddressInUse => "address-in-use",
        ErrorCode::RemoteUnreachable => "remote-unreachable",
        ErrorCode::ConnectionRefused => "connection-refused",
        ErrorCode::ConnectionReset => "connection-reset",
        ErrorCode::ConnectionAborted => "connection-aborted",
        ErrorCode::DatagramTooLarge => "datagram-too-large",
        ErrorCode::NameUnresolvable => "name-unresolvable",
        ErrorCode::TemporaryResolverFailure => "temporary-resolver-failure",
        ErrorCode::PermanentResolverFailure => "permanent-resolver-failure",
    }
}

/// Why a stream of a socket has failed: what `network-error-code` finds in an error of a stream.
#[derive(Debug)]
pub(super) struct StreamFailure(pub(super) Errno);

impl fmt::Display for StreamFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for StreamFailure {}

impl From<StreamEnd> for StreamError {
    fn from(end: StreamEnd) -> Self {
        match end {
            StreamEnd::Closed => Self::Closed,
            StreamEnd::Failed(errno) => Self::LastOperationFailed(StreamFailure(errno).into()),
            // "Precondition: check-write gave permit of Ok(n) and contents has a length less than or equal to n.
            // Otherwise, this function will trap." - wasi:io/streams
            StreamEnd::NotPermitted => Self::trap("a write of more bytes than check-write has permitted"),
        }
    }
}

impl Named for StreamError {
    fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::LastOperationFailed(_) => "last-operation-failed",
            Self::Trap(_) => "trap",
        }
    }
}

/// Of calls that fail by a trap alone.
impl Named for wasmtime::Error {
    fn name(&self) -> &'static str {
        "trap"
    }
}
