//! The container's standard input, as a program expects it.

use std::io;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::stdio::{dup2_stdin, stdin};

/// Has standard input end when nobody writes there any more. The container's crate opens the pipe for reading and for
/// writing, so that this process itself would be the last writer.
///
/// # Errors
///
/// What the system reports.
pub(crate) fn end_input_with_its_writers() -> io::Result<()> {
    if FileType::from_raw_mode(fstat(stdin())?.st_mode) != FileType::Fifo {
        return Ok(());
    }
    // By what is open: the name is in another namespace.
    let only_read = open("/proc/self/fd/0", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(dup2_stdin(only_read)?)
}
