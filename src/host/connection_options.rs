//! What an embedder chooses for instances that serve one connection each.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;

use crate::process::ConnectionAs;
use crate::socket::{Inherited, Kind};

/// How many instances may live at once, unless the embedder says otherwise.
pub(super) const DEFAULT_MAX_INSTANCES: u32 = 1024;

/// A task of an executor.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has an executor of the embedder's run a task.
pub(super) type Spawn = Box<dyn Fn(Task) + Send + Sync>;

/// Where connections come from, and what is made for each of them.
pub(super) struct ConnectionOptions {
    pub(super) listeners: Vec<GivenListener>,
    pub(super) shown_as: ConnectionAs,
    pub(super) max_instances: u32,
    /// Where the instances run; on threads of the service's own unless set.
    pub(super) spawn: Option<Spawn>,
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
            spawn: None,
        }
    }
}

impl GivenListener {
    /// Takes `fd`, which others have too if it `is_shared`: the process that it came from, for instance.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it does not listen.
    pub(super) fn new(fd: OwnedFd, is_shared: bool) -> io::Result<Self> {
        let wanted = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
        let inherited = Inherited::inspect(fd.as_fd())
            .map_err(|errno| wanted(&format!("{errno}: expected a listener, over TCP or AF_UNIX")))?;
        if !inherited.is_listening || inherited.kind == Kind::Datagram {
            return Err(wanted("expected a listener, over TCP or AF_UNIX"));
        }
        Ok(Self { fd, inherited: Inherited { is_shared, ..inherited } })
    }
}
