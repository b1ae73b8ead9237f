//! This process's own standard streams, for guests.
//!
//! The operating system may make a read or a write of them wait forever. So a thread of
//! [`start_thread`] does it, one for each stream at most, however many guests have the
//! stream; the process ends without it. Where the host can't start that thread, the call
//! fails with `EAGAIN`.
//!
//! What was read for a guest that has gone by then is kept for the next one that reads.

use std::io::{self, Error, ErrorKind};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno as Os, retry_on_intr};
use rustix::stdio::{stderr, stdin, stdout};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};

use crate::error::Errno;
use crate::io::start_thread;

/// How much is read ahead at most.
const READ: usize = 16 * 1024;

/// How much of a write goes to the thread at once.
const WRITE: usize = 64 * 1024;

/// How much a pipe takes without waiting once it is writable: "a process can ...
/// write n bytes, n <= PIPE_BUF" - pipe(7), where a page of 4096 is free.
const PIPE_ROOM: usize = 4096;

/// How long the thread for standard input waits to be asked again.
const STAY: Duration = Duration::from_secs(2);

static STDIN: Mutex<Ahead> = Mutex::new(Ahead { now: Reading::Idle, wakers: Vec::new(), has_thread: false });
static ASKED: Condvar = Condvar::new();
static STDOUT: Mutex<Behind> = Mutex::new(Behind { is_busy: false, failed: None, wakers: Vec::new() });
static STDERR: Mutex<Behind> = Mutex::new(Behind { is_busy: false, failed: None, wakers: Vec::new() });

/// Standard input of this process.
#[derive(Clone, Copy, Debug)]
pub struct HostStdin;

/// What was read from standard input, or is about to be.
struct Ahead {
    now: Reading,
    wakers: Vec<Waker>,
    has_thread: bool,
}

#[derive(PartialEq, Eq)]
enum Reading {
    Idle,
    /// The thread reads, or is about to.
    Busy,
    /// Read, and not taken yet from this index on. Nothing at all is the end.
    Done(Vec<u8>, usize),
    Failed(Os),
}

impl IsTerminal for HostStdin {
    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&stdin())
    }
}

impl StdinStream for HostStdin {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Self)
    }
}

impl AsyncRead for HostStdin {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ahead = locked(&STDIN);
        match std::mem::replace(&mut ahead.now, Reading::Idle) {
            Reading::Done(bytes, from) => {
                let rest = bytes.get(from..).unwrap_or_default();
                let count = rest.len().min(buffer.remaining());
                buffer.put_slice(rest.get(..count).unwrap_or_default());
                if count < rest.len() {
                    ahead.now = Reading::Done(bytes, from + count);
                }
                return Poll::Ready(Ok(()));
            }
            Reading::Failed(errno) => return Poll::Ready(Err(errno.into())),
            Reading::Busy => {}
            Reading::Idle if ahead.has_thread => ASKED.notify_all(),
            Reading::Idle => {
                start_thread("wasock-stdin".to_owned(), read_ahead).map_err(no_thread)?;
                ahead.has_thread = true;
            }
        }
        ahead.now = Reading::Busy;
        note(&mut ahead.wakers, context.waker());
        Poll::Pending
    }
}

