//! Why no context could be built.

use std::fmt;

use crate::error::Errno;

/// Why no context could be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Standard streams and directories do not fit the limit to descriptors, or to what the host
    /// may hold.
    TooFewDescriptors,
    /// An argument or a variable holds a NUL, which ends a string for the guest.
    NulInString(String),
    /// The host cannot listen on a preopened socket, or register it.
    Socket(Errno),
    /// An instance for [each connection](crate::ServiceBuilder::per_connection) has no other sockets
    /// from its start on.
    SocketsPerConnection,
}

impl BuildError {
    /// Why a context could not be made.
    pub(in crate::host) fn of(errno: Errno) -> Self {
        match errno {
            Errno::EMFILE => Self::TooFewDescriptors,
            other => Self::Socket(other),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewDescriptors => f.write_str(
                "the standard streams, the sockets and the directories need more descriptors, or more of \
                 the host's memory for them, than the limit allows",
            ),
            Self::NulInString(string) => write!(f, "{string:?} holds a NUL"),
            Self::Socket(errno) => write!(f, "a socket for the guest can't be used: {errno}"),
            Self::SocketsPerConnection => f.write_str(
                "an instance for each connection is given that one, and no other preopened socket",
            ),
        }
    }
}

impl std::error::Error for BuildError {}
