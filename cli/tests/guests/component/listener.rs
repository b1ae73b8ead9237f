//! A listener of a component, whichever version of WASI it has.

use anyhow::{Result, ensure};
use guest_tests::{Running, Wasock};
use std::net::SocketAddr;
use std::time::Duration;

pub(super) const PROFILES: [&str; 5] = ["wasix", "posix", "winsock", "bsd", "linux"];

/// Few enough to run out of, and enough to start with.
pub(super) const HOST_DESCRIPTORS: u32 = 48;

/// A listener that follows commands.
pub(super) struct Listener {
    pub(super) running: Running,
    pub(super) address: SocketAddr,
    told: usize,
}

impl Listener {
    /// The component `program`, with this backlog.
    pub(super) fn start(program: &str, host: Wasock, backlog: u32) -> Result<Self> {
        let host = host.with_stdin().args([program, "127.0.0.1:0", &backlog.to_string()]);
        let mut running = host.start()?;
        let address = running.listening()?;
        Ok(Self { running, address, told: 0 })
    }

    pub(super) fn begin(&mut self, line: &str) -> Result<()> {
        self.running.write_stdin(format!("{line}\n").as_bytes())
    }

    pub(super) fn answer(&mut self) -> Result<String> {
        let prefix = format!("answer {}: ", self.told);
        self.told += 1;
        Ok(self.running.wait_for_stdout(&prefix)?.trim_start_matches(&prefix).to_owned())
    }

    pub(super) fn tell(&mut self, line: &str) -> Result<String> {
        self.begin(line)?;
        self.answer()
    }

    pub(super) fn expect(&mut self, line: &str, expected: &str) -> Result<()> {
        let answer = self.tell(line)?;
        ensure!(answer == expected, "{line}: {answer}, not {expected}");
        Ok(())
    }

    pub(super) fn is_ready(&mut self, line: &str, ready: bool) -> Result<()> {
        let answer = self.tell(line)?;
        let expected = if ready { "1 ready" } else { "0 ready" };
        ensure!(answer.starts_with(expected), "{line}: {answer}, not {expected}");
        Ok(())
    }

    /// The host does nothing meanwhile.
    pub(super) fn rests(&self) -> Result<()> {
        let before = self.running.processor_time()?;
        std::thread::sleep(Duration::from_millis(500));
        let used = self.running.processor_time()? - before;
        ensure!(used < Duration::from_millis(150), "{used:?} of processor time in half a second");
        Ok(())
    }
}
