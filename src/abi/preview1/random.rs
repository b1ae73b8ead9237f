//! Random bytes.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::preview1_random::Preview1Random;
use crate::abi::call::Call;
use crate::abi::memory::{check_out, write_bytes};
use crate::error::Error;
use crate::process::Thread;
use crate::ready::TimeSlice;

/// How many bytes are made at a time for a memory that can't be filled in place, whatever
/// length a guest asks for. Programs ask for a key, mostly.
const CHUNK: u32 = 256;

/// How many bytes are generated between two readings of the clock: some ten microseconds.
const STEP: u32 = 16 * 1024;

impl Preview1Random for Call<'_> {
    fn random_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        buf: GuestPtr<u8>,
        buf_len: u32,
    ) -> Result<(), Error> {
        check_out(memory, buf.offset(), buf_len)?;
        // A key or a seed takes no time.
        if buf_len <= STEP {
            return self.fill(memory, buf, buf_len);
        }
        Err(self.wait(move |call, memory| Box::pin(call.fill_in_steps(memory, buf, buf_len))))
    }
}

impl Thread {
    /// Fills `left` bytes at `at`, and yields in between.
    ///
    /// # Errors
    ///
    /// Those of [`fill`](Self::fill); the reason where it is interrupted.
    async fn fill_in_steps(
        &self,
        memory: &mut GuestMemory<'_>,
        mut at: GuestPtr<u8>,
        mut left: u32,
    ) -> Result<(), Error> {
        let mut slice = TimeSlice::new();
        loop {
            let length = left.min(STEP);
            self.fill(memory, at, length)?;
            left -= length;
            if left == 0 {
                return Ok(());
            }
            at = at.add(length)?;
            // "EINTR: The call was interrupted by a signal handler" - getrandom(2), which for
            // no more than 256 bytes is never.
            slice.step().await?;
        }
    }

    /// Fills `length` bytes at `at`, without giving way.
    ///
    /// # Errors
    ///
    /// A trap where they are not all in the memory.
    fn fill(&self, memory: &mut GuestMemory<'_>, at: GuestPtr<u8>, length: u32) -> Result<(), Error> {
        if let Some(bytes) = memory.as_slice_mut(at.as_array(length))? {
            self.process().fill_random(bytes);
            return Ok(());
        }
        let mut bytes = [0; CHUNK as usize];
        let mut done = 0;
        while done < length {
            let count = (length - done).min(CHUNK);
            let chunk = bytes.get_mut(..usize::try_from(count).unwrap_or_default()).unwrap_or_default();
            self.process().fill_random(chunk);
            write_bytes(memory, at.add(done)?, chunk)?;
            done += count;
        }
        Ok(())
    }
}
