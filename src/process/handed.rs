//! Sockets that the guest has from its start on, for programs that can't open any.
//!
//! They are its first descriptors after the standard streams: 3 and on. A program
//! that looks for preopened directories begins at 3, too, and stops at the first
//! number that answers `EBADF`; so these answer that they are something else.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::{Open, OpenFile, Report, Settings, unpoisoned};
use crate::error::Errno;
use crate::fd::{Descriptor, Rights};
use crate::policy::{Grant, Policy};
use crate::socket::{Handed, Socket, own_reactor};

/// The number of the first one.
const FIRST: u32 = 3;

/// The sockets that the operator hands to the guest.
#[derive(Debug, Default)]
pub struct HandedSockets {
    sockets: Vec<HandedSocket>,
    /// What drives them; a thread of ours where nobody chose.
    pub(crate) reactor: Option<Handle>,
    /// Does a guest that starts anew find them again?
    pub(crate) are_kept: bool,
}

/// A socket that the operator hands to the guest.
#[derive(Debug)]
struct HandedSocket {
    name: String,
    /// As it was when it was handed over: the host has changed its mode since.
    handed: Handed,
    fd: Mutex<Option<OwnedFd>>,
}

impl HandedSockets {
    /// Adds a socket, which gets the next number.
    ///
    /// # Errors
    ///
    /// Those of [`Handed::look`].
    pub(crate) fn push(&mut self, name: &str, fd: OwnedFd) -> Result<(), Errno> {
        let handed = Handed::look(fd.as_fd())?;
        self.sockets.push(HandedSocket { name: name.to_owned(), handed, fd: Mutex::new(Some(fd)) });
        Ok(())
    }

    /// Their names, in the order of their numbers.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.sockets.iter().map(|socket| socket.name.as_str()).collect()
    }

    /// Their numbers at the start.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.sockets.iter().zip(FIRST..).map(|(_, number)| number)
    }

    /// Is `fd` one of their numbers, whatever became of it?
    pub(crate) fn has_number(&self, fd: u32) -> bool {
        self.numbers().any(|number| number == fd)
    }

    /// The descriptors of a guest that starts.
    ///
    /// # Errors
    ///
    /// What the host reports: of the reactor, of `listen`.
    pub(super) fn descriptors(
        &self,
        settings: &Settings,
        report: &Arc<Report>,
    ) -> Result<Vec<Descriptor<OpenFile>>, Errno> {
        if self.sockets.is_empty() {
            return Ok(Vec::new());
        }
        // A blocking embedder may stop the runtime that it is inside.
        let reactor = match &self.reactor {
            Some(reactor) => reactor.clone(),
            None => own_reactor()?,
        };
        let _inside = reactor.enter();
        let mut descriptors = Vec::new();
        for (socket, number) in self.sockets.iter().zip(FIRST..) {
            // Without one the guest has ended it, and does not start anew.
            let Some(fd) = socket.take(self.are_kept)? else { continue };
            descriptors.push(socket.open(fd, number, settings, report)?);
        }
        Ok(descriptors)
    }
}

impl HandedSocket {
    /// The socket itself, or a duplicate where it is kept. The guest ends the first by
    /// closing it: nobody gets in any more.
    fn take(&self, is_kept: bool) -> Result<Option<OwnedFd>, Errno> {
        let mut fd = unpoisoned(&self.fd);
        match &*fd {
            Some(kept) if is_kept => Ok(Some(kept.try_clone()?)),
            _ => Ok(fd.take()),
        }
    }

    /// Makes `fd`, which is this socket, the guest's.
    fn open(
        &self,
        fd: OwnedFd,
        number: u32,
        settings: &Settings,
        report: &Arc<Report>,
    ) -> Result<Descriptor<OpenFile>, Errno> {
        let Handed { local, is_listening, is_nonblocking, .. } = self.handed;
        let socket = Socket::take_over(fd, &self.handed)?;
        if let Some(most) = settings.max_socket_buffer {
            socket.limit_buffers(most, true)?;
        }
        let mut rights = Rights::SOCKET;
        if is_listening {
            rights = Rights::HANDED_LISTENER;
            let terms = settings.terms(report, number, local.into());
            // Who hands it over has decided; the policy still says who may come in.
            let mut policy = Policy::default();
            policy.allow_listen(&Grant::from(local));
            let most = terms.maximum;
            socket.stream()?.listen(most, terms, &policy).map_err(|refusal| refusal.errno())?;
        }
        let open = OpenFile::with_nonblocking(Open::Socket(Arc::new(socket)), is_nonblocking);
        Ok(Descriptor { open, rights, inheriting: Rights::SOCKET, close_on_exec: false })
    }
}
