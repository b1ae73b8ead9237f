//! The standard streams of a guest, as the streams of a component.

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::bytes::Bytes;

use crate::account::{Account, Charge};
use crate::error::Errno;
use crate::io::{Events, Pollable as _};
use crate::process::{Input, Output};

/// How much is read at once, or taken in to be written.
const CHUNK: usize = 64 * 1024;

/// Standard input.
pub(super) struct Stdin(pub(super) Arc<Input>);

/// Standard output, or standard error, and where the host's memory for it is charged.
pub(super) struct Stdout(pub(super) Arc<Output>, pub(super) Arc<Account>);

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl StdinStream for Stdin {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Reader(Arc::clone(&self.0)))
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Reader(Arc::clone(&self.0)))
    }
}

impl StdoutStream for Stdout {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer::new(&self.0, &self.1))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Writer::new(&self.0, &self.1))
    }
}

/// A stream of standard input. All of them take from the same.
struct Reader(Arc<Input>);

impl Reader {
    /// Reads what is there; `EAGAIN` where nothing is.
    fn read_now(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        at_once(self.0.read(false, buffer)).unwrap_or(Err(Errno::EAGAIN))
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.register(Events::IN, context);
        if self.0.look() == Events::default() { Poll::Pending } else { Poll::Ready(()) }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        poll_fn(|context| self.poll_readable(context)).await;
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = vec![0; size.min(CHUNK)];
        match self.read_now(&mut buffer) {
            Ok(0) => Err(StreamError::Closed),
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer.into())
            }
            Err(Errno::EAGAIN) => Ok(Bytes::new()),
            Err(errno) => Err(failed(errno)),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        loop {
            self.ready().await;
            let data = self.read(size)?;
            if size == 0 || !data.is_empty() {
                return Ok(data);
            }
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_readable(context));
            match self.read_now(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Another reader was faster.
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Poll::Ready(Err(io::Error::other(errno))),
            }
        }
    }
}

type Write = Pin<Box<dyn Future<Output = Result<usize, Errno>> + Send + Sync>>;

/// A stream of standard output. A guest may have many, and each may have a write of its own: no more than a
/// [`CHUNK`], and charged until it is done.
struct Writer {
    output: Arc<Output>,
    account: Arc<Account>,
    /// A write that has begun, and the charge of its bytes.
    writing: Option<(Write, Charge)>,
    /// What has become of one that nobody has asked about.
    failure: Option<Errno>,
}

impl Writer {
    fn new(output: &Arc<Output>, account: &Arc<Account>) -> Self {
        let (output, account) = (Arc::clone(output), Arc::clone(account));
        Self { output, account, writing: None, failure: None }
    }

    /// Begins to write `data`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the guest's host memory is used up; then nothing has begun.
    fn begin(&mut self, data: Bytes) -> Result<(), Errno> {
        let charge = self.account.charge(u64::try_from(data.len()).unwrap_or(u64::MAX))?;
        let output = Arc::clone(&self.output);
        let writing: Write = Box::pin(async move { output.write(&[io::IoSlice::new(&data)]).await });
        self.writing = Some((writing, charge));
        Ok(())
    }

    /// Goes on with the write that has begun; returns how much was written, where one has ended.
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<usize, Errno>>> {
        let Some((writing, _)) = &mut self.writing else { return Poll::Ready(None) };
        let written = ready!(writing.as_mut().poll(context));
        self.writing = None;
        Poll::Ready(Some(written))
    }

    /// Goes on with the write, and keeps its failure.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(Err(errno)) = ready!(self.poll_written(context)) {
            self.failure = Some(errno);
        }
        Poll::Ready(())
    }

    /// The failure of an earlier write, once.
    fn take_failure(&mut self) -> StreamResult<()> {
        self.failure.take().map_or(Ok(()), |errno| Err(failed(errno)))
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        poll_fn(|context| self.poll_idle(context)).await;
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn check_write(&mut self) -> StreamResult<usize> {
        let is_idle = self.poll_idle(&mut Context::from_waker(Waker::noop())).is_ready();
        self.take_failure()?;
        Ok(if is_idle { CHUNK } else { 0 })
    }

    /// "The contents length must be no more than the permit": a guest that does not keep to that would have the
    /// host hold as much as it likes.
    fn write(&mut self, data: Bytes) -> StreamResult<()> {
        let permit = if self.writing.is_some() { 0 } else { CHUNK };
        if data.len() > permit {
            return Err(StreamError::trap("a write to a standard stream of more than is permitted"));
        }
        if !data.is_empty() {
            self.begin(data).map_err(failed)?;
            _ = self.poll_idle(&mut Context::from_waker(Waker::noop()));
        }
        self.take_failure()
    }

    /// A write is seen out by itself: there is a permit again once that is done.
    fn flush(&mut self) -> StreamResult<()> {
        self.take_failure()
    }

    async fn blocking_write_and_flush(&mut self, data: Bytes) -> StreamResult<()> {
        self.ready().await;
        self.write(data)?;
        self.ready().await;
        self.take_failure()
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        self.ready().await;
        self.check_write()
    }

    async fn cancel(&mut self) {
        self.ready().await;
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.writing.is_none() {
            let part = data.get(..data.len().min(CHUNK)).unwrap_or_default();
            self.begin(Bytes::copy_from_slice(part)).map_err(io::Error::other)?;
        }
        let written = ready!(self.poll_written(context)).unwrap_or(Ok(0));
        Poll::Ready(written.map_err(io::Error::other))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_idle(context));
        Poll::Ready(self.failure.take().map_or(Ok(()), |errno| Err(io::Error::other(errno))))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

/// How a stream tells of a failure. One without a reader is closed.
fn failed(errno: Errno) -> StreamError {
    match errno {
        Errno::EPIPE => StreamError::Closed,
        errno => StreamError::LastOperationFailed(wasmtime::Error::new(errno)),
    }
}

/// What `future` comes to without a wait.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}
