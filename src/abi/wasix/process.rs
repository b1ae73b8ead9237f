//! The process: ending, numbers, and children, of which there are none.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_process::WasixProcess;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{check_out, check_out_value};
use crate::error::{Errno, Error, Exit, Trap};
use crate::process::MAIN;

/// The size of a `join_status`.
const JOIN_STATUS_SIZE: u32 = 6;

impl WasixProcess for Call<'_> {
    fn proc_exit2(&mut self, _: &mut GuestMemory<'_>, code: u32) -> wiggle::error::Error {
        Exit(code).into()
    }

    fn proc_exec(
        &mut self,
        _: &mut GuestMemory<'_>,
        _name: GuestPtr<str>,
        _args: GuestPtr<str>,
    ) -> wiggle::error::Error {
        not_replaced()
    }

    fn proc_exec2(
        &mut self,
        _: &mut GuestMemory<'_>,
        _name: GuestPtr<str>,
        _args: GuestPtr<str>,
        _envs: GuestPtr<str>,
    ) -> wiggle::error::Error {
        not_replaced()
    }

    fn proc_join(
        &mut self,
        memory: &mut GuestMemory<'_>,
        pid: GuestPtr<types::OptionPid>,
        flags: u32,
        status: GuestPtr<u8>,
    ) -> Result<(), Error> {
        check_out(memory, status.offset(), JOIN_STATUS_SIZE)?;
        let pid = memory.read(pid)?;
        // "EINVAL: The options argument is not valid." - waitpid(3p)
        flags::known(flags, 0b11)?;
        flags::boolean(pid.tag.into())?;
        // "ECHILD: The calling process has no existing unwaited-for child processes."
        // - waitpid(3p)
        Err(Errno::ECHILD.into())
    }

    fn proc_join_v1(
        &mut self,
        memory: &mut GuestMemory<'_>,
        pid: GuestPtr<u32>,
        exit_code: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, exit_code)?;
        memory.read(pid)?;
        Err(Errno::ECHILD.into())
    }

    fn stack_checkpoint(
        &mut self,
        memory: &mut GuestMemory<'_>,
        snapshot: GuestPtr<types::StackSnapshot>,
    ) -> Result<u64, Error> {
        // The C library traps where this fails, and most programs that prepare for a
        // jump never make it: the jump fails instead.
        memory.write(snapshot, types::StackSnapshot { user: 0, hash_low: 0, hash_high: 0 })?;
        Ok(0)
    }

    fn stack_restore(
        &mut self,
        _: &mut GuestMemory<'_>,
        _snapshot: GuestPtr<types::StackSnapshot>,
        _value: u64,
    ) -> wiggle::error::Error {
        Trap::new(
            "the guest jumped to a place further up its stack (longjmp): the host has no way to do that",
        )
        .into()
    }

    fn proc_id(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        Ok(MAIN)
    }

    fn proc_parent(&mut self, _: &mut GuestMemory<'_>, pid: u32) -> Result<u32, Error> {
        // "ESRCH: No process can be found" - kill(3p). The guest's parent is the host: 0.
        if pid == MAIN { Ok(0) } else { Err(Errno::ESRCH.into()) }
    }
}

/// The result of a call that does not return: "failure ends the process with the errno"
/// is what the reference host does.
fn not_replaced() -> wiggle::error::Error {
    Exit(u16::from(types::Errno::from(Errno::ENOTSUP)).into()).into()
}
