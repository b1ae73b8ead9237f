//! The process: ending, numbers, children.

use std::sync::Arc;

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_process::WasixProcess;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{check_out, check_out_value, write_bytes};
use crate::error::{Errno, Error, Exit, Returned, Trap};
use crate::observe::Event;
use crate::process::{ExitStatus, Signal, StackAccess, Unwind};

/// The module has no code to restore its stack.
const CANNOT_JUMP: &str = "the guest jumped to a place further up its stack (longjmp), which its module can't do: \
     it takes `wasm-opt --asyncify` with --export=__stack_pointer, or a build with WebAssembly exceptions";

/// Why a process is not copied.
const CANNOT_FORK: &str = "its module has no code to restore its stack: that takes `wasm-opt --asyncify` with \
     --export=__stack_pointer";
const IN_A_HANDLER: &str = "it asks for that in the handler of a signal";

/// The guest made up a place, or kept it for too long.
const NOWHERE_TO_JUMP: &str = "the guest jumped to a place of its stack that there is not (longjmp): it was never \
     prepared by this thread, or its function has returned";

/// The size of a `join_status`.
const JOIN_STATUS_SIZE: u32 = 6;

/// Its tags; 0 is nothing.
const EXITED: u8 = 1;
const SIGNALLED: u8 = 2;

/// Flags of `proc_join`.
const NON_BLOCKING: u16 = 1;
const WAKE_STOPPED: u16 = 2;

impl WasixProcess for Call<'_> {
    fn proc_exit2(&mut self, _: &mut GuestMemory<'_>, code: u32) -> wiggle::error::Error {
        // Where the host restores the stack of its parent, a child ends as any process does.
        let is_unwound = self.unwinding.return_from_child().is_some();
        if !is_unwound && self.leave_child(ExitStatus::Exited(code)) {
            return Returned.into();
        }
        Exit(code).into()
    }

    fn proc_join(
        &mut self,
        memory: &mut GuestMemory<'_>,
        pid: GuestPtr<types::OptionPid>,
        flags: u32,
        status: GuestPtr<u8>,
    ) -> Result<(), Error> {
        check_out(memory, status.offset(), JOIN_STATUS_SIZE)?;
        check_out_value(memory, pid)?;
        let wanted = memory.read(pid)?;
        // "EINVAL: The options argument is not valid." - waitpid(3p). Nothing is ever stopped, so whether to wait for
        // that means nothing.
        let flags = flags::known(flags, NON_BLOCKING | WAKE_STOPPED)?;
        let which = (flags::boolean(wanted.tag.into())? && wanted.value != 0).then_some(wanted.value);
        let (family, parent) = (Arc::clone(self.process().family()), self.process().pid());
        if let Some(ended) = family.take_ended(parent, which)? {
            return write_ended(memory, self, pid, status, ended);
        }
        if flags & NON_BLOCKING != 0 {
            // The C library returns this number: 0, as POSIX has it.
            memory.write(pid, types::OptionPid { tag: 1, value: 0 })?;
            return write_bytes(memory, status, &[0; 6]);
        }
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let ended = family.wait(parent, which).await?;
                write_ended(memory, call, pid, status, ended)
            })
        }))
    }

    fn proc_join_v1(
        &mut self,
        memory: &mut GuestMemory<'_>,
        pid: GuestPtr<u32>,
        exit_code: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, exit_code)?;
        check_out_value(memory, pid)?;
        let wanted = memory.read(pid)?.cast_signed();
        let which = (!matches!(wanted, -1 | 0)).then_some(wanted.unsigned_abs());
        let (family, parent) = (Arc::clone(self.process().family()), self.process().pid());
        let answer = move |memory: &mut GuestMemory<'_>, call: &Call<'_>, (child, ended)| {
            memory.write(pid, child)?;
            Ok(memory.write(exit_code, word_of(call, ended))?)
        };
        if let Some(ended) = family.take_ended(parent, which)? {
            return answer(memory, self, ended);
        }
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let ended = family.wait(parent, which).await?;
                answer(memory, call, ended)
            })
        }))
    }

    fn proc_fork(
        &mut self,
        memory: &mut GuestMemory<'_>,
        copy_memory: u32,
        ret_pid: GuestPtr<types::Pid>,
    ) -> Result<(), Error> {
        if let Some(answer) = self.unwinding.take_returning() {
            let pid = u32::try_from(answer?).unwrap_or(0);
            return Ok(memory.write(ret_pid, pid)?);
        }
        match self.unwinding.access {
            StackAccess::Unwinds { .. } => {}
            StackAccess::Full => return Err(Errno::ENOMEM.into()),
            StackAccess::None => return Err(self.not_forked(CANNOT_FORK).into()),
        }
        check_out_value(memory, ret_pid)?;
        let copies = flags::boolean(copy_memory)?;
        if self.unwinding.is_nested() {
            self.not_forked(IN_A_HANDLER);
            return Err(Errno::EAGAIN.into());
        }
        self.unwinding.want(if copies { Unwind::Fork } else { Unwind::Vfork });
        Err(Error::Wait)
    }

    fn stack_checkpoint(
        &mut self,
        memory: &mut GuestMemory<'_>,
        snapshot: GuestPtr<types::StackSnapshot>,
    ) -> Result<u64, Error> {
        if let Some(answer) = self.unwinding.take_returning() {
            return Ok(answer?);
        }
        match self.unwinding.access {
            // The C library traps where this fails, and most programs that prepare for a
            // jump never make it: the jump fails instead.
            StackAccess::None => {
                memory.write(snapshot, types::StackSnapshot { user: 0, hash_low: 0, hash_high: 0 })?;
                Ok(0)
            }
            StackAccess::Full => Err(Errno::ENOMEM.into()),
            StackAccess::Unwinds { .. } => {
                let number = self.unwinding.next_checkpoint();
                let hash_high = self.unwinding.owner(self.tid).into();
                memory.write(snapshot, types::StackSnapshot { user: 0, hash_low: number, hash_high })?;
                self.unwinding.want(Unwind::Checkpoint(number));
                Err(Error::Wait)
            }
        }
    }

    fn stack_restore(
        &mut self,
        memory: &mut GuestMemory<'_>,
        snapshot: GuestPtr<types::StackSnapshot>,
        value: u64,
    ) -> wiggle::error::Error {
        let StackAccess::Unwinds { stack_pointer } = self.unwinding.access else {
            return Trap::new(CANNOT_JUMP).into();
        };
        let snapshot = match memory.read(snapshot) {
            Ok(snapshot) => snapshot,
            Err(error) => return error.into(),
        };
        if snapshot.hash_high == u64::from(self.unwinding.owner(self.tid))
            && let Some(jump) = self.unwinding.jump(snapshot.hash_low, value, stack_pointer)
        {
            return jump.into();
        }
        Trap::new(NOWHERE_TO_JUMP).into()
    }

    fn proc_id(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        Ok(self.process().pid())
    }

    fn proc_parent(&mut self, _: &mut GuestMemory<'_>, pid: u32) -> Result<u32, Error> {
        // "ESRCH: No process can be found" - kill(3p). The parent of the first one is the host: 0.
        Ok(self.process().family().parent_of(pid)?)
    }
}

