//! Why a call of `wasi:sockets` fails, before a version of WASI has a code for it.

use wasmtime::component::ResourceTableError;

use crate::error::{Errno, Error};

/// Why a call fails.
///
/// One error number of POSIX may mean the socket's state or an argument, which WASI tells apart. So a
/// call looks at the state and at its arguments before it asks the core, whose numbers are left then.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call is not valid in the socket's state.
    State,
    /// What was started before is not finished.
    Conflict,
    /// There is nothing to finish.
    NotStarted,
    /// An argument is of no use.
    Argument,
    /// The policy, a limit, or the operating system.
    Errno(Errno),
    /// The guest broke a rule of the interface for which it is to trap.
    Trap(wasmtime::Error),
}

impl Failure {
    /// A trap that reads `message`.
    pub(super) fn trap(message: &'static str) -> Self {
        Self::Trap(wasmtime::Error::msg(message))
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Errno(errno) => Self::Errno(errno),
            Error::Trap(trap) => Self::Trap(trap.into()),
            // No call of a component looks names up so, and none is in two phases.
            Error::LookUp(_) | Error::Wait | Error::Ended(_) | Error::Replaced => Self::Errno(Errno::EIO),
        }
    }
}

/// A handle that stands for nothing, or for something else, is the end of the guest.
impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}
