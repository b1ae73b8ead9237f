//! Sockets that the guest has from its start on, for programs that can't open any.
//!
//! They are its first descriptors after the standard streams: 3 and on. A program
//! that looks for preopened directories begins at 3, too, and stops at the first
//! number that fails with `EBADF`; so these report that they are something else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::directory::absolute;
use super::paths::name_in;
use super::thread::{ACCEPT, RECEIVE};
use super::{Directory, Open, OpenFile, Process, unpoisoned};
use crate::address::{Address, UnixName};
use crate::error::Errno;
use crate::fd::{Descriptor, Rights};
use crate::file::Dir;
use crate::io::own_reactor;
use crate::policy::{Grant, Policy};
use crate::socket::held::{Binding, Made};
use crate::socket::unix::Held;
use crate::socket::{Family, Inherited, Socket};

/// The number of the first one.
const FIRST: u32 = 3;

/// The sockets that the operator passes to the guest.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    sockets: Vec<InheritedSocket>,
    /// The reactor that drives them; a thread of ours unless set.
    pub(crate) reactor: Option<Handle>,
    /// Does a guest that starts anew find them again?
    pub(crate) are_kept: bool,
    /// Are there other instances, which find them when this one has ended?
    pub(crate) outlive_instances: bool,
    /// Are they nonblocking at first? Unless set, the kind of program decides.
    ///
    pub(crate) are_nonblocking: Option<bool>,
}

/// A socket that the operator passes to the guest.
#[derive(Debug)]
struct InheritedSocket {
    name: String,
    /// Its state when it was inherited.
    inherited: Inherited,
    /// The path of its name, where this process made that for the guest.
    own_name: Option<PathBuf>,
    fd: Mutex<Option<OwnedFd>>,
    /// Where it is bound, if the service holds it: each instance has a claim to it then, as to one that
    /// a guest has made.
    held_at: Option<Binding>,
    /// The file of its name, until the guest has that, where it is to be removed.
    held: Mutex<Option<Held>>,
}

impl InheritedSockets {
    /// Adds a socket, which gets the next number.
    ///
    /// # Errors
    ///
    /// Those of [`Inherited::inspect`].
    pub(crate) fn push(&mut self, name: &str, fd: OwnedFd) -> Result<(), Errno> {
        let inherited = Inherited::inspect(fd.as_fd())?;
        self.sockets.push(InheritedSocket {
            name: name.to_owned(),
            inherited,
            own_name: None,
            fd: Mutex::new(Some(fd)),
            held_at: None,
            held: Mutex::default(),
        });
        Ok(())
    }

    /// As [`push`](Self::push), for a socket that a service is to hold.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a connection.
    pub(crate) fn push_to_hold(&mut self, fd: OwnedFd) -> Result<(), Errno> {
        if Inherited::inspect(fd.as_fd())?.is_open_to_all() { self.push("", fd) } else { Err(Errno::EINVAL) }
    }

    /// Records that the last socket is not shared: the name of a Unix listener was created
    /// for the guest too.
    ///
    /// # Errors
    ///
    /// If the host has no descriptor to inspect that name.
    pub(crate) fn own_last(&mut self) -> io::Result<()> {
        if let Some(last) = self.sockets.last_mut() {
            last.own_name = last.path()?;
            last.inherited.is_shared = false;
        }
        Ok(())
    }

    /// The listeners among them, for a service of many instances, which are to take turns at them; and
    /// whether another process may have each too.
    ///
    /// # Errors
    ///
    /// Where the host has no descriptor left.
    pub(crate) fn listeners_to_hold(
        &mut self,
        directories: &[Directory],
    ) -> Result<Vec<(Made, bool)>, Errno> {
        let mut held = Vec::new();
        for socket in self.sockets.iter_mut().filter(|socket| socket.inherited.is_listening) {
            let fd = unpoisoned(&socket.fd).as_ref().map(OwnedFd::try_clone).transpose()?;
            let local = socket.seen_from(directories).local;
            // One without a name stays as it is: nobody finds it anyway.
            if let Some(Ok(made)) = fd.map(|fd| socket.inherited.to_be_held(fd, local)) {
                socket.held_at = Some(made.binding.clone());
                held.push((made, socket.inherited.is_shared));
            }
        }
        Ok(held)
    }

