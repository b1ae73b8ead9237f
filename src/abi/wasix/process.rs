//! The process: ending, numbers, and signals, of which there are none yet.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::wasix_process::WasixProcess;
use crate::error::{Errno, Error, Exit};
use crate::process::{MAIN, Thread};

impl WasixProcess for Thread {
    fn proc_exit2(&mut self, _: &mut GuestMemory<'_>, code: u32) -> wiggle::error::Error {
        Exit(code).into()
    }

    fn proc_id(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        Ok(MAIN)
    }

    fn proc_parent(&mut self, _: &mut GuestMemory<'_>, pid: u32) -> Result<u32, Error> {
        // "ESRCH: No process can be found" - kill(3p). The guest's parent is the host: 0.
        if pid == MAIN { Ok(0) } else { Err(Errno::ESRCH.into()) }
    }

    fn proc_signals_sizes_get(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        // Every signal has its default disposition.
        Ok(0)
    }

    fn proc_signals_get(&mut self, _: &mut GuestMemory<'_>, _buf: GuestPtr<u8>) -> Result<(), Error> {
        Ok(())
    }

    fn callback_signal(&mut self, _: &mut GuestMemory<'_>, _name: GuestPtr<str>) {
        // Nothing is ever delivered: there is nothing to remember.
    }

    fn thread_signal(&mut self, _: &mut GuestMemory<'_>, _tid: u32, _sig: u32) -> Result<(), Error> {
        Err(Errno::ENOTSUP.into())
    }

    fn proc_signal(&mut self, _: &mut GuestMemory<'_>, _pid: u32, _sig: u32) -> Result<(), Error> {
        Err(Errno::ENOTSUP.into())
    }

    fn proc_raise_interval(
        &mut self,
        _: &mut GuestMemory<'_>,
        _sig: u32,
        _interval: u64,
        _repeat: u32,
    ) -> Result<(), Error> {
        Err(Errno::ENOTSUP.into())
    }
}
