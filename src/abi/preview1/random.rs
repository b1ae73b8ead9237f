//! Random bytes.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::preview1_random::Preview1Random;
use crate::abi::memory::{check_out, write_bytes};
use crate::abi::transfer::count;
use crate::error::Error;
use crate::process::Thread;

/// How many bytes are made at a time, whatever length a guest asks for.
const CHUNK: u32 = 4096;

impl Preview1Random for Thread {
    fn random_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        buf: GuestPtr<u8>,
        buf_len: u32,
    ) -> Result<(), Error> {
        check_out(memory, buf.offset(), buf_len)?;
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
