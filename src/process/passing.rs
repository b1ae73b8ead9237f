//! Descriptors in messages: a guest passes what it has open to another instance of its service, or
//! to itself, over a Unix socket.
//!
//! What arrives is the same open file, as with `dup`: its position, its flags, its socket. It may do
//! what the sender's descriptor might, and the policy is asked at every use as ever. Only instances
//! with the same grants exchange: see [`InFlight`](crate::service::InFlight). So nothing comes from
//! outside, nor from another service of this process.
//!
//! What the host holds for an open file stays charged to the instance that opened it; who receives
//! it has a place in its descriptor table for it.

use std::io::IoSlice;
use std::os::fd::AsFd as _;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Weak};

use super::sockets::end;
use super::{Open, OpenFile, Process, Thread};
use crate::account::{Charge, allocated, sized};
use crate::error::{Errno, Error};
use crate::fd::{Counted as _, Descriptor};
use crate::observe::Closed;
use crate::policy::Denial;
use crate::ready;
use crate::service::Token;
use crate::socket::{Ancillary, Family, Kind, Received, RecvFlags, Socket};

/// What the host and its kernel hold for a message: a pipe with both of its ends, and who waits for
/// their end.
const MESSAGE: u64 = 4 * 1024;

/// The descriptors of one message, on their way. Dropped, they are closed.
pub(crate) struct Passed {
    /// Each with the number that it had.
    descriptors: Vec<(u32, Descriptor<OpenFile>)>,
    from: Weak<Process>,
    /// How many the sender has on their way.
    in_flight: Arc<AtomicU32>,
    weight: u32,
    _charge: Charge,
}

/// A message that is to be sent.
pub(crate) struct Passing {
    token: Token,
    /// How many descriptors there are.
    pub(crate) count: u32,
}

/// The descriptors that have come with a message.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    /// Their numbers here.
    pub(crate) fds: Vec<u32>,
    /// How many there were, as far as that is known.
    pub(crate) of: usize,
    /// Are some missing: there was no room, or they are from elsewhere?
    pub(crate) is_cut: bool,
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(self.weight, SeqCst);
        let from = self.from.upgrade();
        for (fd, descriptor) in self.descriptors.drain(..) {
            match &from {
                Some(from) if from.has_ended() => from.close(fd, descriptor, Closed::Ended),
                Some(from) => from.close(fd, descriptor, Closed::ByGuest),
                None if descriptor.open.lose_descriptor() => drop(end(descriptor.open)),
                None => {}
            }
        }
    }
}

impl Process {
    /// May another instance have some of its open files too, or have had them?
    pub(super) fn shares_files(&self) -> bool {
        self.shares_files.load(Relaxed)
    }

    /// Can `fds` be passed?
    ///
    /// # Errors
    ///
    /// `EBADF` where one is not open; `EINVAL` for an epoll, which is its guest's alone.
    fn check_passable(&self, fds: &[u32]) -> Result<(), Errno> {
        let table = self.fds();
        for fd in fds {
            // As Linux answers for what it does not pass, the rings of io_uring.
            if let Open::Epoll(_) = table.get(*fd)?.open.open {
                return Err(Errno::EINVAL);
            }
        }
        Ok(())
    }

    /// Puts the descriptors `fds` in a message. What they stand for stays open as long as it.
    ///
    /// # Errors
    ///
    /// `EBADF` where one is not open any more; `EMFILE` for more on their way than the guest may have
    /// open, each message counting as one too; `ENOMEM` where the host holds too much for the guest.
    fn pass(self: &Arc<Self>, fds: &[u32]) -> Result<Passed, Errno> {
        let count = u32::try_from(fds.len()).map_err(|_| Errno::EINVAL)?;
        let weight = count.saturating_add(1);
        let bytes = MESSAGE + allocated::<Passed>() + sized::<(u32, Descriptor<OpenFile>)>(count.into());
        let charge = self.host_memory.charge(bytes)?;
        let most = self.service().limits().max_fds;
        let more = |on_their_way: u32| on_their_way.checked_add(weight).filter(|sum| *sum <= most);
        // "ETOOMANYREFS: ... the number of "in-flight" file descriptors exceeds the RLIMIT_NOFILE
        // resource limit" - unix(7). WASI has no such number.
        self.in_flight.fetch_update(SeqCst, SeqCst, more).map_err(|_| {
            self.descriptors.deny();
            Errno::EMFILE
        })?;
        let mut passed = Passed {
            descriptors: Vec::with_capacity(fds.len()),
            from: Arc::downgrade(self),
            in_flight: Arc::clone(&self.in_flight),
            weight,
            _charge: charge,
        };
        // Free again before what was passed is dropped, which closes it.
        let table = self.fds();
        for fd in fds {
            let descriptor = table.get(*fd)?.clone();
            descriptor.open.note_descriptor();
            passed.descriptors.push((*fd, descriptor));
        }
        drop(table);
        Ok(passed)
    }
}

