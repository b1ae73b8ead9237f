//! How the first process of a guest begins: with what descriptors, and under what limits.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::change_log::ChangeLog;
#[cfg(feature = "components")]
use super::deliveries;
use super::{
    CpuTime, Family, GivenConnection, HandlerClock, MAIN, Open, OpenFile, Process, Settings, Signals,
};
use crate::account::Account;
use crate::error::Errno;
use crate::fd::{Descriptor, FdTable, Rights};
use crate::io::BlockingPool;
use crate::observe::Limit;
use crate::service::{Instance, ServiceState};
use crate::socket::Resolver;

impl Process {
    /// The program of `instance`, with the standard streams, the sockets and the preopened
    /// directories of `settings`.
    ///
    /// # Errors
    ///
    /// `EMFILE` where they do not fit the descriptor table; what the host says of the
    /// sockets.
    pub(crate) fn new(instance: Instance, settings: Arc<Settings>) -> Result<Arc<Self>, Errno> {
        Self::with(instance, settings, None, Vec::new())
    }

    /// The same, for one connection, which `variables` describe.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn for_connection(
        instance: Instance,
        settings: Arc<Settings>,
        given: &GivenConnection,
        variables: Vec<String>,
    ) -> Result<Arc<Self>, Errno> {
        Self::with(instance, settings, Some(given), variables)
    }

    fn with(
        instance: Instance,
        settings: Arc<Settings>,
        given: Option<&GivenConnection>,
        variables: Vec<String>,
    ) -> Result<Arc<Self>, Errno> {
        let service = Arc::clone(instance.service());
        let limits = *service.limits();
        let memory = account(&service, Limit::Memory, limits.max_memory);
        let host_memory = account(&service, Limit::HostMemory, limits.max_host_memory);
        let descriptors = Account::new(Limit::Descriptors, limits.max_fds.into());
        let report = Arc::clone(service.report());
        descriptors.when_denied(move |_, most| report.tell_table_full(most));
        let (processes, report) =
            (Account::new(Limit::Processes, limits.max_processes.into()), Arc::clone(service.report()));
        processes.when_denied(move |_, most| report.tell_too_many_processes(most));
        let process = Arc::new(Self {
            fds: Mutex::new(FdTable::new(0, &host_memory)),
            working_directory: Mutex::new(settings.working_directory.clone()),
            moving: Arc::default(),
            change_log: ChangeLog::default(),
            resolver: Arc::new(Resolver::new(settings.look_up.clone())),
            blocking: Arc::new(BlockingPool::new(limits.max_blocking_calls)),
            signals: Signals::new(&settings.ignored_signals),
            nesting: Arc::default(),
            memory,
            host_memory,
            descriptors,
            cpu_time: limits.max_cpu_time.map(|most| Arc::new(CpuTime::new(most))),
            handler_clock: limits.handler_timeout.map(HandlerClock::new),
            left_behind: Arc::default(),
            has_ended: AtomicBool::new(false),
            in_flight: Arc::default(),
            shares_files: AtomicBool::new(false),
            settings,
            variables,
            has_first_socket: given.is_some_and(GivenConnection::is_first_socket),
            #[cfg(feature = "components")]
            deliveries: deliveries::Deliveries::default(),
            image: Mutex::default(),
            next_program: Mutex::default(),
            pid: MAIN,
            family: Family::new(limits.max_processes, processes),
            instance: Arc::new(instance),
            _held: None,
        });
        process.family.found(&process);
        // Sockets that have names ask the process what these mean.
        let fds = process.first_descriptors(given)?;
        *process.fds() = fds;
        Ok(process)
    }

    /// Resets it to its start: closes everything that the guest opened, and gives it
    /// the standard streams, the sockets and the preopened directories again. What is reported
    /// once is not reported again.
    ///
    /// # Errors
    ///
    /// As for [`Process::new`].
    pub(crate) fn restart(self: &Arc<Self>) -> Result<(), Errno> {
        let fresh = self.first_descriptors(None)?;
        self.close_all();
        *self.fds() = fresh;
        self.working_directory().clone_from(&self.settings.working_directory);
        self.instance.begin_anew();
        self.change_log.forget();
        self.note_inherited();
        self.signals.restart();
        Ok(())
    }

    /// The table of a guest that has not run yet, with the connection that it is given.
    fn first_descriptors(
        self: &Arc<Self>,
        given: Option<&GivenConnection>,
    ) -> Result<FdTable<OpenFile>, Errno> {
        let settings = &self.settings;
        let mut fds = FdTable::new(self.service().limits().max_fds, &self.host_memory);
        let in_place = given.filter(|given| given.is_stdio());
        for (number, stream) in settings.stdio().into_iter().enumerate() {
            if let Some(given) = in_place.filter(|_| number < 2) {
                fds.insert(given.descriptor())?;
                continue;
            }
            fds.insert(Descriptor {
                open: OpenFile::shared(stream),
                rights: Rights::STDIO,
                inheriting: Rights::NONE,
                close_on_exec: false,
            })?;
        }
        if let Some(given) = given.filter(|given| given.is_first_socket()) {
            fds.insert(given.descriptor())?;
        }
        for inherited in settings.inherited_sockets.descriptors(self)? {
            fds.insert(inherited)?;
        }
        for directory in &settings.directories {
            fds.insert(Descriptor {
                open: OpenFile::shared(Open::Directory(Box::new(directory.clone()))),
                rights: Rights::DIRECTORY,
                inheriting: Rights::DIRECTORY_INHERITING,
                close_on_exec: false,
            })?;
        }
        // Until here a full table is the error of the start, and no call's.
        Ok(fds.limited_by(&self.descriptors))
    }
}

/// An account of `most` bytes, which reports where it denies something.
pub(super) fn account(service: &ServiceState, limit: Limit, most: u64) -> Arc<Account> {
    let (account, report) = (Account::new(limit, most), Arc::clone(service.report()));
    account.when_denied(move |limit, most| report.report_memory(limit, most));
    account
}
