//! Text files that the operator names: read without waiting for a writer, and not beyond a limit.
//!
//! They are read again at each reload, when anything may be in their place.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{Mode, OFlags};

/// The most bytes that such a file may have.
const LARGEST: u64 = 1 << 20;

/// Does this process serve already, so that what is read is for a reload?
static SERVES: AtomicBool = AtomicBool::new(false);

/// From now on no pipe is read: what a shell passed was read at the start, and nobody may ever write there again.
pub(crate) fn refuse_pipes() {
    SERVES.store(true, Relaxed);
}

/// Reads the file `path`: a regular one or, up to [`refuse_pipes`], a pipe that a shell passes as a file.
///
/// # Errors
///
/// Where it is no such file, has more than 1 MiB, or is no UTF-8; what the system reports.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let refused = |why: &str| Err(io::Error::new(ErrorKind::InvalidInput, why));
    // The opening of a pipe would wait for a writer, and reading from a few files of the kernel's for news.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file: File = rustix::fs::open(path, flags, Mode::empty())?.into();
    let kind = file.metadata()?.file_type();
    let is_passed = kind.is_fifo() && is_own_descriptor(path);
    if kind.is_dir() {
        return refused("it is a directory");
    }
    if is_passed && SERVES.load(Relaxed) {
        return refused("it is a pipe, which was read at the start and can't be read again");
    }
    if !kind.is_file() && !is_passed {
        return refused("it is no regular file");
    }
    if is_passed {
        // It has its writer since before this process began, or never.
        rustix::fs::fcntl_setfl(file.as_fd(), OFlags::empty())?;
    }
    let mut text = String::new();
    (&mut file).take(LARGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > LARGEST) {
        return refused("it is larger than 1 MiB");
    }
    Ok(text)
}

/// Does the path stand for a descriptor of this process?
fn is_own_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::FileType;

    fn refusal(path: &Path) -> String {
        read(path).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_no_regular_file_or_too_large_is_refused_at_once() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        assert!(refusal(&pipe).contains("no regular file"));
        assert!(refusal(Path::new("/dev/zero")).contains("no regular file"));
        assert!(refusal(folder.path()).contains("a directory"));
        let large = folder.path().join("large");
        File::create(&large)?.set_len(LARGEST)?;
        assert_eq!(read(&large)?.len(), 1 << 20);
        File::create(&large)?.set_len(1 << 40)?;
        assert!(refusal(&large).contains("larger than 1 MiB"));
        Ok(())
    }
}
