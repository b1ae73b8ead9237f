//! The error codes of WASI 0.2, and how its streams fail.

use std::fmt;

use wasmtime_wasi_io::streams::StreamError;

use super::sockets::network::ErrorCode;
use crate::abi::component::code::Code;
use crate::abi::component::connection::StreamEnd;
use crate::abi::component::trace::Named;
use crate::error::Errno;

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        match code {
            Code::AccessDenied => Self::AccessDenied,
            Code::NotSupported => Self::NotSupported,
            Code::InvalidArgument => Self::InvalidArgument,
            Code::OutOfMemory => Self::OutOfMemory,
            Code::Timeout => Self::Timeout,
            Code::ConcurrencyConflict => Self::ConcurrencyConflict,
            Code::NotInProgress => Self::NotInProgress,
            Code::WouldBlock => Self::WouldBlock,
            Code::InvalidState => Self::InvalidState,
            Code::NewSocketLimit => Self::NewSocketLimit,
            Code::AddressNotBindable => Self::AddressNotBindable,
            Code::AddressInUse => Self::AddressInUse,
            Code::RemoteUnreachable => Self::RemoteUnreachable,
            Code::ConnectionRefused => Self::ConnectionRefused,
            Code::ConnectionReset => Self::ConnectionReset,
            Code::ConnectionAborted | Code::ConnectionBroken => Self::ConnectionAborted,
            Code::DatagramTooLarge => Self::DatagramTooLarge,
            Code::NameUnresolvable => Self::NameUnresolvable,
            Code::TemporaryResolverFailure => Self::TemporaryResolverFailure,
            Code::PermanentResolverFailure => Self::PermanentResolverFailure,
            Code::Unknown => Self::Unknown,
        }
    }
}

impl Named for ErrorCode {
    fn name(&self) -> &'static str {
        // What the bindings have of it.
        Self::name(self)
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
