//! A directory of its own for each test, removed at its end.

use super::{Access, Dir, File, OpenOptions, Opened};
use crate::error::Errno;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) type TestResult = Result<(), Box<dyn std::error::Error>>;

/// `<temporary>/outer/granted`: `granted` is what a test grants, so that a path
/// that leaves it lands in `outer`, where a file `secret` waits.
pub(super) struct Scratch {
    outer: PathBuf,
    granted: PathBuf,
}

impl Scratch {
    pub(super) fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wasock-file-{}-{number}", std::process::id());
        let outer = std::env::temp_dir().join(name);
        let granted = outer.join("granted");
        std::fs::create_dir_all(&granted)?;
        std::fs::write(outer.join("secret"), "secret")?;
        Ok(Self { outer, granted })
    }

    pub(super) fn root(&self) -> &Path {
        &self.granted
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.granted.join(name)
    }

    pub(super) fn dir(&self) -> io::Result<Dir> {
        Dir::open_ambient(&self.granted, Access::ReadWrite)
    }

    pub(super) fn read_only(&self) -> io::Result<Dir> {
        Dir::open_ambient(&self.granted, Access::ReadOnly)
    }

    /// Makes a file with this content and opens it.
    pub(super) fn file(&self, content: &str, options: OpenOptions) -> Result<File, Errno> {
        std::fs::write(self.path("file"), content)?;
        open_file(&self.dir()?, "file", options)
    }

    pub(super) fn fifo(&self, name: &str) -> Result<(), Errno> {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(mknodat(CWD, self.path(name), FileType::Fifo, mode, 0)?)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that fails to clean up has not failed in what it tests.
        let _ = std::fs::remove_dir_all(&self.outer);
    }
}

/// Opens what must not be a directory; a directory is `EISDIR`.
pub(super) fn open_file(dir: &Dir, path: &str, options: OpenOptions) -> Result<File, Errno> {
    match dir.open(path, &options)? {
        Opened::File(file) => Ok(file),
        Opened::Dir(_) => Err(Errno::EISDIR),
    }
}

/// The error of a call that must fail.
pub(super) fn errno<T: std::fmt::Debug>(result: Result<T, Errno>) -> Option<Errno> {
    result.err()
}

pub(super) const READ: OpenOptions = OpenOptions { read: true, ..NOTHING };
pub(super) const WRITE: OpenOptions = OpenOptions { write: true, ..NOTHING };
pub(super) const READ_WRITE: OpenOptions = OpenOptions { write: true, ..READ };
pub(super) const NOTHING: OpenOptions = OpenOptions {
    read: false,
    write: false,
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
    append: false,
    dsync: false,
    rsync: false,
    sync: false,
    nonblock: false,
    follow_symlinks: false,
};
