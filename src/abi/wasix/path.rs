//! Files by name, and the working directory.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::wasix_path::WasixPath;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{check_out, write_bytes};
use crate::abi::path::{self, OpenRequest};
use crate::abi::transfer::count;
use crate::error::{Errno, Error};

impl WasixPath for Call<'_> {
    fn path_open2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        dirflags: u32,
        path: GuestPtr<[u8]>,
        oflags: u32,
        rights: u64,
        _inheriting: u64,
        fdflags: u32,
        fdflagsext: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let close_on_exec = flags::known(fdflagsext, 1)? != 0;
        let request = OpenRequest { fd, lookup: dirflags, oflags, rights, fdflags, close_on_exec };
        path::open(self, memory, &request, path, ret_fd)
    }

    fn getcwd(
        &mut self,
        memory: &mut GuestMemory<'_>,
        path: GuestPtr<u8>,
        path_len: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let room = memory.read(path_len)?;
        check_out(memory, path.offset(), room)?;
        let mut directory = self.process().working_directory().clone().into_bytes();
        directory.push(0);
        let needed = count(directory.len())?;
        // The C library passes on a null pointer, with or without a size, and allocates
        // as much as is returned then.
        let is_question = path.offset() == 0;
        // "EINVAL: The size argument is 0." - getcwd(3p)
        if room == 0 && !is_question {
            return Err(Errno::EINVAL.into());
        }
        // "ERANGE: The size argument is greater than 0, but is smaller than the length
        // of the string +1" - getcwd(3p)
        if needed > room || is_question {
            memory.write(path_len, needed)?;
            return Err(Errno::ERANGE.into());
        }
        memory.write(path_len, needed - 1)?;
        write_bytes(memory, path, &directory)
    }

    fn chdir(&mut self, memory: &mut GuestMemory<'_>, path: GuestPtr<[u8]>) -> Result<(), Error> {
        let path = path::read(memory, path)?;
        Ok(self.process().change_directory(&path)?)
    }
}