    /// The sockets, for a service that holds them and whose guests have these `directories`; and
    /// whether another process may have each too.
    ///
    /// # Errors
    ///
    /// Those of [`Inherited::to_be_held`].
    pub(crate) fn into_held(self, directories: &[Directory]) -> Result<Vec<(Made, bool)>, Errno> {
        let sockets = self.sockets.into_iter().filter_map(|socket| {
            let fd = unpoisoned(&socket.fd).take()?;
            let local = socket.seen_from(directories).local;
            let made = socket.inherited.to_be_held(fd, local);
            Some(made.map(|made| (made, socket.inherited.is_shared)))
        });
        sockets.collect()
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

    /// Closes what was kept for another start, and removes the names that go with it.
    pub(super) fn let_go(&self) {
        if self.outlive_instances {
            return;
        }
        for socket in &self.sockets {
            drop(unpoisoned(&socket.fd).take());
            drop(unpoisoned(&socket.held).take());
        }
    }

    /// The descriptors of `process`, which starts.
    ///
    /// # Errors
    ///
    /// What the host reports: of the reactor, of `listen`.
    pub(super) fn descriptors(&self, process: &Arc<Process>) -> Result<Vec<Descriptor<OpenFile>>, Errno> {
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
        for (known, number) in self.sockets.iter().zip(FIRST..) {
            if process.service().removes_unix_names() {
                known.hold_name();
            }
            // Without one the guest has ended it, and does not start anew.
            let Some(fd) = known.take(self.are_kept)? else { continue };
            let held = if self.are_kept { None } else { unpoisoned(&known.held).take() };
            let inherited = known.seen_from(&process.settings().directories);
            let (socket, rights) = open(fd, inherited, held, (number, known.held_at.as_ref()), process)?;
            let is_nonblocking = self.are_nonblocking.unwrap_or(false);
            let open = OpenFile::with_nonblocking(Open::Socket(Arc::new(socket)), is_nonblocking);
            descriptors.push(Descriptor { open, rights, inheriting: Rights::SOCKET, close_on_exec: false });
        }
        Ok(descriptors)
    }
}

impl InheritedSocket {
    /// The socket itself, or a duplicate where it is kept. The guest ends the first by
    /// closing it: no connection is accepted any more.
    fn take(&self, is_kept: bool) -> Result<Option<OwnedFd>, Errno> {
        let mut fd = unpoisoned(&self.fd);
        match &*fd {
            Some(kept) if is_kept => Ok(Some(kept.try_clone()?)),
            _ => Ok(fd.take()),
        }
    }

    /// Where the name of a Unix listener lies. Other bytes than UTF-8 may be in it, which the
    /// address that a guest sees cannot hold.
    fn path(&self) -> io::Result<Option<PathBuf>> {
        match &*unpoisoned(&self.fd) {
            Some(fd) if self.inherited.is_listening && self.inherited.family == Family::Unix => {
                let listener = UnixListener::from(fd.try_clone()?);
                listener.local_addr()?.as_pathname().map(std::path::absolute).transpose()
            }
            _ => Ok(None),
        }
    }

    /// Takes hold of the file of its name, to remove that.
    fn hold_name(&self) {
        let Some(path) = &self.own_name else { return };
        let mut held = unpoisoned(&self.held);
        if held.is_none() {
            // It may have been removed already.
            *held = Held::adopt(path).ok();
        }
    }

    /// What it is, with the guest's names where the guest has some.
    fn seen_from(&self, directories: &[Directory]) -> Inherited {
        let root = |name: &String| absolute("/", name);
        let directories: Vec<(String, Arc<Dir>)> = directories
            .iter()
            .filter_map(|it| Some((root(it.preopened_as.as_ref()?), Arc::clone(&it.dir))))
            .collect();
        let seen = |address: &Address| {
            let name = address.path().and_then(|path| name_in(&directories, Path::new(path)));
            name.map_or_else(|| address.clone(), |name| UnixName::new(name).into())
        };
        let Inherited { local, peer, .. } = &self.inherited;
        Inherited { local: seen(local), peer: peer.as_ref().map(seen), ..self.inherited.clone() }
    }
}

/// Makes `fd`, which is this socket, the guest's.
fn open(
    fd: OwnedFd,
    inherited: Inherited,
    held: Option<Held>,
    (number, held_at): (u32, Option<&Binding>),
    process: &Arc<Process>,
) -> Result<(Socket, Rights), Errno> {
    let (is_listening, local) = (inherited.is_listening, inherited.local.clone());
    let socket = Socket::from_inherited(fd, inherited, process.names(), held)?;
    // The buffers of a shared one are not this guest's alone.
    if let Some(most) = process.service().max_socket_buffer().filter(|_| !socket.is_shared()) {
        socket.limit_buffers(most, true)?;
    }
    if !is_listening {
        process.service().guard(&socket, RECEIVE);
        if process.policy().lets_answer() {
            socket.let_answer();
        }
        return Ok((socket, Rights::INHERITED_DATA));
    }
    if let (Some(held_at), Some(keeper)) = (held_at, process.instance().keeper())
        && let Some(claim) = keeper.adopt(held_at)?
    {
        socket.stream()?.adopt(claim);
    }
    // The operator has decided by passing it; the policy still decides which peers are accepted.
    let mut policy = Policy::default();
    policy.allow_listen(&Grant::from(&local));
    let config = process.config(ACCEPT, number, local);
    let most = config.maximum;
    socket.stream()?.listen(most, config, &policy, None).map_err(|refusal| refusal.errno())?;
    Ok((socket, Rights::INHERITED_LISTENER))
}
