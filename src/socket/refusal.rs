//! Why a call on a socket did nothing.

use super::listen::LimitExceeded;
use crate::error::Errno;
use crate::policy::Denial;

/// Why a call on a socket did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The state, the arguments or the operating system.
    Errno(Errno),
    /// The policy; the guest sees `EACCES`.
    Denied(Denial),
    /// The operator's limit to the number of connections; the guest sees `EMFILE`.
    Limited(LimitExceeded),
}

impl Refusal {
    /// The error number that the guest sees.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Errno(errno) => *errno,
            Self::Denied(_) => Errno::EACCES,
            // docs/listen.md, rule 12: as where the guest's own table is full.
            Self::Limited(_) => Errno::EMFILE,
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Refusal {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Errno(errno.into())
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}
