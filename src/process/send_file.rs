//! From a file, a pipe or a connection into a socket, a file or a pipe, past the guest's
//! memory.
//!
//! A file goes into a connection past the host's memory too: the kernel sends it by itself, where it can, and every
//! answer is that of a copy. The peer alone may see a difference: what the kernel sends are the pages of the file, and a
//! change of these shows in what it has not received yet, as natively. Everything else is copied, and so is what the
//! kernel does not take.
//!
//! A flowing source (all but a file) is peeked at first and taken only as far as it was
//! sent: a full socket costs no byte.

use std::io::IoSlice;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use super::{Open, OpenFile, Thread};
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::file::File;
use crate::ready::{self, TimeSlice};
use crate::socket::{Connected, Kind, RecvFlags, Socket};

/// The most that goes through the host's memory at a time.
const CHUNK: usize = 64 * 1024;

/// The least that the kernel is asked to send by itself: it has to make ready for that, and less is copied sooner
/// (docs/performance/path-of-a-byte.md).
const LEAST: u64 = 16 * 1024;

/// The most that the kernel is asked for at a time: a fraction of a millisecond, after which a call may have to end.
const PIECE: usize = 256 * 1024;

/// Where the bytes come from.
pub(crate) enum FileSource {
    /// A file, from an offset on: its own position is ignored, and unchanged.
    File(Arc<File>, u64),
    /// What comes by itself.
    Flowing(Arc<OpenFile>),
}

/// A file that the kernel may send over a connection by itself.
struct ByKernel<'a> {
    socket: &'a Socket,
    connected: &'a Connected,
    file: &'a File,
    offset: u64,
    /// How many bytes there are from `offset` on when the call begins. A kernel before 6.5 that is asked for more holds the
    /// last segment back for a while, as if more were to come. So what is added meanwhile is copied.
    length: u64,
}

/// How much was there, and how much of it was sent.
struct CopyStep {
    found: usize,
    sent: usize,
}

