//! The process: ending and numbers.

use wiggle::GuestMemory;

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
}
