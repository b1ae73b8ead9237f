//! Arguments and environment.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::preview1_environment::Preview1Environment;
use crate::abi::call::Call;
use crate::abi::memory::write_bytes;
use crate::abi::transfer::count;
use crate::error::Error;

impl Preview1Environment for Call<'_> {
    fn args_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        argv: GuestPtr<GuestPtr<u8>>,
        argv_buf: GuestPtr<u8>,
    ) -> Result<(), Error> {
        let write = |arguments: &[&str]| write_strings(memory, arguments, argv, argv_buf);
        self.process().with_arguments(write)
    }

    fn args_sizes_get(&mut self, _: &mut GuestMemory<'_>) -> Result<(u32, u32), Error> {
        self.process().with_arguments(sizes)
    }

    fn environ_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        environ: GuestPtr<GuestPtr<u8>>,
        environ_buf: GuestPtr<u8>,
    ) -> Result<(), Error> {
        let write = |variables: &[&str]| write_strings(memory, variables, environ, environ_buf);
        self.process().with_environment(write)
    }

    fn environ_sizes_get(&mut self, _: &mut GuestMemory<'_>) -> Result<(u32, u32), Error> {
        self.process().with_environment(sizes)
    }
}

/// How many strings, and how many bytes with a NUL after each.
fn sizes(strings: &[&str]) -> Result<(u32, u32), Error> {
    let bytes = strings.iter().map(|string| string.len() + 1).sum();
    Ok((count(strings.len())?, count(bytes)?))
}

fn write_strings(
    memory: &mut GuestMemory<'_>,
    strings: &[&str],
    mut pointers: GuestPtr<GuestPtr<u8>>,
    mut buffer: GuestPtr<u8>,
) -> Result<(), Error> {
    for string in strings {
        memory.write(pointers, buffer)?;
        write_bytes(memory, buffer, string.as_bytes())?;
        buffer = buffer.add(count(string.len())?)?;
        memory.write(buffer, 0)?;
        buffer = buffer.add(1)?;
        pointers = pointers.add(1)?;
    }
    Ok(())
}
