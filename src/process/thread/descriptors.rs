//! What the descriptors of a call stand for, and new ones.

use std::sync::Arc;

use super::Thread;
use crate::error::Errno;
use crate::fd::{Descriptor, Rights};
use crate::file::{Dir, File};
use crate::process::{Open, OpenFile};
use crate::socket::Socket;

/// The call of modules that receives datagrams, as the operator knows it.
pub(in crate::process) const RECEIVE: &str = "sock_recv_from";

/// A socket as a call sees it: the thing, and whether this descriptor waits.
pub struct SocketRef {
    /// Its number.
    pub fd: u32,
    /// The socket.
    pub socket: Arc<Socket>,
    /// Do calls on it wait?
    pub waits: bool,
    /// What the descriptor stands for, where the socket goes on when that ends: one from
    /// outside.
    pub inherited: Option<Arc<OpenFile>>,
}

impl Thread {
    /// The descriptor `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, also for a file that is open for the other direction; then `ENOTCAPABLE`.
    pub(crate) fn descriptor(&self, fd: u32, rights: Rights) -> Result<Descriptor<OpenFile>, Errno> {
        let descriptor = self.process.fds().get(fd)?.clone();
        descriptor.open.open.check_direction(rights)?;
        descriptor.rights.require(rights)?;
        Ok(descriptor)
    }

    /// The socket `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, then `ENOTSOCK`, then `ENOTCAPABLE` (docs/listen.md, rule 9).
    pub(crate) fn socket(&self, fd: u32, rights: Rights) -> Result<SocketRef, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        let socket = descriptor.open.open.socket()?;
        descriptor.rights.require(rights)?;
        let inherited = socket.outlives_guest().then(|| Arc::clone(&descriptor.open));
        Ok(SocketRef { fd, socket: Arc::clone(socket), waits: !descriptor.open.is_nonblocking(), inherited })
    }

    /// The open socket `fd`, for a call that needs `rights` and moves data.
    ///
    /// # Errors
    ///
    /// As for [`Thread::socket`].
    pub(crate) fn open_socket(&self, fd: u32, rights: Rights) -> Result<Arc<OpenFile>, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        descriptor.open.open.socket()?;
        descriptor.rights.require(rights)?;
        Ok(Arc::clone(&descriptor.open))
    }

    /// The regular file `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, also for one that is open for the other direction, then `EISDIR` or
    /// `ESPIPE`, then `ENOTCAPABLE`.
    pub(crate) fn file(&self, fd: u32, rights: Rights) -> Result<Arc<File>, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        descriptor.open.open.check_direction(rights)?;
        let file = descriptor.open.open.file()?;
        descriptor.rights.require(rights)?;
        Ok(Arc::clone(file))
    }

    /// The file or directory `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, then `EINVAL` for what lies in no file system, then `ENOTCAPABLE`.
    pub(crate) fn stored(&self, fd: u32, rights: Rights) -> Result<Arc<OpenFile>, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        if !matches!(descriptor.open.open, Open::File(_) | Open::Directory(_)) {
            // "EINVAL: The fildes argument refers to a file on which this operation is not
            // possible." - fsync(3p)
            return Err(Errno::EINVAL);
        }
        descriptor.rights.require(rights)?;
        Ok(Arc::clone(&descriptor.open))
    }

    /// The directory `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, then `ENOTDIR`, then `ENOTCAPABLE`.
    pub(crate) fn directory(&self, fd: u32, rights: Rights) -> Result<Arc<Dir>, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        let directory = descriptor.open.open.directory()?;
        descriptor.rights.require(rights)?;
        Ok(Arc::clone(&directory.dir))
    }

    /// Is the descriptor `fd` what is preopened as the root directory?
    pub(crate) fn is_root(&self, fd: u32) -> bool {
        let fds = self.process.fds();
        let directory = fds.get(fd).and_then(|descriptor| descriptor.open.open.directory());
        let name = directory.ok().and_then(|directory| directory.preopened_as.as_deref());
        name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c == '/'))
    }

    /// Opens `open` as a new descriptor.
    ///
    /// # Errors
    ///
    /// `EMFILE` where the guest's table is full.
    pub(crate) fn insert(
        &self,
        open: Arc<OpenFile>,
        rights: Rights,
        inheriting: Rights,
    ) -> Result<u32, Errno> {
        let fd = self.process.fds().insert(Descriptor { open, rights, inheriting, close_on_exec: false })?;
        self.process.note_change(fd);
        Ok(fd)
    }

    /// Opens a fresh socket as a new descriptor.
    ///
    /// # Errors
    ///
    /// `EMFILE` where the guest's table is full.
    pub(crate) fn insert_socket(&self, socket: Socket, nonblocking: bool) -> Result<u32, Errno> {
        self.insert_socket_as(RECEIVE, socket, nonblocking)
    }

    /// As [`insert_socket`](Self::insert_socket), where the operator knows the call that receives datagrams as `receive`.
    ///
    /// # Errors
    ///
    /// `EMFILE` where the guest's table is full.
    pub(crate) fn insert_socket_as(
        &self,
        receive: &'static str,
        socket: Socket,
        nonblocking: bool,
    ) -> Result<u32, Errno> {
        self.limit_buffers(&socket, true)?;
        self.process.service().guard(&socket, receive);
        let open = OpenFile::with_nonblocking(Open::Socket(Arc::new(socket)), nonblocking);
        self.insert(open, Rights::SOCKET, Rights::SOCKET)
    }
}
