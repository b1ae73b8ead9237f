//! Ending, and giving way.

use wiggle::GuestMemory;

use super::bindings::preview1_process::Preview1Process;
use crate::error::{Errno, Error, Exit};
use crate::process::Thread;
use crate::ready::give_way;

impl Preview1Process for Thread {
    fn proc_exit(&mut self, _: &mut GuestMemory<'_>, code: u32) -> wiggle::error::Error {
        Exit(code).into()
    }

    fn proc_raise(&mut self, _: &mut GuestMemory<'_>, _sig: u32) -> Result<(), Error> {
        // There are no signals yet.
        Err(Errno::ENOTSUP.into())
    }

    async fn sched_yield(&mut self, _: &mut GuestMemory<'_>) -> Result<(), Error> {
        give_way().await;
        Ok(())
    }
}
