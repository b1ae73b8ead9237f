//! What is done for a child before its program begins.

use std::sync::Arc;

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use crate::abi::path::{OpenRequest, open_named};
use crate::error::{Errno, Error};
use crate::fd::{Descriptor, Rights};
use crate::io::insist_on_memory;
use crate::observe::Closed;
use crate::process::{ExecRequest, Launcher, Open, OpenFile, Process, Signal, Thread};
use crate::ready::pipe_ends;

/// The most actions, and the most dispositions, of one call.
const MOST: u32 = 1024;

/// The longest path of an action, in bytes, as Linux has it.
const MAX_PATH: u32 = 4096;

/// How many streams a program begins with.
pub(super) const STREAMS: usize = 3;

/// Of a disposition: the default action, and nothing.
const DEFAULT: u8 = 0;
const IGNORE: u8 = 1;

/// One change of a child's descriptors, or of its working directory.
#[derive(Debug)]
pub(super) enum Action {
    Close(u32),
    Duplicate { from: u32, to: u32 },
    Open { fd: u32, path: String, request: OpenRequest },
    Directory(String),
    DirectoryOf(u32),
}

/// What a standard stream of a child is, for the first generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One end of a pipe, of which the parent gets the other.
    Piped,
    /// The parent's.
    Inherited,
    /// Closed.
    Closed,
}

