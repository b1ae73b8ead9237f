//! The running guest.
//!
//! A [`Process`] is what all threads of a guest share: the descriptor table, the
//! policy, arguments and environment, clocks. A [`Thread`] is what one of them has
//! for itself; the calls of every dialect act on a thread. Waiting is done
//! by `ready`; this module decides on what.
//!
//! Locks: the descriptor table's is held for a look-up only, never across a wait
//! and never while something is closed.

#[cfg(feature = "components")]
mod background;
mod buffers;
mod change_log;
mod clocks;
mod connection;
mod cpu_time;
#[cfg(feature = "components")]
mod deliveries;
pub(crate) mod device;
mod directory;
mod execute;
mod family;
mod file_transfer;
mod futex;
mod handler_clock;
mod inherited;
mod launch;
mod lineage;
mod moves;
mod open;
mod park;
mod passing;
mod paths;
mod personality;
mod poll_scratch;
mod refusal;
mod send_file;
mod settings;
mod signal;
mod sockets;
mod standstill;
mod start;
mod status;
mod stdio;
mod thread;
mod thread_local;
mod threads;
mod transfer;
mod unwind;
mod vfork;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::account::{Account, Charge};
use crate::address::Address;
use crate::error::Errno;
use crate::fd::{Descriptor, FdTable, Rights};
use crate::io::BlockingPool;
use crate::policy::Policy;
use crate::ready::{Epoll, EventFd, Nesting};
use crate::service::{HostFailed, Instance, Report, ServiceState};
use crate::socket::held::Keeper;
use crate::socket::listen::ListenConfig;
use crate::socket::{Domain, Resolver};

#[cfg(feature = "components")]
pub(crate) use background::Background;
use change_log::ChangeLog;
pub use connection::ConnectionAs;
pub(crate) use connection::{FIRST_SOCKET, GivenConnection, is_variable, variables_of};
pub(crate) use cpu_time::CpuTime;
#[cfg(feature = "components")]
pub(crate) use deliveries::Delivery;
pub(crate) use execute::{Executables, Request as ExecRequest, Search};
pub(crate) use family::{ExitStatus, Family, Recipients, Reservation};
pub use futex::Woken;
pub(crate) use handler_clock::HandlerClock;
pub use inherited::InheritedSockets;
pub(crate) use launch::{Image, Launcher, Program};
pub use open::{Directory, Open, OpenFile};
pub(crate) use passing::{Installed, Passing};
pub(crate) use personality::Personality;
pub(crate) use poll_scratch::{PollScratch, Subscription};
pub use settings::Settings;
pub(crate) use signal::{Ending, SignalDelivery, SignalSender, Signals};
pub use signal::{Numbering, PendingSignals, Signal};
pub use stdio::{HostOutput, HostStdin, Input, Output};
pub use thread::{ConnectAttempt, SocketRef, Thread, TraceAnnotation};
pub(crate) use threads::MAIN;
pub use threads::{EntryPoint, Starter, Threads};
pub(crate) use unwind::{Area, Frames, HeldArea, Left, StackAccess, Unwind};

/// A guest: what its threads share.
pub struct Process {
    fds: Mutex<FdTable<OpenFile>>,
    working_directory: Mutex<String>,
    /// Held while a name of a file changes: see [`moves`].
    moving: Arc<Mutex<()>>,
    change_log: ChangeLog,
    resolver: Arc<Resolver>,
    blocking: Arc<BlockingPool>,
    signals: Arc<Signals>,
    /// Keeps its epolls from watching one another in a loop.
    nesting: Arc<Nesting>,
    /// What the guest's memories and tables are charged on.
    memory: Arc<Account>,
    /// What the host holds for the guest.
    host_memory: Arc<Account>,
    /// Notes that the descriptor table was full.
    descriptors: Arc<Account>,
    /// Where it is limited: that of the family.
    cpu_time: Option<Arc<CpuTime>>,
    /// Where its handlers of events are limited.
    handler_clock: Option<HandlerClock>,
    /// Sets of threads of which some were left behind when their instance ended.
    left_behind: Arc<Mutex<Vec<Arc<Threads>>>>,
    has_ended: AtomicBool,
    /// How many descriptors are on their way, and messages with them.
    in_flight: Arc<AtomicU32>,
    /// May another instance have some of its open files too?
    shares_files: AtomicBool,
    settings: Arc<Settings>,
    /// What describes the connection that it was started for, as `NAME=value`.
    variables: Vec<String>,
    /// Was it given a connection as its first descriptor after the standard streams?
    has_first_socket: bool,
    /// What the host still delivers of what a component has written.
    #[cfg(feature = "components")]
    deliveries: deliveries::Deliveries,
    /// What its program was started with, where that is not what the guest was.
    image: Mutex<Option<Arc<Image>>>,
    /// The program that is to take the place of its own.
    next_program: Mutex<Option<(Program, Image)>>,
    pid: u32,
    family: Arc<Family>,
    instance: Arc<Instance>,
    /// What the host holds for it besides; nothing for the first process.
    _held: Option<Charge>,
}

