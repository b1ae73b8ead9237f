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
        let arguments = self.process().settings().arguments.iter().map(String::as_str);
        write_strings(memory, arguments, argv, argv_buf)
    }

    fn args_sizes_get(&mut self, _: &mut GuestMemory<'_>) -> Result<(u32, u32), Error> {
        sizes(self.process().settings().arguments.iter().map(String::as_str))
    }

    fn environ_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        environ: GuestPtr<GuestPtr<u8>>,
        environ_buf: GuestPtr<u8>,
    ) -> Result<(), Error> {
        write_strings(memory, self.process().environment(), environ, environ_buf)
    }

    fn environ_sizes_get(&mut self, _: &mut GuestMemory<'_>) -> Result<(u32, u32), Error> {
        sizes(self.process().environment())
    }
}

/// How many strings, and how many bytes with a NUL after each.
fn sizes<'a>(strings: impl Iterator<Item = &'a str> + Clone) -> Result<(u32, u32), Error> {
    let bytes = strings.clone().map(|string| string.len() + 1).sum();
    Ok((count(strings.count())?, count(bytes)?))
}

fn write_strings<'a>(
    memory: &mut GuestMemory<'_>,
    strings: impl Iterator<Item = &'a str>,
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
