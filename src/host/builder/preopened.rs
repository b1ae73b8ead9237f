//! What the guest has from its start: sockets and directories.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::WasockCtxBuilder;
use super::program::SOCKET_VARIABLES;
use crate::file::{Access, Dir};
use crate::process::{Directory, MAIN, Settings};
use crate::service::{Holding, ServiceConfig, grant_inherited};
use crate::socket::held::Made;

impl WasockCtxBuilder {
    /// Has the service hold this socket, which listens or receives datagrams: a guest that binds
    /// to its very address gets it, as if an earlier instance had made it, and needs no other
    /// grant for that. So a program that knows nothing of socket activation serves those that a
    /// service manager keeps. No descriptor of the guest's stands for it before.
    ///
    /// As with [`preopened_socket`](Self::preopened_socket), another process may have the socket
    /// too: what the guest sets on it (options, the backlog) is the guest's own idea, and changes
    /// nothing. It is never closed before the service ends.
    ///
    /// The guest finds a Unix socket at its own path, in one of its
    /// [directories](Self::preopened_dir).
    ///
    /// # Errors
    ///
    /// Where it is none of those.
    pub fn adoptable_socket(mut self, socket: impl Into<OwnedFd>) -> io::Result<Self> {
        self.adoptable.push_to_hold(socket.into()).map_err(|errno| {
            let wanted = "expected a listener or a datagram socket, over TCP, UDP or AF_UNIX";
            io::Error::new(io::ErrorKind::InvalidInput, format!("{errno}: {wanted}"))
        })?;
        Ok(self)
    }

    /// Listens on `address`, and passes the listener to the guest as a descriptor: the
    /// first one is 3, the next 4. For programs that can't open sockets themselves, as
    /// those of WASI preview 1. It listens from now on, with the largest backlog
    /// allowed; the guest may accept, wait, poll and listen again, and needs no grant for that.
    ///
    /// The guest finds the number of its sockets in the variable `LISTEN_FDS`, their
    /// names in `LISTEN_FDNAMES` and its own number in `LISTEN_PID`, as
    /// "sd_listen_fds(3)" says, unless these are set already.
    ///
    /// # Errors
    ///
    /// What the host reports: the address is in use, or not this machine's.
    pub fn preopened_listener(self, name: &str, address: SocketAddr) -> io::Result<Self> {
        self.preopened_exclusive_socket(name, TcpListener::bind(address)?)
    }

    /// Passes a listener, a connection or a datagram socket of this process to the guest,
    /// as [`preopened_listener`](Self::preopened_listener) does: over TCP, UDP or
    /// `AF_UNIX`. A listener may be accepted from, waited for and polled. The others
    /// carry data, and keep the addresses that they have: the guest neither binds nor
    /// connects them. A datagram that names its destination needs a grant, as always.
    ///
    /// The socket may be shared: with a clone that you keep, with the process that it came from.
    /// Changes of its mode by its other owners do not affect the guest, and the guest affects them
    /// little: its options and its backlog are unchanged (a guest that sets one gets `ENOTCAPABLE`,
    /// a `listen` with another backlog changes nothing), and so does `O_NONBLOCK`, but for a
    /// listener that connections are accepted from. That one is nonblocking until the guest has
    /// closed it or its context is dropped, since accept has no other way not to block. If the
    /// process is killed it remains nonblocking.
    ///
    /// The guest sees the name if it lies in one of its [directories](Self::preopened_dir); otherwise
    /// it sees none. In events it is
    /// the host's path then.
    ///
    /// The guest's calls on it wait, unless [`preopened_nonblocking`](Self::preopened_nonblocking)
    /// says otherwise.
    ///
    /// Closing a listener that the guest has alone makes it deaf; where another process
    /// has it too, or the guest [starts anew](crate::OnTrap::Restart), it goes on listening.
    ///
    /// # Errors
    ///
    /// Where it is none of those.
    pub fn preopened_socket(mut self, name: &str, socket: impl Into<OwnedFd>) -> io::Result<Self> {
        self.inherited_sockets.push(name, socket.into()).map_err(|errno| {
            let wanted = "expected a listener, a connection or a datagram socket, over TCP, UDP or AF_UNIX";
            io::Error::new(io::ErrorKind::InvalidInput, format!("{errno}: {wanted}"))
        })?;
        Ok(self)
    }