/// Reads whenever it is asked to; ends where it is not for a while.
fn read_ahead() {
    let mut ahead = locked(&STDIN);
    loop {
        let is_unasked = |ahead: &mut Ahead| ahead.now != Reading::Busy;
        let waited = ASKED.wait_timeout_while(ahead, STAY, is_unasked);
        (ahead, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if ahead.now != Reading::Busy {
            ahead.has_thread = false;
            return;
        }
        drop(ahead);
        let now = read_piece();
        ahead = locked(&STDIN);
        ahead.now = now;
        let wakers = std::mem::take(&mut ahead.wakers);
        drop(ahead);
        wakers.into_iter().for_each(Waker::wake);
        ahead = locked(&STDIN);
    }
}

fn read_piece() -> Reading {
    let mut bytes = vec![0; READ];
    match read_some(&mut bytes) {
        Ok(count) => {
            bytes.truncate(count);
            Reading::Done(bytes, 0)
        }
        // As Rust's own streams: one that is closed is at its end.
        Err(Os::BADF) => Reading::Done(Vec::new(), 0),
        Err(errno) => Reading::Failed(errno),
    }
}

fn read_some(bytes: &mut [u8]) -> Result<usize, Os> {
    loop {
        match retry_on_intr(|| rustix::io::read(stdin(), &mut *bytes)) {
            Err(Os::AGAIN) => wait_for(stdin(), PollFlags::IN)?,
            done => return done,
        }
    }
}

/// Standard output of this process, or its standard error.
#[derive(Clone, Copy, Debug)]
pub struct HostOutput {
    is_error: bool,
    stops: bool,
    is_file: bool,
}

/// What is being written by a thread.
struct Behind {
    is_busy: bool,
    failed: Option<Error>,
    wakers: Vec<Waker>,
}

impl HostOutput {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::new(false)
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self::new(true)
    }

    fn new(is_error: bool) -> Self {
        let mut output = Self { is_error, stops: false, is_file: false };
        let kind = fstat(output.fd()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        output.is_file = kind == Ok(FileType::RegularFile);
        output
    }

    /// May a write block the thread that polls it? Then what fits is written without a
    /// thread switch, and a host without a spare thread writes the rest there too.
    #[must_use]
    pub fn stops(self, stops: bool) -> Self {
        Self { stops, ..self }
    }

    fn fd(self) -> BorrowedFd<'static> {
        if self.is_error { stderr() } else { stdout() }
    }

    fn behind(self) -> &'static Mutex<Behind> {
        if self.is_error { &STDERR } else { &STDOUT }
    }

    /// How much of a write fits now.
    fn room(self) -> usize {
        if self.is_file {
            return WRITE;
        }
        let mut asked = [PollFd::from_borrowed_fd(self.fd(), PollFlags::OUT)];
        let polled = poll(&mut asked, Some(&Timespec::default()));
        let has_room = polled.is_ok() && asked.iter().any(|it| !it.revents().is_empty());
        if has_room { PIPE_ROOM } else { 0 }
    }

    fn write_behind(self, data: &[u8]) {
        let written = write_all(self.fd(), data);
        let mut behind = locked(self.behind());
        behind.is_busy = false;
        behind.failed = written.err();
        let wakers = std::mem::take(&mut behind.wakers);
        drop(behind);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl IsTerminal for HostOutput {
    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&self.fd())
    }
}

impl StdoutStream for HostOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(*self)
    }
}

impl AsyncWrite for HostOutput {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut behind = locked(self.behind());
        if behind.is_busy {
            note(&mut behind.wakers, context.waker());
            return Poll::Pending;
        }
        if let Some(error) = behind.failed.take() {
            return Poll::Ready(Err(error));
        }
        let room = if self.stops { self.room().min(data.len()) } else { 0 };
        if let Some(fitting @ [_, ..]) = data.get(..room) {
            return Poll::Ready(write_some(self.fd(), fitting));
        }
        let piece = data.get(..WRITE).unwrap_or(data);
        let (output, copy) = (*self, piece.to_vec());
        match start_thread("wasock-stdout".to_owned(), move || output.write_behind(&copy)) {
            Ok(()) => behind.is_busy = true,
            Err(_) if self.stops => return Poll::Ready(write_some(self.fd(), piece)),
            Err(errno) => return Poll::Ready(Err(no_thread(errno))),
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut behind = locked(self.behind());
        if behind.is_busy {
            note(&mut behind.wakers, context.waker());
            return Poll::Pending;
        }
        Poll::Ready(behind.failed.take().map_or(Ok(()), Err))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

/// As Rust's own streams: one that is closed takes everything.
fn write_some(fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    loop {
        match retry_on_intr(|| rustix::io::write(fd, data)) {
            Err(Os::AGAIN) => wait_for(fd, PollFlags::OUT)?,
            Err(Os::BADF) => return Ok(data.len()),
            done => return Ok(done?),
        }
    }
}

fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match write_some(fd, data)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            count => data = data.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// For a stream that another process made nonblocking.
fn wait_for(fd: BorrowedFd<'_>, events: PollFlags) -> Result<(), Os> {
    retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(fd, events)], None)).map(drop)
}

fn no_thread(_: Errno) -> Error {
    ErrorKind::WouldBlock.into()
}

fn note(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

/// What is behind these locks is consistent whenever they are unlocked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