impl Call<'_> {
    /// Tells the operator why the guest can't be copied.
    fn not_forked(&self, reason: &'static str) -> Errno {
        if self.process().family().is_first_refusal() {
            self.process().report().tell(Event::NotForked { reason });
        }
        Errno::ENOTSUP
    }
}

/// Writes how a child has ended.
fn write_ended(
    memory: &mut GuestMemory<'_>,
    call: &Call<'_>,
    pid: GuestPtr<types::OptionPid>,
    status: GuestPtr<u8>,
    (child, ended): (u32, ExitStatus),
) -> Result<(), Error> {
    memory.write(pid, types::OptionPid { tag: 1, value: child })?;
    let [low, high] = low_byte(ended).to_le_bytes();
    let record = match ended {
        ExitStatus::Exited(_) => [EXITED, 0, low, high, 0, 0],
        // With a code besides, the C library takes it for neither.
        ExitStatus::Signalled(signal) => [SIGNALLED, 0, 0, 0, number_of(call, signal), 0],
    };
    write_bytes(memory, status, &record)
}

/// "the low-order 8 bits" of an exit code - exit(3p).
fn low_byte(ended: ExitStatus) -> u16 {
    match ended {
        ExitStatus::Exited(code) => u16::from(code.to_le_bytes()[0]),
        ExitStatus::Signalled(_) => 0,
    }
}

/// The status as one word, as the C library of the first generation has it: it decodes the word in its macros, and some
/// programs of the time do not. Shells and servers do; those that never execute another program are taken to be the
/// others.
fn word_of(call: &Call<'_>, ended: ExitStatus) -> u32 {
    match ended {
        ExitStatus::Exited(_) if call.personality.reads_raw_status => low_byte(ended).into(),
        ExitStatus::Exited(_) => u32::from(low_byte(ended)) << 8,
        ExitStatus::Signalled(signal) => number_of(call, signal).into(),
    }
}

/// The number of a signal in the parent's numbering.
fn number_of(call: &Call<'_>, signal: Signal) -> u8 {
    let number = call.process().signals().numbering().number(signal);
    number.and_then(|number| u8::try_from(number).ok()).unwrap_or(signal.number())
}
