//! Duplicates, and close-on-exec.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::wasix_fd::WasixFd;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::check_out_value;
use crate::error::{Errno, Error};
use crate::fd::{Descriptor, Rights};
use crate::observe::Closed;
use crate::process::Thread;

const CLOSE_ON_EXEC: u16 = 1;

impl WasixFd for Call<'_> {
    fn fd_dup(&mut self, memory: &mut GuestMemory<'_>, fd: u32, ret_fd: GuestPtr<u32>) -> Result<(), Error> {
        self.descriptor(fd, Rights::NONE)?;
        check_out_value(memory, ret_fd)?;
        // "The FD_CLOEXEC flag associated with the new file descriptor shall be cleared"
        // - dup(3p)
        let copy = self.duplicate(fd, 0, false)?;
        self.process().note_change(copy);
        Ok(memory.write(ret_fd, copy)?)
    }

    fn fd_dup2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        min_fd: u32,
        cloexec: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        self.descriptor(fd, Rights::NONE)?;
        check_out_value(memory, ret_fd)?;
        let copy = self.duplicate(fd, min_fd, flags::boolean(cloexec)?)?;
        self.process().note_change(copy);
        Ok(memory.write(ret_fd, copy)?)
    }

    /// Duplicates, as dup2 does: the C library's `dup2` is this call, and needs its
    /// source to stay open.
    fn fd_renumber(&mut self, _: &mut GuestMemory<'_>, fd: u32, to: u32) -> Result<(), Error> {
        let replaced = self.process().fds().duplicate_onto(fd, to)?;
        self.process().note_change(to);
        // What was there closes outside of the table's lock.
        if let Some(replaced) = replaced {
            self.process().close(to, replaced, Closed::Replaced);
        }
        Ok(())
    }

    fn fd_fdflags_get(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u16, Error> {
        let descriptor = self.descriptor(fd, Rights::NONE)?;
        Ok(if descriptor.close_on_exec { CLOSE_ON_EXEC } else { 0 })
    }

    fn fd_fdflags_set(&mut self, _: &mut GuestMemory<'_>, fd: u32, flags: u32) -> Result<(), Error> {
        let mut fds = self.process().fds();
        let descriptor = fds.get_mut(fd)?;
        descriptor.rights.require(Rights::FD_FDSTAT_SET_FLAGS)?;
        descriptor.close_on_exec = flags::known(flags, CLOSE_ON_EXEC)? != 0;
        Ok(())
    }
}

impl Thread {
    /// Makes a duplicate of `fd`, in one step: no other thread can close it in between.
    ///
    /// # Errors
    ///
    /// `EBADF`, and those of the table.
    fn duplicate(&self, fd: u32, minimum: u32, close_on_exec: bool) -> Result<u32, Errno> {
        let mut fds = self.process().fds();
        let descriptor = fds.get(fd)?.clone();
        fds.insert_from(minimum, Descriptor { close_on_exec, ..descriptor })
    }
}
