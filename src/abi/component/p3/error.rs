//! The error codes of WASI 0.3.

use super::sockets::types::ErrorCode;
use crate::abi::component::code::Code;
use crate::abi::component::trace::Named;

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        match code {
            Code::AccessDenied => Self::AccessDenied,
            Code::NotSupported => Self::NotSupported,
            Code::InvalidArgument => Self::InvalidArgument,
            Code::OutOfMemory => Self::OutOfMemory,
            Code::Timeout => Self::Timeout,
            // There is no call in two parts any more.
            Code::InvalidState | Code::ConcurrencyConflict | Code::NotInProgress => Self::InvalidState,
            Code::AddressNotBindable => Self::AddressNotBindable,
            Code::AddressInUse => Self::AddressInUse,
            Code::RemoteUnreachable => Self::RemoteUnreachable,
            Code::ConnectionRefused => Self::ConnectionRefused,
            Code::ConnectionBroken => Self::ConnectionBroken,
            Code::ConnectionReset => Self::ConnectionReset,
            Code::ConnectionAborted => Self::ConnectionAborted,
            Code::DatagramTooLarge => Self::DatagramTooLarge,
            Code::NewSocketLimit => Self::Other(Some("too many open sockets".to_owned())),
            // What waits is a stream or a future, and names have codes of their own.
            Code::WouldBlock
            | Code::NameUnresolvable
            | Code::TemporaryResolverFailure
            | Code::PermanentResolverFailure
            | Code::Unknown => Self::Other(None),
        }
    }
}

impl Named for ErrorCode {
    fn name(&self) -> &'static str {
        match self {
            Self::AccessDenied => "access-denied",
            Self::NotSupported => "not-supported",
            Self::InvalidArgument => "invalid-argument",
            Self::OutOfMemory => "out-of-memory",
            Self::Timeout => "timeout",
            Self::InvalidState => "invalid-state",
            Self::AddressNotBindable => "address-not-bindable",
            Self::AddressInUse => "address-in-use",
            Self::RemoteUnreachable => "remote-unreachable",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionBroken => "connection-broken",
            Self::ConnectionReset => "connection-reset",
            Self::ConnectionAborted => "connection-aborted",
            Self::DatagramTooLarge => "datagram-too-large",
            Self::Other(_) => "other",
        }
    }
}