    /// As [`preopened_socket`](Self::preopened_socket), for a socket that only the guest has:
    /// one that you made for it, and of which you keep no clone. The guest may set its
    /// options and its backlog, and closing it closes it. With [`unix_unlink`](Self::unix_unlink)
    /// the name of a Unix listener is removed when the guest closes it or ends; the name of one
    /// passed by `preopened_socket` is kept.
    ///
    /// # Errors
    ///
    /// As for `preopened_socket`.
    pub fn preopened_exclusive_socket(self, name: &str, socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let mut with_socket = self.preopened_socket(name, socket)?;
        with_socket.inherited_sockets.own_last()?;
        Ok(with_socket)
    }

    /// Are the guest's preopened sockets nonblocking at first, so that calls fail with `EAGAIN`
    /// instead of waiting, until the guest chooses? The mode of the host's socket is ignored.
    ///
    /// A program on Rust's standard library wants them blocking, one in Go nonblocking: so
    /// by default they are nonblocking for a [`Guest`](crate::Guest) that
    /// [Go made](crate::Guest::is_go), and blocking for every other. A module that you
    /// instantiate yourself has no sections to decide by.
    pub fn preopened_nonblocking(mut self, nonblocking: bool) -> Self {
        self.inherited_sockets.are_nonblocking = Some(nonblocking);
        self
    }

    /// As [`sockets_on`](Self::sockets_on).
    pub fn preopened_sockets_on(self, runtime: &Handle) -> Self {
        self.sockets_on(runtime)
    }

    /// Gives the guest the directory `host` under the name `guest`.
    ///
    /// # Errors
    ///
    /// Where `host` can't be opened as a directory.
    pub fn preopened_dir(mut self, host: &Path, guest: &str, access: Access) -> io::Result<Self> {
        let dir = Arc::new(Dir::open_ambient(host, access)?);
        self.settings.directories.push(Directory { dir, preopened_as: Some(guest.to_owned()) });
        Ok(self)
    }
}

/// Its other programs.
impl WasockCtxBuilder {
    /// Lets the guest execute `host`, a file or the files in a directory at any depth, under the path `guest`: modules
    /// (`proc_spawn2`, `proc_exec3` and their like) and scripts that name one (`#!`), which the guest may execute too.
    ///
    /// Nothing else is ever executed: that the guest can write or read a file in one of its
    /// [directories](Self::preopened_dir) makes no program of it. In [`Guest::run`](crate::Guest::run) alone; in a store of your own
    /// these calls are `ENOTSUP`. The programs are compiled for the engine of the guest, and have its policy and its limits.
    ///
    /// # Errors
    ///
    /// Where `host` is neither a file nor a directory that can be opened.
    pub fn exec(mut self, host: &Path, guest: &str) -> io::Result<Self> {
        self.settings.executables.grant(host, guest)?;
        Ok(self)
    }

    /// Are the guest's other processes to go on when its first one has ended? [`Guest::run`](crate::Guest::run) waits for them
    /// then. They are killed, unless this is called, and in any case where something ends the guest from outside.
    pub fn keep_orphans(mut self, keeps: bool) -> Self {
        self.service.keeps_orphans = keeps;
        self
    }
}

/// Describes the guest's sockets in its environment.
pub(super) fn describe(settings: &mut Settings) {
    let names = settings.inherited_sockets.names();
    if names.is_empty() {
        return;
    }
    let values = [names.len().to_string(), names.join(":"), MAIN.to_string()];
    for (name, value) in SOCKET_VARIABLES.into_iter().zip(values) {
        let is_set = settings
            .environment
            .iter()
            .any(|set| set.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
        if !is_set {
            settings.environment.push(format!("{name}={value}"));
        }
    }
}

/// Grants the addresses of sockets that were given to the service, and has it hold them.
pub(super) fn grant_adoptable(service: &mut ServiceConfig, adoptable: &[(Made, bool)]) {
    let policy = Arc::make_mut(&mut service.policy);
    for (made, _) in adoptable {
        grant_inherited(policy, made.binding.kind, &made.local);
    }
    if !adoptable.is_empty() && service.held == Holding::Nothing {
        service.held = Holding::Inherited;
    }
}
