//! Ending, signals, and giving way.

use wiggle::GuestMemory;

use super::bindings::preview1_process::Preview1Process;
use crate::abi::call::Call;
use crate::error::{Error, Exit};

impl Preview1Process for Call<'_> {
    fn proc_exit(&mut self, _: &mut GuestMemory<'_>, code: u32) -> wiggle::error::Error {
        Exit(code).into()
    }

    fn proc_raise(&mut self, _: &mut GuestMemory<'_>, sig: u32) -> Result<(), Error> {
        let signals = self.process().signals();
        if let Some(signal) = signals.numbering().signal(sig)? {
            // "The effect of the raise() function shall be equivalent to calling:
            // pthread_kill(pthread_self(), sig)" - raise(3p)
            signals.to_thread(self.tid, signal);
        }
        Ok(())
    }

    fn sched_yield(&mut self, _: &mut GuestMemory<'_>) -> Result<(), Error> {
        if self.parks {
            std::thread::yield_now();
        } else {
            self.gives_way = true;
        }
        Ok(())
    }
}