impl Thread {
    /// Sends `count` bytes of `source` to `out`, or as many as there are up to the end of
    /// `source`; returns how many. A socket that carries messages gets one.
    ///
    /// # Cancel safety
    ///
    /// What was sent before the future is dropped is sent; nothing else is lost.
    ///
    /// # Errors
    ///
    /// Where nothing was sent: `EMSGSIZE` for more than one message holds, and those of `out`
    /// and of `source`.
    pub(crate) async fn send_file(
        &self,
        out: &OpenFile,
        source: &FileSource,
        count: u64,
    ) -> Result<u64, Error> {
        let is_message = carries_messages(&out.open);
        // One byte more shows that there is too much for one message.
        let room = if is_message { CHUNK + 1 } else { CHUNK };
        let mut buffer = Vec::new();
        let mut by_kernel = self.by_kernel(out, source, count);
        let mut sent = 0_u64;
        let mut slice = TimeSlice::new();
        while sent < count {
            // What was sent before counts more than an interruption.
            if slice.step().await.is_err() && sent > 0 {
                break;
            }
            let step = match self.send_by_kernel(out, &mut by_kernel, sent, count - sent).await {
                Some(step) => step,
                None => {
                    let most = usize::try_from(count - sent).unwrap_or(room).min(room);
                    if buffer.is_empty() {
                        // Less is left each time.
                        buffer = vec![0; most];
                    }
                    let chunk = buffer.get_mut(..most).unwrap_or_default();
                    match source {
                        FileSource::File(file, offset) => {
                            self.send_of_file(out, file, *offset, sent, chunk).await
                        }
                        FileSource::Flowing(from) => self.send_of_flow(out, from, chunk).await,
                    }
                }
            };
            match step {
                Ok(CopyStep { found, sent: now }) => {
                    sent += u64::try_from(now).map_err(|_| Errno::EOVERFLOW)?;
                    // The end, or a full buffer.
                    if found == 0 || now < found || is_message {
                        break;
                    }
                }
                // What was sent before counts more than what went wrong after.
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Where the bytes go: "Since Linux 2.6.33 it can be any file." - sendfile(2), out_fd
    ///
    /// # Errors
    ///
    /// `EBADF` for what is not written to, `EINVAL` for a file whose writes go to its end,
    /// `ENOTCAPABLE`.
    pub(crate) fn send_target(&self, fd: u32) -> Result<Arc<OpenFile>, Errno> {
        let fds = self.process().fds();
        let descriptor = fds.get(fd)?;
        let open = &descriptor.open.open;
        open.check_direction(Rights::FD_WRITE)?;
        let needed = match open {
            Open::Socket(_) => Rights::SOCK_SEND,
            // "EINVAL: out_fd has the O_APPEND flag set." - sendfile(2)
            Open::File(file) if file.flags().append => return Err(Errno::EINVAL),
            Open::File(_) | Open::Output(_) | Open::Pipe(_) | Open::Device(_) => Rights::FD_WRITE,
            // "EBADF: ... the output file was not opened for writing." - sendfile(2)
            Open::Directory(_) | Open::Devices { .. } | Open::Input(_) => return Err(Errno::EBADF),
            // "EINVAL: Descriptor is not valid or locked"
            Open::Event(_) | Open::Epoll(_) => return Err(Errno::EINVAL),
        };
        descriptor.rights.require(needed)?;
        Ok(Arc::clone(&descriptor.open))
    }

    /// Where the bytes come from.
    ///
    /// # Errors
    ///
    /// `EBADF`, `EISDIR` for a directory, `EINVAL` for what is neither a file nor flows, `ESPIPE`
    /// for what flows with an offset, `ENOTCAPABLE`.
    pub(crate) fn send_source(&self, fd: u32, offset: u64) -> Result<FileSource, Errno> {
        let fds = self.process().fds();
        let descriptor = fds.get(fd)?;
        descriptor.open.open.check_direction(Rights::FD_READ)?;
        let source = match &descriptor.open.open {
            Open::File(file) => FileSource::File(Arc::clone(file), offset),
            // "EISDIR: The fildes argument refers to a directory" - read(3p)
            Open::Directory(_) | Open::Devices { .. } => return Err(Errno::EISDIR),
            // "EBADF: The input file was not opened for reading" - sendfile(2)
            Open::Output(_) => return Err(Errno::EBADF),
            // "EINVAL: Descriptor is not valid ..., or an mmap(2)-like operation is not
            // available for in_fd" - sendfile(2): a message can't be taken in part.
            Open::Event(_) | Open::Epoll(_) | Open::Device(_) => return Err(Errno::EINVAL),
            Open::Socket(socket) if socket.kind() != Kind::Stream => return Err(Errno::EINVAL),
            Open::Socket(_) | Open::Pipe(_) | Open::Input(_) => {
                FileSource::Flowing(Arc::clone(&descriptor.open))
            }
        };
        descriptor.rights.require(Rights::FD_READ)?;
        match source {
            // "ESPIPE: offset is not NULL but the input file is not seekable." - sendfile(2)
            FileSource::Flowing(_) if offset > 0 => Err(Errno::ESPIPE),
            source => Ok(source),
        }
    }

    /// What the kernel may send by itself, where `count` bytes are asked for. It reads the file on the thread that asks.
    fn by_kernel<'a>(&self, out: &'a OpenFile, source: &'a FileSource, count: u64) -> Option<ByKernel<'a>> {
        let (Open::Socket(socket), FileSource::File(file, offset)) = (&out.open, source) else { return None };
        let Socket::Stream(stream) = socket.as_ref() else { return None };
        if count < LEAST || !self.blocks_on_files() {
            return None;
        }
        let connected = stream.takes_files()?;
        let length = file.length()?.checked_sub(*offset)?;
        (length >= LEAST).then_some(ByKernel { socket, connected, file, offset: *offset, length })
    }

    /// Has the kernel send what comes after the first `sent` bytes, `left` at most. `None` where it sent nothing, and they
    /// are to be copied: it is not asked again then.
    async fn send_by_kernel(
        &self,
        out: &OpenFile,
        by_kernel: &mut Option<ByKernel<'_>>,
        sent: u64,
        left: u64,
    ) -> Option<Result<CopyStep, Error>> {
        let ByKernel { socket, connected, file, offset, length } = by_kernel.as_ref()?;
        let asked = usize::try_from(length.saturating_sub(sent).min(left)).unwrap_or(PIECE).min(PIECE);
        if asked == 0 {
            // Whether it has grown meanwhile a read finds out.
            *by_kernel = None;
            return None;
        }
        let waits = !out.is_nonblocking();
        let send = async {
            let from = offset.checked_add(sent).ok_or(Errno::EOVERFLOW)?;
            Ok(self.note_sent(ready::send_file(socket, connected, waits, file.as_fd(), from, asked).await?))
        };
        match self.writing(out, send).await {
            // "EINVAL: ... an mmap(2)-like operation is not available for in_fd" - sendfile(2). The others are what the
            // kernel itself lacks for it, or the sandbox that the host is in.
            Err(Error::Errno(
                Errno::EINVAL | Errno::ENOMEM | Errno::ENOSYS | Errno::EOVERFLOW | Errno::EPERM,
            )) => {
                *by_kernel = None;
                None
            }
            // What does not wait ends with the first piece of which a part found room; what waits goes on after it.
            sent => Some(sent.map(|sent| CopyStep { found: if waits { sent } else { asked }, sent })),
        }
    }

    async fn send_of_file(
        &self,
        out: &OpenFile,
        file: &Arc<File>,
        offset: u64,
        sent: u64,
        chunk: &mut [u8],
    ) -> Result<CopyStep, Error> {
        let is_message = carries_messages(&out.open);
        let from = offset.checked_add(sent).ok_or(Errno::EOVERFLOW)?;
        let mut found = 0;
        loop {
            let at = from.checked_add(u64::try_from(found).map_err(|_| Errno::EOVERFLOW)?);
            let rest = chunk.get_mut(found..).unwrap_or_default();
            let read = self.read_file(file, Some(at.ok_or(Errno::EOVERFLOW)?), rest, false).await?;
            found += read;
            // A message goes whole, however often that makes the host read.
            if read == 0 || found >= chunk.len() || !is_message {
                break;
            }
        }
        self.send_found(out, chunk, found).await
    }

    async fn send_of_flow(
        &self,
        out: &OpenFile,
        from: &OpenFile,
        chunk: &mut [u8],
    ) -> Result<CopyStep, Error> {
        let found = self.look_ahead(from, chunk).await?;
        let step = self.send_found(out, chunk, found).await?;
        let mut taken = 0;
        while taken < step.sent {
            // It is there: the call does not wait.
            let sent = chunk.get_mut(taken..step.sent).unwrap_or_default();
            match self.read(from, sent, false, false).await? {
                // Another thread took it.
                0 => break,
                count => taken += count,
            }
        }
        Ok(step)
    }

    /// Sends the first `found` bytes of `chunk`. At the end nothing is sent, not even an
    /// empty message.
    async fn send_found(&self, out: &OpenFile, chunk: &[u8], found: usize) -> Result<CopyStep, Error> {
        if found == 0 {
            return Ok(CopyStep { found, sent: 0 });
        }
        if found > CHUNK {
            // "EMSGSIZE: The message is too large to be sent all at once" - send(3p)
            return Err(Errno::EMSGSIZE.into());
        }
        let data = IoSlice::new(chunk.get(..found).unwrap_or_default());
        Ok(CopyStep { found, sent: self.write(out, &mut [data], false).await? })
    }

    /// As [`read`](Self::read), and leaves there what it found.
    async fn look_ahead(&self, open: &OpenFile, buffer: &mut [u8]) -> Result<usize, Error> {
        let look = async {
            let waits = !open.is_nonblocking();
            match &open.open {
                Open::Pipe(end) => Ok(end.peek(waits, buffer).await?),
                Open::Input(input) => Ok(input.peek(waits, buffer).await?),
                _ => {
                    let flags = RecvFlags { peek: true, ..RecvFlags::default() };
                    Ok(self.receive(open, buffer, flags, false).await?.count)
                }
            }
        };
        if self.threads.are_many() { open.unless_closed(look).await } else { look.await }
    }
}

fn carries_messages(out: &Open) -> bool {
    out.socket().is_ok_and(|socket| socket.keeps_boundaries())
}
