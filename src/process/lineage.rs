//! How a process begins as another one's child, and how its program is replaced.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use super::change_log::ChangeLog;
#[cfg(feature = "components")]
use super::deliveries;
use super::start::account;
use super::{ExitStatus, Family, Image, Process, Program, Reservation, Signal, Signals, unpoisoned};
use crate::error::Errno;
use crate::observe::{Closed, Event, Limit};
use crate::socket::Socket;

/// What the host holds for a process besides its descriptors and its thread: the process itself, its signals, a
/// task that sees to its end, the parts of its program that are not shared.
const PROCESS: u64 = 64 * 1024;

impl Process {
    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// It and its siblings.
    pub(crate) fn family(&self) -> &Arc<Family> {
        &self.family
    }

    /// A copy of this process: "the new process (child process) shall be an exact copy of the calling process"
    /// but for its number, its pending signals and its timers - fork(3p). What runs in it is not copied here.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host holds too much for the guest.
    pub(crate) fn fork(self: &Arc<Self>, reservation: Reservation) -> Result<Arc<Self>, Errno> {
        self.descend(reservation, self.signals.forked(), self.image())
    }

    /// A child of this process for a program that is started with `image`, which ignores the signals `ignored`. It has this
    /// one's descriptors, those included that close when the program begins.
    ///
    /// # Errors
    ///
    /// As for [`fork`](Self::fork).
    pub(crate) fn spawn(
        self: &Arc<Self>,
        reservation: Reservation,
        ignored: &[Signal],
        image: Image,
    ) -> Result<Arc<Self>, Errno> {
        self.descend(reservation, self.signals.spawned(ignored), Some(Arc::new(image)))
    }

    fn descend(
        self: &Arc<Self>,
        reservation: Reservation,
        signals: Arc<Signals>,
        image: Option<Arc<Image>>,
    ) -> Result<Arc<Self>, Errno> {
        let held = self.host_memory.charge(PROCESS)?;
        let fds = self.fds().duplicated()?;
        self.shares_files.store(true, Relaxed);
        let memory = account(self.service(), Limit::Memory, self.service().limits().max_memory);
        let process = Arc::new(Self {
            fds: Mutex::new(fds),
            working_directory: Mutex::new(self.working_directory().clone()),
            moving: Arc::clone(&self.moving),
            change_log: ChangeLog::default(),
            resolver: Arc::clone(&self.resolver),
            blocking: Arc::clone(&self.blocking),
            signals,
            nesting: Arc::clone(&self.nesting),
            memory,
            host_memory: Arc::clone(&self.host_memory),
            descriptors: Arc::clone(&self.descriptors),
            cpu_time: self.cpu_time.clone(),
            handler_clock: None,
            left_behind: Arc::clone(&self.left_behind),
            has_ended: AtomicBool::new(false),
            in_flight: Arc::clone(&self.in_flight),
            shares_files: AtomicBool::new(true),
            settings: Arc::clone(&self.settings),
            variables: self.variables.clone(),
            has_first_socket: self.has_first_socket,
            #[cfg(feature = "components")]
            deliveries: deliveries::Deliveries::default(),
            image: Mutex::new(image),
            next_program: Mutex::default(),
            pid: reservation.pid(),
            family: Arc::clone(&self.family),
            instance: Arc::clone(&self.instance),
            _held: Some(held),
        });
        reservation.begin(&process);
        Ok(process)
    }

    /// Tells the operator that it begins, a child of `parent` with the program `path`; a copy of it without.
    pub(crate) fn tell_spawned(&self, parent: u32, path: Option<String>) {
        self.report().tell(Event::Spawned { pid: self.pid, parent, path });
    }

    /// It has ended so, and closed what it had: its parent is told, and the operator.
    pub(crate) fn tell_ended(&self, status: ExitStatus, trap: Option<String>) {
        let (code, signal) = match status {
            ExitStatus::Exited(code) => (code, None),
            ExitStatus::Signalled(signal) => (signal.exit_code(), Some(signal.name())),
        };
        self.report().tell(Event::Exited { pid: self.pid, code, signal, trap });
        self.family.ended(self.pid, status);
    }

    /// `program`, started with `image`, is to take the place of this process's own, which ends now.
    pub(crate) fn prepare_replacement(&self, program: Program, image: Image) {
        *unpoisoned(&self.next_program) = Some((program, image));
    }

    /// Its program has ended and is replaced: closes the descriptors that end by that, and forgets what handled
    /// its signals. Returns the next one.
    pub(crate) fn replace_program(&self) -> Option<Program> {
        let (program, image) = unpoisoned(&self.next_program).take()?;
        self.become_program(image);
        Some(program)
    }

    /// Closes the descriptors that are marked so.
    pub(crate) fn close_for_exec(&self) {
        let closing = self.fds().closing_on_exec();
        for fd in closing {
            let closed = self.fds().remove(fd);
            if let Ok(closed) = closed {
                self.close(fd, closed, Closed::ByGuest);
            }
        }
    }

    /// Another program begins in it, which is started with `image`.
    pub(super) fn become_program(&self, image: Image) {
        *unpoisoned(&self.image) = Some(Arc::new(image));
        self.close_for_exec();
        self.change_log.forget();
        self.signals.replace_program();
    }

    fn image(&self) -> Option<Arc<Image>> {
        unpoisoned(&self.image).clone()
    }

    /// Passes the arguments to `look`, the program's name first.
    pub(crate) fn with_arguments<R>(&self, look: impl FnOnce(&[&str]) -> R) -> R {
        let image = self.image();
        let arguments = image.as_ref().map_or(&self.settings.arguments, |image| &image.arguments);
        look(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Passes the environment to `look`, as `NAME=value`: the operator's, and what describes the connection that the
    /// guest was started for; or what the program was started with by another one.
    pub(crate) fn with_environment<R>(&self, look: impl FnOnce(&[&str]) -> R) -> R {
        let image = self.image();
        let variables: Vec<_> = match image.as_deref() {
            Some(Image { environment: Some(own), .. }) => own.iter().map(String::as_str).collect(),
            _ => self.settings.environment.iter().chain(&self.variables).map(String::as_str).collect(),
        };
        look(&variables)
    }

    /// The sockets that the family has open, each once.
    pub(super) fn sockets_of_family(&self) -> Vec<Arc<Socket>> {
        if !self.family.is_many() {
            return self.sockets();
        }
        let mut sockets: Vec<_> =
            self.family.processes().iter().flat_map(|process| process.sockets()).collect();
        sockets.sort_unstable_by_key(|socket| Arc::as_ptr(socket).addr());
        sockets.dedup_by(|one, other| Arc::ptr_eq(one, other));
        sockets
    }
}
