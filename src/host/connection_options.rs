//! What an embedder chooses for instances that serve one connection each.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::process::ConnectionAs;
use crate::socket::{Inherited, Kind};

/// How many instances may live at once, unless the embedder says otherwise.
pub(super) const DEFAULT_MAX_INSTANCES: u32 = 1024;

/// Where connections come from, and what is made for each of them.
pub(super) struct ConnectionOptions {
    pub(super) listeners: Vec<GivenListener>,
    pub(super) shown_as: ConnectionAs,
    pub(super) max_instances: u32,
}

/// A listener that the embedder has made for the service.
pub(super) struct GivenListener {
    pub(super) fd: OwnedFd,
    pub(super) inherited: Inherited,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            shown_as: ConnectionAs::default(),
            max_instances: DEFAULT_MAX_INSTANCES,
        }
    }
}

impl GivenListener {
    /// Takes `fd`, which nobody else has.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it does not listen.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let wanted = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
        let inherited = Inherited::inspect(fd.as_fd())
            .map_err(|errno| wanted(&format!("{errno}: expected a listener, over TCP or AF_UNIX")))?;
        if !inherited.is_listening || inherited.kind == Kind::Datagram {
            return Err(wanted("expected a listener, over TCP or AF_UNIX"));
        }
        Ok(Self { fd, inherited: Inherited { is_shared: false, ..inherited } })
    }
}
