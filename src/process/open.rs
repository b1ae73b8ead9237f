//! What stands behind a descriptor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{Input, Output};
use crate::error::Errno;
use crate::file::{Dir, File};
use crate::socket::{Kind, Socket};

/// An open thing. Duplicates of a descriptor share it, the nonblocking flag
/// included.
///
/// "The status flags ... are shared" - dup(3p), open file description. The
/// reference WASIX host keeps the flag per descriptor.
#[derive(Debug)]
pub struct OpenFile {
    /// The thing itself.
    pub open: Open,
    nonblocking: AtomicBool,
}

/// The kinds of open things.
#[derive(Debug)]
pub enum Open {
    /// A socket.
    Socket(Arc<Socket>),
    /// A regular file.
    File(Arc<File>),
    /// A directory.
    Directory(Directory),
    /// Standard input.
    Input(Arc<Input>),
    /// Standard output, or standard error.
    Output(Arc<Output>),
}

/// An open directory.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The directory.
    pub dir: Arc<Dir>,
    /// The name that a preopened directory has for the guest; `None` for one that
    /// the guest opened.
    pub preopened_as: Option<String>,
}

impl OpenFile {
    /// A blocking open thing, ready to be shared.
    pub fn shared(open: Open) -> Arc<Self> {
        Self::with_nonblocking(open, false)
    }

    /// An open thing with its flag set, ready to be shared.
    pub fn with_nonblocking(open: Open, nonblocking: bool) -> Arc<Self> {
        Arc::new(Self { open, nonblocking: AtomicBool::new(nonblocking) })
    }

    /// Do calls on it answer `EAGAIN` instead of waiting?
    pub fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Relaxed)
    }

    /// Chooses whether calls on it wait.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Relaxed);
    }
}

impl Drop for OpenFile {
    /// The last descriptor is closed. A call of another thread may have hold of the
    /// socket still.
    fn drop(&mut self) {
        if let Open::Socket(socket) = &self.open
            && Arc::strong_count(socket) > 1
        {
            socket.close();
        }
    }
}

impl Open {
    /// # Errors
    ///
    /// `ENOTSOCK` for everything else.
    pub fn socket(&self) -> Result<&Arc<Socket>, Errno> {
        match self {
            Self::Socket(socket) => Ok(socket),
            // "ENOTSOCK: The socket argument does not refer to a socket." - listen(3p)
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// # Errors
    ///
    /// `EISDIR` for a directory, `ESPIPE` for what has no position.
    pub fn file(&self) -> Result<&Arc<File>, Errno> {
        match self {
            Self::File(file) => Ok(file),
            Self::Directory(_) => Err(Errno::EISDIR),
            // "ESPIPE: The fildes argument is associated with a pipe, FIFO, or socket."
            // - lseek(3p)
            _ => Err(Errno::ESPIPE),
        }
    }

    /// # Errors
    ///
    /// `ENOTDIR` for everything else.
    pub fn directory(&self) -> Result<&Directory, Errno> {
        match self {
            Self::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Is it a datagram socket?
    pub fn is_datagram(&self) -> bool {
        matches!(self, Self::Socket(socket) if socket.kind() == Kind::Datagram)
    }
}
