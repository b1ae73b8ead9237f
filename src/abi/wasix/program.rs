//! Other programs: to become one, to start one.

use std::sync::Arc;

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_program::WasixProgram;
use super::strings::{Strings, from_array, from_lines};
use crate::abi::call::Call;
use crate::abi::errno::number;
use crate::abi::flags;
use crate::abi::memory::{check_out, check_out_value, write_bytes};
use crate::abi::path;
use crate::abi::wasix::spawn::{self, Action, Mode, STREAMS};
use crate::error::{Errno, Error, Exit, Replaced, Returned};
use crate::observe::Event;
use crate::process::{ExecRequest, Image, Launcher, Search, Thread};

/// Why a guest starts no programs.
const ONE_PROCESS: &str =
    "it has one process here, as in a store of an embedder's own and in a start that is copied (--warm)";

/// The size of a `process_handles`.
const HANDLES_SIZE: u32 = 28;

impl WasixProgram for Call<'_> {
    fn proc_exec(
        &mut self,
        memory: &mut GuestMemory<'_>,
        name: GuestPtr<str>,
        args: GuestPtr<str>,
    ) -> wiggle::error::Error {
        let request = request(memory, name, Search::HereFirst, from_lines(memory, args), Ok(None));
        never(self.become_program(request, true))
    }

    fn proc_exec2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        name: GuestPtr<str>,
        args: GuestPtr<str>,
        envs: GuestPtr<str>,
    ) -> wiggle::error::Error {
        let (args, envs) = (from_lines(memory, args), from_lines(memory, envs));
        never(self.become_program(request(memory, name, Search::HereFirst, args, envs), true))
    }

    fn proc_exec3(
        &mut self,
        memory: &mut GuestMemory<'_>,
        name: GuestPtr<str>,
        args: GuestPtr<str>,
        envs: GuestPtr<str>,
        search_path: u32,
        path: GuestPtr<str>,
    ) -> Result<(), Error> {
        let search = search(memory, search_path, path)?;
        let (args, envs) = (from_lines(memory, args), from_lines(memory, envs));
        self.become_program(request(memory, name, search, args, envs), false)
    }

    fn proc_exec4(
        &mut self,
        memory: &mut GuestMemory<'_>,
        name: GuestPtr<str>,
        args: GuestPtr<[u32]>,
        envs: GuestPtr<[u32]>,
        search_path: u32,
        path: GuestPtr<str>,
    ) -> Result<(), Error> {
        let search = search(memory, search_path, path)?;
        let (args, envs) = (from_array(memory, args), from_array(memory, envs));
        self.become_program(request(memory, name, search, args, envs), false)
    }

    fn proc_spawn(
        &mut self,
        memory: &mut GuestMemory<'_>,
        name: GuestPtr<str>,
        chroot: u32,
        args: GuestPtr<str>,
        _preopen: GuestPtr<str>,
        stdin: u32,
        stdout: u32,
        stderr: u32,
        working_dir: GuestPtr<str>,
        ret_handles: GuestPtr<u8>,
    ) -> Result<(), Error> {
        check_out(memory, ret_handles.offset(), HANDLES_SIZE)?;
        // A root of its own: what the child may see is the operator's to say.
        if flags::boolean(chroot)? {
            return Err(Errno::ENOTSUP.into());
        }
        let mut modes = [Mode::Inherited; STREAMS];
        for (mode, given) in modes.iter_mut().zip([stdin, stdout, stderr]) {
            *mode = Mode::of(given)?;
        }
        let request = request(memory, name, Search::HereFirst, from_lines(memory, args), Ok(None))?;
        let directory = path::read(memory, working_dir.as_bytes())?;
        let actions = (!directory.is_empty()).then_some(Action::Directory(directory)).into_iter().collect();
        let ignored = self.process().signals().ignored().collect();
        let (process, launcher) = (Arc::clone(self.process()), self.launcher(&request.name)?);
        let plan = spawn::Plan { request, actions, ignored, modes };
        let start = move || plan.carry_out(&process, &*launcher);
        self.file_call_as(memory, start, move |_, memory, started| {
            write_bytes(memory, ret_handles, &started.handles())
        })
    }

    fn proc_spawn2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        name: GuestPtr<str>,
        args: GuestPtr<str>,
        envs: GuestPtr<str>,
        fd_ops: GuestPtr<[types::ProcSpawnFdOp]>,
        signal_dispositions: GuestPtr<[types::SignalDisposition]>,
        search_path: u32,
        path: GuestPtr<str>,
        ret_pid: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_pid)?;
        let search = search(memory, search_path, path)?;
        let (args, envs) = (from_lines(memory, args), from_lines(memory, envs));
        let request = request(memory, name, search, args, or_inherited(envs))?;
        self.spawn_program(memory, request, fd_ops, signal_dispositions, ret_pid)
    }

    fn proc_spawn3(
        &mut self,
        memory: &mut GuestMemory<'_>,
        name: GuestPtr<str>,
        args: GuestPtr<[u32]>,
        envs: GuestPtr<[u32]>,
        fd_ops: GuestPtr<[types::ProcSpawnFdOp]>,
        signal_dispositions: GuestPtr<[types::SignalDisposition]>,
        search_path: u32,
        path: GuestPtr<str>,
        ret_pid: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_pid)?;
        let search = search(memory, search_path, path)?;
        let (args, envs) = (from_array(memory, args), from_array(memory, envs));
        let request = request(memory, name, search, args, or_inherited(envs))?;
        self.spawn_program(memory, request, fd_ops, signal_dispositions, ret_pid)
    }

    fn proc_fork_env(&mut self, memory: &mut GuestMemory<'_>, ret_pid: GuestPtr<u32>) -> Result<(), Error> {
        check_out_value(memory, ret_pid)?;
        let process = self.process();
        // Who could not execute a program has no use for it.
        self.launcher("another program")?;
        let child = process.fork(process.family().reserve(process.pid())?)?;
        let pid = child.pid();
        child.tell_spawned(process.pid(), None);
        self.enter_child(child);
        Ok(memory.write(ret_pid, pid)?)
    }
}

