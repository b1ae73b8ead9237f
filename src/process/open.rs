//! What stands behind a descriptor.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, fence};
use std::sync::{Arc, OnceLock};
use std::task::Context;

use tokio::sync::Notify;

use super::device::Device;
use super::{Input, Output};
use crate::account::{Account, Charge, allocated};
use crate::error::Errno;
use crate::fd::{Counted, Rights};
use crate::file::{Dir, File};
use crate::io::{Events, KernelFd, OnReport, Pollable};
use crate::ready::{Epoll, EventFd, PipeEnd};
use crate::socket::Socket;

/// An open thing. Duplicates of a descriptor share it, the nonblocking flag
/// included.
///
/// "The status flags ... are shared" - dup(3p), open file description. The
/// reference WASIX host keeps the flag per descriptor.
#[derive(Debug)]
pub struct OpenFile {
    /// The thing itself.
    pub open: Open,
    nonblocking: AtomicBool,
    /// How many descriptors stand for it. A call has hold of it longer.
    descriptors: AtomicU32,
    is_closed: AtomicBool,
    /// Tells of the end; made by the first that waits for it.
    closing: OnceLock<Box<Notify>>,
    /// Where what the host holds for it is charged, once it has had a descriptor.
    held: OnceLock<Arc<Account>>,
}

/// What the kernel keeps for a file that is open: the file itself, and its entry in the cache
/// of names.
const KERNEL_FILE: u64 = 1024;

/// What the kernel keeps for a socket, without what waits in its buffers: of Linux's, those of
/// TCP are the largest, with some 2.5 KiB, and each is a file as well.
const KERNEL_SOCKET: u64 = 3 * 1024 + KERNEL_FILE;

/// What the parts of a socket take that are apart from it: its state, its names, its registration with a
/// reactor and with the delivery of events.
const SOCKET_PARTS: u64 = 2 * 1024;

/// All of that for one socket.
const SOCKET: u64 = allocated::<Socket>() + SOCKET_PARTS + KERNEL_SOCKET;

/// The lists of an event descriptor, and of one end of a pipe.
const LISTS: u64 = 256;

/// The kinds of open things. What is larger than a pointer is apart, for most are sockets.
#[derive(Debug)]
pub enum Open {
    /// A socket.
    Socket(Arc<Socket>),
    /// A regular file.
    File(Arc<File>),
    /// A directory.
    Directory(Box<Directory>),
    /// Standard input.
    Input(Arc<Input>),
    /// Standard output, or standard error.
    Output(Arc<Output>),
    /// An end of a pipe.
    Pipe(Box<PipeEnd>),
    /// An event descriptor.
    Event(Box<EventFd>),
    /// An epoll.
    Epoll(Arc<Epoll>),
    /// A built-in device.
    Device(Box<Device>),
    /// The directory of the built-in devices.
    Devices {
        /// Has the guest it from its start on?
        is_preopened: bool,
    },
}

/// An open directory.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The directory.
    pub dir: Arc<Dir>,
    /// The name that a preopened directory has for the guest; `None` for one that
    /// the guest opened.
    pub preopened_as: Option<String>,
}

impl OpenFile {
    /// A blocking open thing, ready to be shared.
    pub fn shared(open: Open) -> Arc<Self> {
        Self::with_nonblocking(open, false)
    }

    /// An open thing with its flag set, ready to be shared.
    pub fn with_nonblocking(open: Open, nonblocking: bool) -> Arc<Self> {
        Arc::new(Self {
            open,
            nonblocking: AtomicBool::new(nonblocking),
            descriptors: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
            closing: OnceLock::new(),
            held: OnceLock::new(),
        })
    }

    /// How many bytes the host holds for it, from its beginning to its end.
    fn bytes(&self) -> u64 {
        allocated::<Self>() + self.open.bytes_behind()
    }

    /// Is it a directory that the guest has from its start on?
    pub(crate) fn is_preopened(&self) -> bool {
        match &self.open {
            Open::Directory(directory) => directory.preopened_as.is_some(),
            Open::Devices { is_preopened } => *is_preopened,
            _ => false,
        }
    }