impl Mode {
    /// # Errors
    ///
    /// `EINVAL` for an unknown number.
    pub(super) fn of(number: u32) -> Result<Self, Errno> {
        match number {
            0 => Ok(Self::Piped),
            1 => Ok(Self::Inherited),
            // Nothing, and a log of the host's, which there is not.
            2 | 3 => Ok(Self::Closed),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// A child that is to be started.
pub(super) struct Plan {
    pub(super) request: ExecRequest,
    pub(super) actions: Vec<Action>,
    /// The signals that its program ignores.
    pub(super) ignored: Vec<Signal>,
    pub(super) modes: [Mode; STREAMS],
}

/// A child that was started.
pub(super) struct Started {
    pub(super) pid: u32,
    /// The parent's ends of the pipes to its streams.
    pipes: [Option<u32>; STREAMS],
}

impl Started {
    /// As a `process_handles`.
    pub(super) fn handles(&self) -> Vec<u8> {
        let mut bytes = self.pid.to_le_bytes().to_vec();
        for pipe in self.pipes {
            bytes.extend_from_slice(&[u8::from(pipe.is_some()), 0, 0, 0]);
            bytes.extend_from_slice(&pipe.unwrap_or_default().to_le_bytes());
        }
        bytes
    }
}

impl Plan {
    /// Starts the child of `parent`. This may take long, and stops its thread.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where there are too many processes, `ENOMEM` where the host has no memory for one; those of [`Process::find_program`], and of the actions. There is no
    /// child then.
    pub(super) fn carry_out(self, parent: &Arc<Process>, launcher: &dyn Launcher) -> Result<Started, Errno> {
        let family = parent.family();
        let reservation = family.reserve(parent.pid())?;
        insist_on_memory()?;
        let (program, image) = parent.find_program(launcher, self.request)?;
        let path = image.path.clone();
        let child = parent.spawn(reservation, &self.ignored, image)?;
        let mut started = Started { pid: child.pid(), pipes: [None; STREAMS] };
        let prepared = started.connect(parent, &child, self.modes).and_then(|()| {
            self.actions.iter().try_for_each(|action| action.carry_out(&child))?;
            child.close_for_exec();
            let begins = || child.tell_spawned(parent.pid(), Some(path.clone()));
            launcher.start(Arc::clone(&child), program, &begins)
        });
        if let Err(errno) = prepared {
            family.forget(child.pid());
            for fd in started.pipes.into_iter().flatten() {
                close(parent, fd, Closed::Replaced);
            }
            return Err(errno);
        }
        Ok(started)
    }
}

impl Started {
    /// Makes the child's standard streams what they are to be.
    fn connect(&mut self, parent: &Process, child: &Process, modes: [Mode; STREAMS]) -> Result<(), Errno> {
        for ((number, mode), own) in (0_u32..).zip(modes).zip(&mut self.pipes) {
            if mode != Mode::Inherited {
                close(child, number, Closed::Replaced);
            }
            if mode == Mode::Piped {
                let (first, second) = pipe_ends();
                let (theirs, ours) = if number == 0 { (first, second) } else { (second, first) };
                child.fds().insert_from(number, stream(Open::Pipe(Box::new(theirs))))?;
                *own = Some(parent.fds().insert(stream(Open::Pipe(Box::new(ours))))?);
            }
        }
        Ok(())
    }
}

fn stream(open: Open) -> Descriptor<OpenFile> {
    let (rights, inheriting) = (Rights::STDIO, Rights::STDIO);
    Descriptor { open: OpenFile::shared(open), rights, inheriting, close_on_exec: false }
}

fn close(process: &Process, fd: u32, why: Closed) {
    let closed = process.fds().remove(fd);
    if let Ok(closed) = closed {
        process.close(fd, closed, why);
    }
}

impl Action {
    fn carry_out(&self, child: &Process) -> Result<(), Errno> {
        match self {
            Self::Close(fd) => {
                // Programs that close every number there is don't mean those by which they open files.
                let closed = {
                    let mut fds = child.fds();
                    let open = &fds.get(*fd)?.open;
                    if open.is_preopened() { None } else { Some(fds.remove(*fd)?) }
                };
                if let Some(closed) = closed {
                    child.close(*fd, closed, Closed::ByGuest);
                }
                Ok(())
            }
            Self::Duplicate { from, to } if from == to => {
                // "If fildes and newfildes are equal ... the FD_CLOEXEC flag ... shall be cleared"
                // - posix_spawn_file_actions_adddup2(3p)
                child.fds().get_mut(*from)?.close_on_exec = false;
                Ok(())
            }
            Self::Duplicate { from, to } => {
                let replaced = child.fds().duplicate_onto(*from, *to)?;
                if let Some(replaced) = replaced {
                    child.close(*to, replaced, Closed::Replaced);
                }
                Ok(())
            }
            Self::Open { fd, path, request } => {
                let descriptor = open_named(child, request, path)?;
                // "If the file descriptor was already open ... it shall be closed before the new file is opened."
                // - posix_spawn_file_actions_addopen(3p)
                close(child, *fd, Closed::Replaced);
                child.fds().insert_at(*fd, descriptor)
            }
            Self::Directory(path) => child.change_directory(path),
            Self::DirectoryOf(fd) => {
                let path = child.name_of_directory(*fd)?;
                child.change_directory(&path)
            }
        }
    }
}

/// The actions of a call.
///
/// # Errors
///
/// `E2BIG` for too many, `EINVAL` for an unknown one, `ENAMETOOLONG`, `EILSEQ`; a trap outside of the memory.
pub(super) fn actions(
    memory: &GuestMemory<'_>,
    list: GuestPtr<[types::ProcSpawnFdOp]>,
) -> Result<Vec<Action>, Error> {
    if list.offset().1 > MOST {
        return Err(Errno::E2BIG.into());
    }
    let mut actions = Vec::new();
    for op in list.iter() {
        let op = memory.read(op?)?;
        let path = || {
            let path = op.path.as_array(op.path_len);
            let bytes = crate::abi::memory::read_bytes(memory, path, MAX_PATH, Errno::ENAMETOOLONG)?;
            // Some pass the NUL at its end, too.
            let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes).to_vec();
            String::from_utf8(bytes).map_err(|_| Error::from(Errno::EILSEQ))
        };
        actions.push(match op.cmd {
            0 => Action::Close(op.fd),
            1 => Action::Duplicate { from: op.src_fd, to: op.fd },
            2 => Action::Open {
                fd: op.fd,
                path: path()?,
                request: OpenRequest {
                    fd: op.fd,
                    lookup: op.dirflags,
                    oflags: op.oflags.into(),
                    rights: op.rights,
                    fdflags: op.fdflags.into(),
                    close_on_exec: op.fdflagsext & 1 != 0,
                },
            },
            3 => Action::Directory(path()?),
            4 => Action::DirectoryOf(op.fd),
            _ => return Err(Errno::EINVAL.into()),
        });
    }
    Ok(actions)
}

/// The signals that a child of `thread` ignores after these `dispositions`.
///
/// # Errors
///
/// `E2BIG` for too many, `EINVAL` for an unknown signal or disposition; a trap outside of the memory.
pub(super) fn ignored(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    dispositions: GuestPtr<[types::SignalDisposition]>,
) -> Result<Vec<Signal>, Error> {
    if dispositions.offset().1 > MOST {
        return Err(Errno::E2BIG.into());
    }
    let signals = thread.process().signals();
    let mut ignored: Vec<Signal> = signals.ignored().collect();
    for disposition in dispositions.iter() {
        let types::SignalDisposition { sig, disp } = memory.read(disposition?)?;
        let signal = signals.numbering().signal(sig.into())?.ok_or(Errno::EINVAL)?;
        ignored.retain(|known| *known != signal);
        match disp {
            DEFAULT => {}
            IGNORE => ignored.push(signal),
            _ => return Err(Errno::EINVAL.into()),
        }
    }
    Ok(ignored)
}
