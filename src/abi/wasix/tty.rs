//! The terminal, as far as the standard streams are one.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_tty::WasixTty;
use crate::abi::call::Call;
use crate::error::{Errno, Error};
use crate::process::{Open, Thread};

/// The size that programs assume if it is unknown.
const COLUMNS: u32 = 80;
const ROWS: u32 = 25;

impl WasixTty for Call<'_> {
    fn tty_get(&mut self, memory: &mut GuestMemory<'_>, state: GuestPtr<types::Tty>) -> Result<(), Error> {
        let terminal = |fd| u8::from(self.is_terminal(fd));
        let tty = types::Tty {
            cols: COLUMNS,
            rows: ROWS,
            width: 0,
            height: 0,
            stdin_tty: terminal(0),
            stdout_tty: terminal(1),
            stderr_tty: terminal(2),
            echo: 1,
            line_buffered: 1,
            line_feeds: 1,
        };
        Ok(memory.write(state, tty)?)
    }

    fn tty_set(&mut self, memory: &mut GuestMemory<'_>, state: GuestPtr<types::Tty>) -> Result<(), Error> {
        memory.read(state)?;
        // The terminal is the operator's.
        Err(Errno::ENOTSUP.into())
    }
}

impl Thread {
    fn is_terminal(&self, fd: u32) -> bool {
        let fds = self.process().fds();
        fds.get(fd).is_ok_and(|descriptor| match &descriptor.open.open {
            Open::Input(input) => input.is_terminal(),
            Open::Output(output) => output.is_terminal(),
            _ => false,
        })
    }
}