    /// Records that one descriptor less stands for it; returns whether that was the last.
    ///
    pub(super) fn lose_descriptor(&self) -> bool {
        self.descriptors.fetch_sub(1, SeqCst) == 1
    }

    /// Ends it for the calls that hold it: those that wait fail with `EBADF`.
    pub(super) fn close(&self) {
        self.is_closed.store(true, SeqCst);
        match &self.open {
            Open::Socket(socket) => socket.close(),
            Open::Epoll(epoll) => epoll.close(),
            _ => {}
        }
        // One that makes it after this look is sure to see that it is closed.
        fence(SeqCst);
        if let Some(closing) = self.closing.get() {
            closing.notify_waiters();
        }
    }

    /// Has its last descriptor been closed?
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    /// Waits until its last descriptor is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn closed(&self) {
        // Notifications from here on are received.
        let closing = self.closing.get_or_init(Box::default).notified();
        fence(SeqCst);
        if !self.is_closed() {
            closing.await;
        }
    }

    /// Sees `call` to its end, unless another thread closes the last descriptor.
    ///
    /// # Cancel safety
    ///
    /// As safe as `call`.
    ///
    /// # Errors
    ///
    /// Those of `call`; `EBADF` where it waits and the last descriptor is closed.
    pub(crate) async fn unless_closed<T, E: From<Errno>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            biased;
            done = call => done,
            // "EBADF: The fildes argument is not a valid file descriptor" - read(3p)
            () = self.closed() => Err(Errno::EBADF.into()),
        }
    }

    /// Do calls on it fail with `EAGAIN` instead of waiting?
    pub fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Relaxed)
    }

    /// Chooses whether calls on it wait.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Relaxed);
    }
}

impl Counted for OpenFile {
    const USUAL_BYTES: u64 = allocated::<Self>() + SOCKET;

    fn note_descriptor(&self) {
        self.descriptors.fetch_add(1, SeqCst);
    }

    fn charge(&self, account: &Arc<Account>, reserved: Option<Charge>) -> Result<(), Errno> {
        if self.held.get().is_some() {
            return Ok(());
        }
        let mut held = reserved.unwrap_or_else(|| Charge::none(account));
        held.resize(self.bytes())?;
        // The lock of the table is held: no other thread does the same.
        _ = self.held.set(held.leave());
        Ok(())
    }
}

impl Drop for OpenFile {
    /// The last descriptor is closed. A call of another thread may have hold of the
    /// socket still.
    fn drop(&mut self) {
        match &self.open {
            Open::Socket(socket) if Arc::strong_count(socket) > 1 => socket.close(),
            Open::Epoll(epoll) => epoll.close(),
            _ => {}
        }
        if let Some(account) = self.held.take() {
            drop(Charge::left_on(account, self.bytes()));
        }
    }
}

impl Open {
    /// How many bytes the host holds behind it, the kernel's part included as far as that is
    /// known.
    fn bytes_behind(&self) -> u64 {
        match self {
            Self::Socket(_) => SOCKET,
            Self::File(_) => allocated::<File>() + KERNEL_FILE,
            Self::Directory(_) => allocated::<Dir>() + KERNEL_FILE,
            // They are the process's, however many descriptors there are, or nothing at all.
            Self::Input(_) | Self::Output(_) | Self::Device(_) | Self::Devices { .. } => 0,
            // Both are parts of one pipe; what waits in it is the reader's.
            Self::Pipe(end) => end.capacity().saturating_add(LISTS),
            Self::Event(_) => LISTS,
            // Its own descriptor in the kernel, and that of its timer.
            Self::Epoll(_) => allocated::<Epoll>() + 2 * KERNEL_FILE,
        }
    }

