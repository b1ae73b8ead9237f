//! The listeners of the host's, and how connections are taken from them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rustix::net::Shutdown;

use super::super::connection_options::GivenListener;
use super::super::service::Service;
use super::filter::{CurrentFilter, SilentFilter};
use super::shared::Shared;
use crate::account::Account;
use crate::error::{Errno, Terminated};
use crate::io::sleep;
use crate::observe::Limit;
use crate::policy::{Grant, Policy};
use crate::ready;
use crate::service::HOST_LISTENER;
use crate::socket::listen::ListenConfig;
use crate::socket::unix::{FreeName, Held, NamedSocketFile, Paths};
use crate::socket::{Accepted, Domain, Inherited, Refusal, Socket};

/// How long a listener pauses when the host lacks what a connection needs: that can become free
/// without a notification.
const HOST_RETRY: Duration = Duration::from_millis(250);

/// One that all workers accept at.
pub(super) struct Listener {
    fd: Mutex<Option<OwnedFd>>,
    inherited: Inherited,
    filter: Arc<CurrentFilter>,
    config: ListenConfig,
    max_buffer: Option<u32>,
    /// Where the queue is the host's own, all workers take from it by this.
    with_queue: OnceLock<Arc<Socket>>,
    /// The file of its name, where that goes with it.
    _name: Option<Held>,
}

impl Listener {
    /// # Errors
    ///
    /// Where the host has no descriptor left, or its name is gone.
    pub(super) fn open(given: &GivenListener, service: &Service) -> Result<Self, Errno> {
        let (state, inherited) = (service.inner(), given.inherited.clone());
        // What waits in a queue of the host's is no instance's yet.
        let account = Account::new(Limit::HostMemory, state.limits().max_host_memory);
        let supervised = service.clone();
        let failed = Arc::new(move |what| {
            tracing::error!("{}", Terminated::HostPanic(what));
            supervised.terminate();
        });
        let config = state.config(&account, HOST_LISTENER, inherited.local.clone(), failed);
        let name = match inherited.local.path().map(Path::new) {
            Some(path) if state.removes_unix_names() => Held::adopt(path).ok(),
            _ => None,
        };
        let filter = Arc::new(CurrentFilter::new(config.accept_filter));
        let config = ListenConfig { accept_filter: Arc::<CurrentFilter>::clone(&filter), ..config };
        Ok(Self {
            fd: Mutex::new(Some(given.fd.try_clone()?)),
            inherited,
            filter,
            config,
            max_buffer: state.max_socket_buffer(),
            with_queue: OnceLock::new(),
            _name: name,
        })
    }

    /// What one worker accepts from, in whose reactor this is called. The first one reports that it
    /// listens.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn socket(&self, is_first: bool) -> Result<Arc<Socket>, Errno> {
        if let Some(known) = self.with_queue.get() {
            return Ok(Arc::clone(known));
        }
        let mut config = self.config.clone();
        if !is_first {
            config.accept_filter = Arc::new(SilentFilter(config.accept_filter));
        }
        let fd = {
            let fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner);
            fd.as_ref().ok_or(Errno::EBADF)?.try_clone()?
        };
        let has_queue = config.rules.needs_queue();
        let socket = Arc::new(self.listen(fd, config)?);
        if has_queue {
            self.with_queue.get_or_init(|| Arc::clone(&socket));
        }
        Ok(socket)
    }

    fn listen(&self, fd: OwnedFd, config: ListenConfig) -> Result<Socket, Errno> {
        let socket =
            Socket::from_inherited(fd, self.inherited.clone(), Domain::Unix(Arc::new(NoNames)), None)?;
        if let Some(most) = self.max_buffer {
            socket.limit_buffers(most, true)?;
        }
        // The operator has decided by making it; the policy still decides which peers are accepted.
        let mut policy = Policy::default();
        policy.allow_listen(&Grant::from(&self.inherited.local));
        let most = config.maximum;
        socket.stream()?.listen(most, config, &policy, None).map_err(|refusal| refusal.errno())?;
        Ok(socket)
    }

    /// What decides about its connections, and counts them.
    pub(super) fn filter(&self) -> &Arc<CurrentFilter> {
        &self.filter
    }

    /// Ends it: those that wait are reset, and who comes later is refused.
    pub(super) fn shut_down(&self) {
        let fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(fd) = fd {
            // One that can't be ended so ends with its last descriptor.
            let _closed = rustix::net::shutdown(&fd, Shutdown::Both);
        }
        if let Some(socket) = self.with_queue.get() {
            socket.close();
        }
    }
}

/// The next connection of `listener`; `None` once that is closed.
///
/// `has_waited` says that the limit to instances has kept the caller from accepting.
pub(super) async fn accept(
    shared: &Shared,
    listener: &Socket,
    filter: &CurrentFilter,
    has_waited: bool,
) -> Option<Accepted> {
    if has_waited && let Poll::Ready(Ok(accepted)) = ready::try_accept(listener) {
        // It has waited in its queue.
        filter.has_waited(shared.limit());
        return Some(accepted);
    }
    let mut is_full = false;
    loop {
        let ended = shared.ended.notified();
        let next = match is_full.then(|| ready::try_accept(listener)) {
            Some(Poll::Ready(next)) => next,
            none => {
                if none.is_some() {
                    filter.nobody_waits();
                }
                ready::accept(listener, true, false).await
            }
        };
        is_full = matches!(next, Err(Refusal::Limited(_)));
        match next {
            Ok(accepted) => return Some(accepted),
            Err(Refusal::Errno(Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK)) => return None,
            // A limit to connections, until one is over; ENFILE, and what else the host may lack for a
            // while.
            Err(_) => tokio::select! {
                () = ended => {}
                () = sleep(HOST_RETRY) => {}
            },
        }
    }
}

/// A listener of the host's is no guest's: its names mean nothing to one.
struct NoNames;

impl Paths for NoNames {
    fn whole(&self, _: &str) -> Result<String, Errno> {
        Err(Errno::EBADF)
    }

    fn place(&self, _: &str) -> Result<FreeName, Errno> {
        Err(Errno::ENOENT)
    }

    fn found(&self, _: &str) -> Result<NamedSocketFile, Errno> {
        Err(Errno::ENOENT)
    }

    fn name_of(&self, _: &Path) -> Option<String> {
        None
    }

    fn removes_names(&self) -> bool {
        false
    }
}
