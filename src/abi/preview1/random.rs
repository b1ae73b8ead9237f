//! Random bytes.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::preview1_random::Preview1Random;
use crate::abi::memory::{check_out, write_bytes};
use crate::abi::transfer::count;
use crate::error::Error;
use crate::process::Thread;

/// How many bytes are made at a time for a memory that can't be filled in place, whatever
/// length a guest asks for. Programs ask for a key, mostly.
const CHUNK: u32 = 256;

impl Preview1Random for Thread {
    fn random_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        buf: GuestPtr<u8>,
        buf_len: u32,
    ) -> Result<(), Error> {
        check_out(memory, buf.offset(), buf_len)?;
        if let Some(bytes) = memory.as_slice_mut(buf.as_array(buf_len))? {
            self.process().fill_random(bytes);
            return Ok(());
        }
        let mut bytes = [0; CHUNK as usize];
        let (mut at, mut left) = (buf, buf_len);
        while left > 0 {
            let length = left.min(CHUNK);
            let chunk = bytes.get_mut(..usize::try_from(length).unwrap_or_default()).unwrap_or_default();
            self.process().fill_random(chunk);
            write_bytes(memory, at, chunk)?;
            left -= count(chunk.len())?;
            if left > 0 {
                at = at.add(length)?;
            }
        }
        Ok(())
    }
}
