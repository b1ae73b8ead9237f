//! Named pipes among a guest's files: waited for as sockets are.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::run;
use anyhow::Result;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use tempfile::TempDir;

/// How long anything may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// As preview 1 numbers it.
const EINTR: i32 = 27;

/// A folder with the named pipe `f`, and a writer of it.
fn pipe() -> Result<(TempDir, String, File)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("f");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Opened to read too, so that it does not block.
    let writer = OpenOptions::new().read(true).write(true).open(path)?;
    let granted = format!("{}::/pipe", folder.path().display());
    Ok((folder, granted, writer))
}

/// A signal ends the read of a pipe in which nothing is. One that comes before the read
/// does not, so there are more of them.
#[test]
pub(crate) fn fifo_read() -> Result<()> {
    let (_folder, granted, _writer) = pipe()?;
    let mut host = run().args(["--trace", "--dir", &granted, guest_tests::FIFO_READ]).start()?;
    host.wait_for_stderr("path_open")?;
    let deadline = Instant::now() + WAIT_TIMEOUT;
    while host.is_running()? && Instant::now() < deadline {
        host.signal(Signal::HUP)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    host.finish()?.expect_code(EINTR).map(drop)
}

#[test]
fn what_comes_into_a_named_pipe_is_read() -> Result<()> {
    let (_folder, granted, mut writer) = pipe()?;
    let mut host = run().args(["--trace", "--dir", &granted, guest_tests::FIFO_READ]).start()?;
    host.wait_for_stderr("path_open")?;
    writer.write_all(b"something")?;
    host.finish()?.expect_code(0)?.expect_stderr("fd_read").map(drop)
}
