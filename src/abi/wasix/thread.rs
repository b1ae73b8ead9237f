//! Threads, as a guest with one of them sees them.

use std::time::Duration;

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_thread::WasixThread;
use super::option::time;
use crate::error::Error;
use crate::process::{Thread, Woken};
use crate::ready::sleep;

/// The number of the main thread, which is also the process's.
pub(super) const MAIN: u32 = 1;

impl WasixThread for Thread {
    fn thread_id(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        Ok(MAIN)
    }

    async fn thread_sleep(&mut self, _: &mut GuestMemory<'_>, duration: u64) -> Result<(), Error> {
        sleep(Duration::from_nanos(duration)).await;
        Ok(())
    }

    fn thread_parallelism(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(u32::try_from(processors).unwrap_or(u32::MAX))
    }

    fn thread_local_create(&mut self, _: &mut GuestMemory<'_>, _user_data: u64) -> Result<u32, Error> {
        Ok(self.locals.create()?)
    }

    fn thread_local_destroy(&mut self, _: &mut GuestMemory<'_>, key: u32) -> Result<(), Error> {
        Ok(self.locals.destroy(key)?)
    }

    fn thread_local_set(&mut self, _: &mut GuestMemory<'_>, key: u32, value: u64) -> Result<(), Error> {
        Ok(self.locals.set(key, value)?)
    }

    fn thread_local_get(&mut self, _: &mut GuestMemory<'_>, key: u32) -> Result<u64, Error> {
        Ok(self.locals.get(key)?)
    }

    async fn futex_wait(
        &mut self,
        memory: &mut GuestMemory<'_>,
        futex: GuestPtr<u32>,
        expected: u32,
        timeout: GuestPtr<types::OptionTimestamp>,
    ) -> Result<u8, Error> {
        let value = memory.read(futex)?;
        let limit = time(memory.read(timeout)?)?;
        let woken = self.wait_for_word(value, expected, limit).await;
        Ok(u8::from(woken == Woken::Yes))
    }

    fn futex_wake(&mut self, memory: &mut GuestMemory<'_>, futex: GuestPtr<u32>) -> Result<u8, Error> {
        memory.read(futex)?;
        Ok(0)
    }

    fn futex_wake_all(&mut self, memory: &mut GuestMemory<'_>, futex: GuestPtr<u32>) -> Result<u8, Error> {
        memory.read(futex)?;
        Ok(0)
    }
}