impl Thread {
    /// Puts the descriptors `fds` in a message for the other end of `socket`; `has_address` says
    /// that it is to go elsewhere.
    ///
    /// # Errors
    ///
    /// `EBADF` where one of them is not open; `EINVAL` for an epoll; `ENOTSUP` where messages carry
    /// none: over a network, and to an address; `ENOTCONN` and `EDESTADDRREQ` without another end;
    /// `EPERM` where that is not known to be of this service; `EMFILE` and `ENOMEM` for too many;
    /// `ENFILE` where the host has no descriptors for it.
    pub(crate) fn pass(&self, socket: &Socket, fds: &[u32], has_address: bool) -> Result<Passing, Error> {
        let process = self.process();
        process.check_passable(fds)?;
        // "EOPNOTSUPP": Linux passes over it in silence, and a program would lose what it sends.
        if socket.family() != Family::Unix || (has_address && socket.kind() == Kind::Datagram) {
            return Err(Errno::ENOTSUP.into());
        }
        match socket {
            Socket::Stream(stream) => drop(stream.connected()?),
            Socket::Datagram(datagram) => {
                // "EDESTADDRREQ: The socket is not connection-mode and no peer address is set."
                // - send(3p)
                datagram.peer_address().map_err(|_| Errno::EDESTADDRREQ)?;
            }
        }
        if !socket.is_within_process() {
            process.report().report_denial("sock_send_msg", Denial::of_passing());
            return Err(Errno::EPERM.into());
        }
        let count = u32::try_from(fds.len()).map_err(|_| Errno::EINVAL)?;
        let passed = Arc::new(process.pass(fds)?);
        process.shares_files.store(true, Relaxed);
        let sender = process.instance().number();
        let token = process.service().in_flight().token(passed, fds.len(), sender)?;
        Ok(Passing { token, count })
    }

    /// Sends what finds room of `data`, with the descriptors of `passing`.
    ///
    /// # Cancel safety
    ///
    /// It is sent or it is not, and then the descriptors are not either.
    ///
    /// # Errors
    ///
    /// `EBADF` where another thread closes the last descriptor meanwhile, and those of
    /// [`ready::send_with_token`]. With `EPIPE` comes a `SIGPIPE`, where the guest handles it.
    pub(crate) async fn send_with(
        &self,
        open: &OpenFile,
        data: &[IoSlice<'_>],
        dont_wait: bool,
        passing: Passing,
    ) -> Result<usize, Error> {
        let socket = open.open.socket()?;
        let waits = !open.is_nonblocking() && !dont_wait;
        let send = async {
            Ok::<_, Error>(ready::send_with_token(socket, waits, data, passing.token.as_fd()).await?)
        };
        let sent = if self.threads.are_many() { open.unless_closed(send).await } else { send.await };
        if matches!(sent, Err(Error::Errno(Errno::EPIPE))) {
            self.signal_broken_pipe(open);
        }
        let sent = sent?;
        // "At least one byte of real data should be sent when sending ancillary data" - unix(7): a
        // stream carries none without.
        if sent > 0 || socket.keeps_boundaries() {
            passing.token.sent();
        }
        Ok(self.note_sent(sent))
    }

    /// Receives from a Unix socket into `buffer`, with what comes beside the data.
    ///
    /// # Cancel safety
    ///
    /// As for [`ready::recv_with_ancillary`].
    ///
    /// # Errors
    ///
    /// `EBADF` where another thread closes the last descriptor meanwhile, and those of
    /// [`ready::recv_with_ancillary`].
    pub(crate) async fn receive_with(
        &self,
        open: &OpenFile,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(Received, Ancillary), Error> {
        let receive = async {
            let (socket, waits) = (open.open.socket()?, !open.is_nonblocking());
            let found = ready::recv_with_ancillary(socket, waits, buffer, flags).await?;
            if !flags.peek {
                self.note_received(found.0.count);
            }
            Ok::<_, Error>(found)
        };
        if self.threads.are_many() { open.unless_closed(receive).await } else { receive.await }
    }

    /// Opens what came with a message over `socket`, `room` descriptors at most; the rest is closed. A
    /// message that was only looked at will come again.
    pub(crate) fn install(
        &self,
        socket: &Socket,
        ancillary: Ancillary,
        room: usize,
        peek: bool,
    ) -> Installed {
        let mut installed = Installed { is_cut: ancillary.is_cut, ..Installed::default() };
        let Some(token) = ancillary.token else { return installed };
        let in_flight = self.process().service().in_flight();
        let load = if socket.is_within_process() { in_flight.received(token.as_fd(), peek) } else { None };
        let Some(passed) = load.as_ref().and_then(|load| load.downcast_ref::<Passed>()) else {
            // From outside, or of another service.
            return Installed { is_cut: true, ..installed };
        };
        installed.of = passed.descriptors.len();
        self.process().shares_files.store(true, Relaxed);
        for (_, descriptor) in passed.descriptors.iter().take(room) {
            let Descriptor { open, rights, inheriting, .. } = descriptor.clone();
            self.process().take_over(&open);
            match self.insert(open, rights, inheriting) {
                Ok(fd) => installed.fds.push(fd),
                Err(_) => break,
            }
        }
        installed.is_cut |= installed.fds.len() < installed.of;
        installed
    }
}
