//! The listeners of the host's, and how connections are taken from them.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::super::connection_options::GivenListener;
use super::super::service::Service;
use super::filter::{CurrentFilter, SilentFilter};
use super::shared::Shared;
use crate::account::Account;
use crate::address::Address;
use crate::error::{Errno, Terminated};
use crate::io::sleep;
use crate::observe::Limit;
use crate::policy::{Grant, Policy};
use crate::ready;
use crate::service::HOST_LISTENER;
use crate::socket::held::{HeldSocket, Owner};
use crate::socket::listen::ListenConfig;
use crate::socket::unix::{FreeName, Held, NamedSocketFile, Paths};
use crate::socket::{Accepted, Domain, Inherited, Refusal, Socket};

/// How long a listener pauses when the host lacks what a connection needs: that can become free
/// without a notification.
const HOST_RETRY: Duration = Duration::from_millis(250);

/// One that all workers accept at.
pub(super) struct Listener {
    /// `None` once it is shut down.
    held: Mutex<Option<Arc<HeldSocket>>>,
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
        let config = state.config(&account, "sock_accept", HOST_LISTENER, inherited.local.clone(), failed);
        let name = match inherited.local.path().map(Path::new) {
            Some(path) if state.removes_unix_names() && !inherited.is_shared => Held::adopt(path).ok(),
            _ => None,
        };
        let filter = Arc::new(CurrentFilter::new(config.accept_filter));
        let config = ListenConfig { accept_filter: Arc::<CurrentFilter>::clone(&filter), ..config };
        let held = HeldSocket::new(Arc::new(given.fd.try_clone()?), None, inherited.is_shared);
        Ok(Self {
            held: Mutex::new(Some(held)),
            inherited,
            filter,
            config,
            max_buffer: state.max_socket_buffer(),
            with_queue: OnceLock::new(),
            _name: name,
        })
    }

    /// What the worker of this `number` accepts from, in whose reactor this is called. The first one, 0,
    /// reports that it listens.
    ///
    /// # Errors
    ///
    /// What the host reports; `EBADF` once it is shut down.
    pub(super) fn socket(&self, number: u32) -> Result<Arc<Socket>, Errno> {
        if let Some(known) = self.with_queue.get() {
            return Ok(Arc::clone(known));
        }
        let mut config = self.config.clone();
        if number > 0 {
            config.accept_filter = Arc::new(SilentFilter(config.accept_filter));
        }
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let has_queue = config.rules.needs_queue();
        let socket = Arc::new(self.listen(&held.ok_or(Errno::EBADF)?, number, config)?);
        if has_queue {
            self.with_queue.get_or_init(|| Arc::clone(&socket));
        }
        Ok(socket)
    }

    fn listen(&self, held: &Arc<HeldSocket>, number: u32, config: ListenConfig) -> Result<Socket, Errno> {
        let (fd, names) = (held.fd().try_clone()?, Domain::Unix(Arc::new(Box::new(NoNames))));
        let socket = Socket::from_inherited(fd, self.inherited.clone(), names, None)?;
        // The buffers of a shared one are not this host's alone.
        if let Some(most) = self.max_buffer.filter(|_| !held.is_shared()) {
            socket.limit_buffers(most, true)?;
        }
        let stream = socket.stream()?;
        if !config.accept_filter.rates().is_unlimited() {
            // What is held back is held, and by one turnstile for all workers.
            let owner = Owner { instance: number.into(), generation: 0, worker: number };
            stream.adopt(held.claim(owner, None, (true, false))?);
        }
        // The operator has decided by making it; the policy still decides which peers are accepted.
        let mut policy = Policy::default();
        policy.allow_listen(&Grant::from(&self.inherited.local));
        let most = config.maximum;
        stream.listen(most, config, &policy, None).map_err(|refusal| refusal.errno())?;
        Ok(socket)
    }

    /// What decides about its connections, and counts them.
    pub(super) fn filter(&self) -> &Arc<CurrentFilter> {
        &self.filter
    }

    /// Where it is.
    pub(super) fn local(&self) -> &Address {
        &self.inherited.local
    }

    /// Ends it: those that wait are reset, and who comes later is refused. Tells how many waited. One that
    /// others have too goes on, and whoever waits is theirs.
    pub(super) fn shut_down(&self) -> usize {
        let mut waited = 0;
        if let Some(socket) = self.with_queue.get() {
            let queue = socket.stream().ok().and_then(|stream| stream.queue());
            waited += queue.map_or(0, |queue| queue.close());
            socket.close();
        }
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        waited + held.map_or(0, |held| held.shut_down())
    }

    /// The next connection; `None` once it is shut down.
    ///
    /// `has_waited` says that the limit to instances has kept the caller from accepting.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost when the future is dropped.
    pub(super) async fn accept(
        &self,
        shared: &Shared,
        socket: &Socket,
        has_waited: bool,
    ) -> Option<Accepted> {
        let accepted = accept(shared, socket, &self.filter, has_waited).await?;
        if let Some(most) = self.max_buffer.filter(|_| self.inherited.is_shared) {
            // One that is gone already is an instance's all the same.
            let _gone = accepted.socket.limit_buffers(most, true);
        }
        Some(accepted)
    }
}

/// The next connection of `listener`; `None` once that is closed.
async fn accept(
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
pub(super) struct NoNames;

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
