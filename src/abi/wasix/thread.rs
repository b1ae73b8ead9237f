//! Threads, thread-local values, and futexes.

use std::time::Duration;

use wiggle::{GuestError, GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_thread::WasixThread;
use super::option::time;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::check_out_value;
use crate::error::{Errno, Error, Exit, ThreadExit};
use crate::io::sleep;
use crate::process::{EntryPoint, Woken};
use crate::ready::interruptible_by_all;

impl WasixThread for Call<'_> {
    fn thread_id(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        Ok(self.id())
    }

    fn thread_spawn(
        &mut self,
        memory: &mut GuestMemory<'_>,
        user_data: u64,
        _stack_base: u64,
        _stack_start: u64,
        reactor: u32,
        ret_tid: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_tid)?;
        // A thread that the host would call again and again (`_react`).
        if flags::boolean(reactor)? {
            return Err(Errno::ENOTSUP.into());
        }
        self.spawn(EntryPoint::Wasix1(user_data), |tid| Ok::<_, Error>(memory.write(ret_tid, tid)?))?;
        Ok(())
    }

    fn thread_spawn_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        args: u32,
        ret_tid: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_tid)?;
        self.spawn(EntryPoint::Wasi(args), |tid| Ok::<_, Error>(memory.write(ret_tid, tid)?))?;
        Ok(())
    }

    fn thread_join(&mut self, _: &mut GuestMemory<'_>, tid: u32) -> Result<(), Error> {
        let tid = self.tid_of(tid);
        if self.has_joined(tid)? {
            return Ok(());
        }
        Err(self.wait(move |call, _| Box::pin(async move { Ok(call.threads.join(tid).await?) })))
    }

    fn thread_exit(&mut self, _: &mut GuestMemory<'_>, _code: u32) -> wiggle::error::Error {
        // "the last thread": its end is that of the program.
        if self.threads.may_be_many() { ThreadExit.into() } else { Exit(0).into() }
    }

    fn thread_sleep(&mut self, _: &mut GuestMemory<'_>, duration: u64) -> Result<(), Error> {
        let duration = Duration::from_nanos(duration);
        Err(self.wait(move |_, _| Box::pin(async move { Ok(interruptible_by_all(sleep(duration)).await?) })))
    }

    fn thread_parallelism(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(u32::try_from(processors).unwrap_or(u32::MAX))
    }

    fn thread_local_create(&mut self, _: &mut GuestMemory<'_>, user_data: u64) -> Result<u32, Error> {
        Ok(self.local_create(user_data)?)
    }

    fn thread_local_destroy(&mut self, _: &mut GuestMemory<'_>, key: u32) -> Result<(), Error> {
        Ok(self.local_destroy(key)?)
    }

    fn thread_local_set(&mut self, _: &mut GuestMemory<'_>, key: u32, value: u64) -> Result<(), Error> {
        Ok(self.local_set(key, value)?)
    }

    fn thread_local_get(&mut self, _: &mut GuestMemory<'_>, key: u32) -> Result<u64, Error> {
        Ok(self.local_get(key)?)
    }

    fn futex_wait(
        &mut self,
        memory: &mut GuestMemory<'_>,
        futex: GuestPtr<u32>,
        expected: u32,
        timeout: GuestPtr<types::OptionTimestamp>,
        ret_woken: GuestPtr<u8>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_woken)?;
        let limit = time(memory.read(timeout)?)?;
        if word(memory, futex)? != expected {
            return Ok(memory.write(ret_woken, 1)?);
        }
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let look = || word(memory, futex);
                let woken = call.wait_for_word(futex.offset(), expected, limit, look).await?;
                Ok(memory.write(ret_woken, u8::from(woken == Woken::Yes))?)
            })
        }))
    }

    fn futex_wake(&mut self, memory: &mut GuestMemory<'_>, futex: GuestPtr<u32>) -> Result<u8, Error> {
        word(memory, futex)?;
        Ok(u8::from(self.wake_word(futex.offset(), 1) > 0))
    }

    fn futex_wake_all(&mut self, memory: &mut GuestMemory<'_>, futex: GuestPtr<u32>) -> Result<u8, Error> {
        word(memory, futex)?;
        Ok(u8::from(self.wake_word(futex.offset(), usize::MAX) > 0))
    }
}

/// The word at `futex`.
///
/// # Errors
///
/// `EINVAL` where it is not aligned, `EFAULT` where it is outside of the memory. Other
/// pointers trap: this one is a futex, which may be any address.
fn word(memory: &GuestMemory<'_>, futex: GuestPtr<u32>) -> Result<u32, Error> {
    memory.read(futex).map_err(|error| match error {
        // "EINVAL: ... the address is not four-byte-aligned" - futex(2)
        GuestError::PtrNotAligned(..) => Errno::EINVAL.into(),
        // "EFAULT: A required pointer argument ... did not point to a valid user-space
        // address." - futex(2)
        GuestError::PtrOutOfBounds(_) | GuestError::PtrOverflow => Errno::EFAULT.into(),
        other => other.into(),
    })
}
