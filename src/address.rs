//! The address of a socket: of a network, or a name in the file system.
//!
//! Modules exchange addresses in this form, and [events](crate::Event) carry it.
//! A name is a path as the guest sees it. Only an inherited socket has a path
//! of the host, if no directory of the guest contains it; the guest itself sees no name then.
//!
//! Key types: [`Address`], [`UnixName`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::observe::Escaped;

/// The address of a socket. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6, with a port.
    Inet(SocketAddr),
    /// `AF_UNIX`.
    Unix(UnixName),
}

/// The name of an `AF_UNIX` socket: a path as the guest has it, or none.
///
/// Two are equal where they are the same whole path.
#[derive(Clone, Default)]
pub struct UnixName {
    given: Option<Arc<str>>,
    whole: Option<Arc<str>>,
}

impl Address {
    /// The port, where it has one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }

    /// The network address, where it is one.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The name in the file system, where it has one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Inet(_) => None,
            Self::Unix(name) => name.path(),
        }
    }
}

impl UnixName {
    /// The name of a socket without one: of a client that did not bind, or one of a pair.
    pub fn unnamed() -> Self {
        Self::default()
    }

    /// A name by its whole path.
    pub(crate) fn new(path: impl Into<Arc<str>>) -> Self {
        let path = path.into();
        Self { given: Some(Arc::clone(&path)), whole: Some(path) }
    }

    /// A name of the host's, of which the guest knows nothing: to the guest the socket has
    /// none. The operator reads it in events.
    pub(crate) fn outside(path: &str) -> Self {
        Self { given: None, whole: Some(path.into()) }
    }

    /// The same name, known by its whole path too.
    pub(crate) fn at(self, whole: impl Into<Arc<str>>) -> Self {
        Self { given: self.given, whole: Some(whole.into()) }
    }

    /// The whole path, from the guest's root on; `None` where it has no name. The host's
    /// own path for an inherited socket whose name the guest cannot see
    ///  ([`given`](Self::given) is `None` then).
    pub fn path(&self) -> Option<&str> {
        self.whole.as_deref()
    }

    /// The path as the guest wrote it, perhaps seen from its working directory; `None`
    /// where the guest knows none.
    pub fn given(&self) -> Option<&str> {
        self.given.as_deref()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<UnixName> for Address {
    fn from(name: UnixName) -> Self {
        Self::Unix(name)
    }
}

/// A path is written as `unix:/run/app.sock`, so that it can be pasted after `--listen`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            // A guest chooses the name; what reaches a terminal is printable.
            Some(path) => write!(f, "unix:{}", Escaped(path)),
            None => f.write_str("unix:unnamed"),
        }
    }
}

impl fmt::Debug for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for UnixName {
    fn eq(&self, other: &Self) -> bool {
        self.whole == other.whole
    }
}

impl Eq for UnixName {}

impl Hash for UnixName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whole.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_a_grant_is() -> Result<(), std::net::AddrParseError> {
        assert_eq!(Address::Inet("[::1]:80".parse()?).to_string(), "[::1]:80");
        let named = Address::Unix(UnixName::new("app.sock").at("/run/app.sock"));
        assert_eq!(named.to_string(), "unix:/run/app.sock");
        assert_eq!(Address::Unix(UnixName::unnamed()).to_string(), "unix:unnamed");
        assert_eq!(UnixName::new("/a\x1b[2J").to_string(), "unix:/a\\u{1b}[2J");
        Ok(())
    }

    #[test]
    fn is_the_same_wherever_it_was_seen_from() {
        assert_eq!(UnixName::new("a").at("/run/a"), UnixName::new("/run/a"));
        assert_ne!(UnixName::new("/run/a"), UnixName::new("/run/b"));
        assert_ne!(UnixName::unnamed(), UnixName::new("/"));
    }
}