impl Call<'_> {
    /// What starts programs, one of the name `name` for instance.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` where there is none, and the operator is told why.
    fn launcher(&self, name: &str) -> Result<Arc<dyn Launcher>, Errno> {
        let process = self.process();
        process.family().launcher().inspect_err(|_| {
            let (path, reason) = (name.to_owned(), ONE_PROCESS.to_owned());
            process.report().tell(Event::NotExecutable { path, reason });
        })
    }

    /// Has another program take the place of this one. Where that fails, this one goes on, or `ends`.
    fn become_program(&mut self, request: Result<ExecRequest, Error>, ends: bool) -> Result<(), Error> {
        let failed = move |error| match error {
            // What the reference host does: the code is the error's number.
            Error::Errno(errno) if ends => Error::Ended(number(errno).unsigned_abs()),
            other => other,
        };
        let request = request.map_err(failed)?;
        let process = Arc::clone(self.process());
        let launcher = self.launcher(&request.name).map_err(|errno| failed(errno.into()))?;
        let find = move || process.find_program(&*launcher, request);
        if self.blocks_on_files() {
            let (program, image) = find().map_err(|errno| failed(errno.into()))?;
            return self.replace_program(program, image).map_err(failed);
        }
        Err(self.wait(move |call, _| {
            Box::pin(async move {
                let (program, image) = call.on_disk(find).await.map_err(failed)?;
                call.replace_program(program, image).map_err(failed)
            })
        }))
    }

    fn spawn_program(
        &mut self,
        memory: &mut GuestMemory<'_>,
        request: ExecRequest,
        fd_ops: GuestPtr<[types::ProcSpawnFdOp]>,
        dispositions: GuestPtr<[types::SignalDisposition]>,
        ret_pid: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let actions = spawn::actions(memory, fd_ops)?;
        let ignored = spawn::ignored(self, memory, dispositions)?;
        let (process, launcher) = (Arc::clone(self.process()), self.launcher(&request.name)?);
        let plan = spawn::Plan { request, actions, ignored, modes: [Mode::Inherited; STREAMS] };
        let start = move || plan.carry_out(&process, &*launcher);
        self.file_call_as(memory, start, move |_: &Thread, memory, started| {
            Ok(memory.write(ret_pid, started.pid)?)
        })
    }
}

/// What a call asks for. Without `environment` it is that of the process.
fn request(
    memory: &GuestMemory<'_>,
    name: GuestPtr<str>,
    search: Search,
    arguments: Strings,
    environment: Strings,
) -> Result<ExecRequest, Error> {
    let name = path::read(memory, name.as_bytes())?;
    let environment = environment?;
    // "EINVAL": what the reference host has for it.
    if environment.iter().flatten().any(|variable| !variable.contains('=')) {
        return Err(Errno::EINVAL.into());
    }
    Ok(ExecRequest {
        name,
        search,
        image: Image { path: String::new(), arguments: arguments?.unwrap_or_default(), environment },
    })
}

/// A program that gives its child no environment at all does not mean that: so does `system` of WASIX's C library.
fn or_inherited(environment: Strings) -> Strings {
    Ok(environment?.filter(|variables| !variables.is_empty()))
}

fn search(memory: &GuestMemory<'_>, search_path: u32, path: GuestPtr<str>) -> Result<Search, Error> {
    if !flags::boolean(search_path)? {
        return Ok(Search::Nowhere);
    }
    if path.offset().0 == 0 {
        return Ok(Search::In(None));
    }
    Ok(Search::In(Some(path::read(memory, path.as_bytes())?)))
}

/// The outcome of a call without a result.
fn never(outcome: Result<(), Error>) -> wiggle::error::Error {
    match outcome {
        Ok(()) => Returned.into(),
        Err(Error::Trap(trap)) => trap.into(),
        Err(Error::Ended(code)) => Exit(code).into(),
        Err(Error::Errno(errno)) => Exit(number(errno).unsigned_abs()).into(),
        // The half that waits has an outcome of its own.
        Err(Error::Replaced | Error::Wait | Error::LookUp(_)) => Replaced.into(),
    }
}