impl Process {
    /// What the addresses of a Unix socket mean to this guest.
    pub(crate) fn names(self: &Arc<Self>) -> Domain {
        Domain::Unix(Arc::new(Box::new(Arc::downgrade(self))))
    }

    /// The descriptor table. Hold it for a look-up, not for a wait.
    pub(crate) fn fds(&self) -> MutexGuard<'_, FdTable<OpenFile>> {
        unpoisoned(&self.fds)
    }

    /// What the guest may do.
    pub fn policy(&self) -> &Arc<Policy> {
        self.service().policy()
    }

    /// What the guest's own memories and tables are charged on.
    pub(crate) fn memory(&self) -> &Arc<Account> {
        &self.memory
    }

    /// What a call was denied since it began, as the trace tells it: memory, a descriptor or a process.
    pub(crate) fn take_denial(&self) -> Option<TraceAnnotation> {
        let limits = [&self.host_memory, &self.memory, &self.descriptors, self.family.limit()];
        let (limit, most) = limits.into_iter().find_map(|limit| limit.take_denial())?;
        Some(TraceAnnotation { name: limit.name(), value: most })
    }

    /// What the host holds for the guest is charged on this.
    pub(crate) fn host_memory(&self) -> &Arc<Account> {
        &self.host_memory
    }

    /// An epoll that watches nothing.
    pub(crate) fn new_epoll(&self) -> Arc<Epoll> {
        Epoll::of_guest(&self.host_memory, &self.nesting)
    }

    /// Looks names up.
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Where calls run that may block.
    pub(super) fn blocking(&self) -> &BlockingPool {
        &self.blocking
    }

    /// What the operator chose.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Is `fd` a socket that the guest has from its start on, whatever became of it?
    pub(crate) fn is_first_socket(&self, fd: u32) -> bool {
        self.settings.inherited_sockets.has_number(fd) || (fd == FIRST_SOCKET && self.has_first_socket)
    }

    pub(crate) fn working_directory(&self) -> MutexGuard<'_, String> {
        unpoisoned(&self.working_directory)
    }

    /// Has `number`, which is free, stand for something that the guest can but close: what stood there when the
    /// guest was copied is no copy's.
    ///
    /// # Errors
    ///
    /// `EMFILE`; `EINVAL` for a number that none can have.
    pub(crate) fn occupy(&self, number: u32) -> Result<(), Errno> {
        let open = OpenFile::shared(Open::Event(Box::new(EventFd::new(0, false)?)));
        let (rights, inheriting) = (Rights::NONE, Rights::NONE);
        let descriptor = Descriptor { open, rights, inheriting, close_on_exec: false };
        self.fds().insert_from(number, descriptor).map(drop)
    }

    /// The signals that are sent to the guest.
    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// Records that `threads` have not all ended with their instance.
    pub(crate) fn leave_behind(&self, threads: Arc<Threads>) {
        let mut left = unpoisoned(&self.left_behind);
        left.retain(|threads| threads.count() > 0);
        left.push(threads);
    }

    /// How many threads have not ended with their instance.
    pub(crate) fn left_behind(&self) -> usize {
        unpoisoned(&self.left_behind).iter().map(|threads| threads.count()).sum()
    }

    /// Records that the guest has ended and closed what it had, even if a thread of it is
    /// left behind.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, SeqCst);
        if self.pid != MAIN {
            return;
        }
        // A remaining reference to the process, such as a signal's thread, keeps no name.
        self.settings.inherited_sockets.let_go();
        self.instance.end();
    }

    /// Has it ended?
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(SeqCst)
    }

    /// Reports to the operator.
    pub(crate) fn report(&self) -> &Arc<Report> {
        self.service().report()
    }

    /// What outlives this instance.
    pub(crate) fn service(&self) -> &Arc<ServiceState> {
        self.instance.service()
    }

    /// What it is among the instances of its service.
    pub(crate) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What keeps its sockets, where the service holds any.
    pub(crate) fn keeper(&self) -> Option<&dyn Keeper> {
        self.instance.keeper()
    }

    /// From now on what the guest sets on held sockets takes effect, and what it has set.
    pub(crate) fn make_ready(&self) {
        self.instance.make_ready();
        for socket in self.sockets_of_family() {
            socket.make_ready();
        }
    }

    /// Ends this instance where the host fails.
    fn host_failed(&self) -> HostFailed {
        let signals = Arc::downgrade(&self.signals);
        Arc::new(move |what| {
            if let Some(signals) = signals.upgrade() {
                signals.host_failed(what);
            }
        })
    }

    /// Says when a handler of events is over its time, where that is limited.
    pub(crate) fn handler_clock(&self) -> Option<&HandlerClock> {
        self.handler_clock.as_ref()
    }

    /// On what terms its descriptor `listener`, with this address, listens. `call` is what accepts.
    fn config(&self, call: &'static str, listener: u32, local: Address) -> ListenConfig {
        self.service().config(&self.host_memory, call, listener, local, self.host_failed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signals.forget_alarms();
        self.close_all();
    }
}

/// Takes a lock; what it guards is whole whenever the lock is free, so a panic
/// elsewhere can't have torn it.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