    /// # Errors
    ///
    /// `ENOTSOCK` for everything else.
    pub fn socket(&self) -> Result<&Arc<Socket>, Errno> {
        match self {
            Self::Socket(socket) => Ok(socket),
            // "ENOTSOCK: The socket argument does not refer to a socket." - listen(3p)
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// # Errors
    ///
    /// `EINVAL` for everything else.
    pub fn epoll(&self) -> Result<&Arc<Epoll>, Errno> {
        match self {
            Self::Epoll(epoll) => Ok(epoll),
            // "EINVAL: epfd is not an epoll file descriptor" - epoll_ctl(2), epoll_wait(2)
            _ => Err(Errno::EINVAL),
        }
    }

    /// # Errors
    ///
    /// `EISDIR` for a directory, `ESPIPE` for what has no position.
    pub fn file(&self) -> Result<&Arc<File>, Errno> {
        match self {
            Self::File(file) => Ok(file),
            Self::Directory(_) | Self::Devices { .. } => Err(Errno::EISDIR),
            // "ESPIPE: The fildes argument is associated with a pipe, FIFO, or socket."
            // - lseek(3p)
            _ => Err(Errno::ESPIPE),
        }
    }

    /// Checks that something of a file system is open for what a call with these rights does.
    ///
    /// # Errors
    ///
    /// `EBADF` for what was opened for the other direction alone; `EISDIR` for reading a
    /// directory.
    pub fn check_direction(&self, rights: Rights) -> Result<(), Errno> {
        match self {
            // "EBADF: The fildes argument is not a valid file descriptor open for reading."
            // - read(3p); likewise write(3p)
            Self::File(file)
                if rights.contains(Rights::FD_READ) && !file.can_read()
                    || rights.contains(Rights::FD_WRITE) && !file.can_write() =>
            {
                Err(Errno::EBADF)
            }
            Self::Device(device)
                if rights.contains(Rights::FD_READ) && !device.can_read()
                    || rights.contains(Rights::FD_WRITE) && !device.can_write() =>
            {
                Err(Errno::EBADF)
            }
            // "EISDIR: The fildes argument refers to a directory" - read(3p). Nothing opens one for
            // writing.
            Self::Directory(_) | Self::Devices { .. } if rights.contains(Rights::FD_READ) => {
                Err(Errno::EISDIR)
            }
            Self::Directory(_) | Self::Devices { .. } if rights.contains(Rights::FD_WRITE) => {
                Err(Errno::EBADF)
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    ///
    /// `EROFS` for the directory of the devices, which nothing changes; `ENOTDIR` for
    /// everything else.
    pub fn directory(&self) -> Result<&Directory, Errno> {
        match self {
            Self::Directory(directory) => Ok(directory),
            // "EROFS: The named file resides on a read-only file system" - mkdir(3p) and others
            Self::Devices { .. } => Err(Errno::EROFS),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// What there is to wait for; `None` for what is always ready, a file or a folder.
    pub fn pollable(&self) -> Option<&dyn Pollable> {
        match self {
            Self::Socket(socket) => Some(socket.as_ref()),
            Self::Input(input) => Some(input.as_ref()),
            Self::Output(output) => Some(output.as_ref()),
            Self::Pipe(end) => Some(end.as_ref()),
            Self::Event(event) => Some(event.as_ref()),
            Self::Epoll(epoll) => Some(epoll.as_ref()),
            Self::Device(device) => Some(device.input()?.as_ref()),
            Self::File(_) | Self::Directory(_) | Self::Devices { .. } => None,
        }
    }
}

/// An epoll watches open things, not numbers: "the open file description" - epoll(7).
impl Pollable for OpenFile {
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        self.open.pollable().is_some_and(|it| it.register(mask, context))
    }

    fn look(&self) -> Events {
        self.open.pollable().map_or(Events::IN.or(Events::OUT), Pollable::look)
    }

    fn kernel_fd(&self) -> KernelFd<'_> {
        self.open.pollable().map_or(KernelFd::None, Pollable::kernel_fd)
    }

    fn readable_bytes(&self) -> u64 {
        self.open.pollable().map_or(1, Pollable::readable_bytes)
    }

    fn on_report(&self) -> Option<Arc<dyn OnReport>> {
        self.open.pollable().and_then(Pollable::on_report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::os::fd::OwnedFd;
    use std::time::Duration;
    use tokio::time::timeout;

    use crate::address::Address;
    use crate::fd::Descriptor;
    use crate::io::AsyncFd;
    use crate::policy::{Denial, Policy};
    use crate::ready;
    use crate::socket::listen::{
        AcceptFilter, Capacity, ConnectionPermit, LimitExceeded, ListenConfig, ListenProfile, ListenerQuota,
        RejectReason,
    };
    use crate::socket::{Domain, Kind, Refusal};

    const MOMENT: Duration = Duration::from_millis(50);
    const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

    struct AcceptAll;

    impl AcceptFilter for AcceptAll {
        fn listens(&self, _: &Address, _: Capacity) {}

        fn admit(&self, _: &Address) -> Result<(), Denial> {
            Ok(())
        }

        fn quota(&self) -> Option<&ListenerQuota> {
            None
        }

        fn rejected(&self, _: Address, _: RejectReason) {}

        fn is_full(&self, _: LimitExceeded) {}
    }

    fn listener(profile: ListenProfile) -> Result<Arc<Socket>, Refusal> {
        let mut policy = Policy::default();
        if let Ok(grant) = "127.0.0.1:*".parse() {
            policy.allow_listen(&grant);
        }
        let socket = Socket::open(Domain::Inet4, Kind::Stream, 0)?;
        socket.bind(Address::Inet((Ipv4Addr::LOCALHOST, 0).into()), &policy, None)?;
        let accept_filter = Arc::new(AcceptAll);
        let account = Account::unlimited();
        let config =
            ListenConfig { rules: profile.rules(), maximum: 16, kernel_maximum: 16, account, accept_filter };
        socket.stream()?.listen(4, config, &policy, None)?;
        Ok(Arc::new(socket))
    }

    /// The figure of docs/performance.md, but for the tables of an epoll and of descriptors.
    #[test]
    fn a_connection_takes_few_bytes_of_the_host() {
        // A word of the allocator's for each, in steps of 16 bytes; the two counters of what is shared.
        let block = |bytes: usize| (bytes + 8).next_multiple_of(16);
        let shared = |bytes: usize| block(bytes + 16);
        let sizes = [
            ("open file", shared(size_of::<OpenFile>())),
            ("socket", shared(size_of::<Socket>())),
            ("registration", shared(size_of::<AsyncFd>())),
            ("host's descriptor", shared(size_of::<OwnedFd>())),
            ("permit", block(size_of::<ConnectionPermit>())),
            ("slot", size_of::<Option<Descriptor<OpenFile>>>()),
        ];
        assert!(sizes.iter().map(|(_, bytes)| bytes).sum::<usize>() <= 432, "{sizes:?}");
    }

    /// docs/listen.md, rule 13: an accept ends with `EBADF` where another thread closes
    /// the listener.
    #[test]
    fn closing_a_listener_ends_an_accept_of_another_thread() -> Result<(), Refusal> {
        for profile in ListenProfile::ALL {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(Errno::from)?;
            runtime.block_on(async {
                let socket = listener(profile)?;
                let open = OpenFile::shared(Open::Socket(Arc::clone(&socket)));
                let local = socket.local_address()?.inet().ok_or(Errno::EAFNOSUPPORT)?;
                let twin = Arc::clone(&open);
                let mut accept = std::pin::pin!(ready::accept(&socket, true, false));
                let early = timeout(MOMENT, accept.as_mut()).await;
                assert!(early.is_err(), "{profile}: there was no connection");
                // A duplicate is still open.
                drop(open);
                let early = timeout(MOMENT, accept.as_mut()).await;
                assert!(early.is_err(), "{profile}: it listens still");
                drop(twin);
                let ended = timeout(WAIT_TIMEOUT, accept).await;
                assert_eq!(ended.map(Result::err), Ok(Some(Errno::EBADF.into())), "{profile}");
                // A remaining reference to the socket delays no one.
                let late = std::net::TcpStream::connect(local).map_err(|error| error.kind());
                assert_eq!(late.err(), Some(std::io::ErrorKind::ConnectionRefused), "{profile}");
                Ok::<(), Refusal>(())
            })?;
        }
        Ok(())
    }
}
