//! Signals.

use std::time::Duration;

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::wasix_signal::WasixSignal;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{check_out, read_bytes, write_bytes};
use crate::abi::transfer::count;
use crate::error::{Errno, Error};
use crate::process::{Recipients, Signal, Thread};

/// The longest name of a callback, in bytes; a longer one is of no export.
const MAX_NAME: u32 = 1024;

/// What the C library calls the first thread as long as it does not know its number;
/// it means the whole process.
const UNKNOWN_TID: u32 = 0x3FFF_FFFF;

/// The disposition of an ignored signal; 0 is the default action.
const IGNORE: u8 = 1;

impl WasixSignal for Call<'_> {
    fn proc_signals_sizes_get(&mut self, _: &mut GuestMemory<'_>) -> Result<u32, Error> {
        count(self.ignored_signals().len())
    }

    fn proc_signals_get(&mut self, memory: &mut GuestMemory<'_>, buf: GuestPtr<u8>) -> Result<(), Error> {
        let ignored = self.ignored_signals();
        let bytes: Vec<u8> = ignored.into_iter().flat_map(|number| [number, IGNORE]).collect();
        check_out(memory, buf.offset(), count(bytes.len())?)?;
        write_bytes(memory, buf, &bytes)
    }

    fn callback_signal(&mut self, memory: &mut GuestMemory<'_>, name: GuestPtr<str>) {
        // What is no text is no export's name. Only a pointer that is none traps, and not
        // here: the call has no result.
        self.named_callback =
            Some(match read_bytes(memory, name.as_bytes(), MAX_NAME, Errno::ENAMETOOLONG) {
                Ok(bytes) => Ok(String::from_utf8(bytes).unwrap_or_default()),
                Err(Error::Errno(_) | Error::LookUp(_) | Error::Wait | Error::Ended(_) | Error::Replaced) => {
                    Ok(String::new())
                }
                Err(Error::Trap(trap)) => Err(trap),
            });
        self.pending_signals.ask();
    }

    fn thread_signal(&mut self, _: &mut GuestMemory<'_>, tid: u32, sig: u32) -> Result<(), Error> {
        let signals = self.process().signals();
        let Some(signal) = signals.numbering().signal(sig)? else { return Ok(()) };
        match tid {
            UNKNOWN_TID => signals.to_process(signal),
            // One that has ended is no error in the reference host, which the C library's
            // `pthread_kill` follows.
            _ => signals.to_thread(self.tid_of(tid), signal),
        }
        Ok(())
    }

    fn proc_signal(&mut self, _: &mut GuestMemory<'_>, pid: u32, sig: u32) -> Result<(), Error> {
        let process = self.process();
        let signal = process.signals().numbering().signal(sig)?;
        // A stranger is `ESRCH`, where the reference host returns success.
        Ok(process.family().signal(process.pid(), Recipients::of(pid), signal)?)
    }

    fn proc_raise_interval(
        &mut self,
        _: &mut GuestMemory<'_>,
        sig: u32,
        interval: u64,
        repeat: u32,
    ) -> Result<(), Error> {
        let repeats = flags::boolean(repeat)?;
        let signals = self.process().signals();
        // There is no timer without a signal.
        let signal = signals.numbering().signal(sig)?.ok_or(Errno::EINVAL)?;
        // Nanoseconds by its description, and from the C library's `setitimer`; the reference
        // host takes them for milliseconds.
        Ok(signals.set_alarm(signal, Duration::from_nanos(interval), repeats)?)
    }
}

impl Thread {
    /// The numbers of the signals that are ignored from the start on: those that the
    /// operator chose, and `SIGPIPE`. A C library that reads them does not take the default
    /// action then, which would end a server whose client hangs up.
    fn ignored_signals(&self) -> Vec<u8> {
        let numbering = self.process().signals().numbering();
        let number = |signal: Signal| u8::try_from(numbering.number(signal)?).ok();
        let chosen = self.process().signals().ignored();
        let others = chosen.filter(|signal| *signal != Signal::Pipe);
        others.chain([Signal::Pipe]).filter_map(number).collect()
    }
}
