//! Standard streams, on whatever the embedder plugs in.

mod host;

use std::fmt;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader};
use wasmtime_wasi::cli::{StdinStream, StdoutStream};

use crate::error::Errno;
use crate::io::{Events, Pollable, Watchers, inside_a_runtime};
use crate::ready::{TimeSlice, interruptible};

pub use host::{HostOutput, HostStdin};

type Reader = Pin<Box<BufReader<Pin<Box<dyn AsyncRead + Send + Sync>>>>>;
type Writer = Pin<Box<dyn AsyncWrite + Send + Sync>>;

/// Standard input.
pub struct Input {
    source: Mutex<InputSource>,
    /// The waiters for it.
    watchers: Arc<Watchers>,
    terminal: bool,
}

struct InputSource {
    reader: Reader,
    /// What a poll has found instead of data. It is kept for the call that reads: a
    /// stream reports each end and each error once, and reads anew then.
    seen: Option<Result<(), Errno>>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

impl Input {
    /// An input that is at its end.
    pub fn closed() -> Self {
        Self::new(&tokio::io::empty())
    }

    /// The input that `stream` gives.
    pub fn new(stream: &dyn StdinStream) -> Self {
        let reader = Box::pin(BufReader::new(Box::into_pin(stream.async_stream())));
        let source = Mutex::new(InputSource { reader, seen: None });
        Self { source, watchers: Arc::default(), terminal: stream.is_terminal() }
    }

    /// Is it a terminal?
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Reads what is there, up to the length of `buffer`; 0 is the end. Waits where
    /// nothing is there, unless `waits` is false.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait and may not, and what the stream reports.
    pub async fn read(&self, waits: bool, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.look_or_take(waits, true, |data| take(data, buffer)).await
    }

    /// As [`read`](Self::read), and leaves what it found: less than there is, perhaps.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait and may not, and what the stream reports.
    pub async fn peek(&self, waits: bool, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.look_or_take(waits, false, |data| (0, take(data, buffer).1)).await
    }

    async fn look_or_take(
        &self,
        waits: bool,
        takes: bool,
        mut look: impl FnMut(&[u8]) -> (usize, usize),
    ) -> Result<usize, Errno> {
        let waker = Waker::from(Arc::clone(&self.watchers));
        let filled = poll_fn(|context| {
            if waits {
                self.watchers.add(context.waker());
            }
            match self.poll_fill(&mut Context::from_waker(&waker), takes, &mut look) {
                Poll::Pending if !waits => Poll::Ready(Err(Errno::EAGAIN)),
                other => other,
            }
        });
        interruptible(filled).await.flatten()
    }

    fn poll_fill<T>(
        &self,
        context: &mut Context<'_>,
        takes: bool,
        look: impl FnOnce(&[u8]) -> (usize, T),
    ) -> Poll<Result<T, Errno>> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let InputSource { reader, seen } = &mut *source;
        if seen.is_none() {
            let stream = reader.as_mut();
            match inside_a_runtime(move || stream.poll_fill_buf(context))? {
                Poll::Ready(Ok([])) => *seen = Some(Ok(())),
                Poll::Ready(Ok(data)) => {
                    let (taken, answer) = look(data);
                    reader.as_mut().consume(taken);
                    return Poll::Ready(Ok(answer));
                }
                Poll::Ready(Err(error)) => *seen = Some(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let found = if takes { seen.take() } else { *seen };
        Poll::Ready(found.unwrap_or(Ok(())).map(|()| look(&[]).1))
    }
}

fn take(data: &[u8], buffer: &mut [u8]) -> (usize, usize) {
    let count = data.len().min(buffer.len());
    for (to, from) in buffer.iter_mut().zip(data) {
        *to = *from;
    }
    (count, count)
}

impl Pollable for Input {
    fn register(&self, _: Events, context: &mut Context<'_>) -> bool {
        self.watchers.add(context.waker());
        // The stream has one waker, which wakes all waiters.
        _ = self.look();
        false
    }

    fn look(&self) -> Events {
        let waker = Waker::from(Arc::clone(&self.watchers));
        let filled = self.poll_fill(&mut Context::from_waker(&waker), false, |data| (0, data.len()));
        match filled {
            Poll::Pending => Events::default(),
            // The end is something to read. A stream that fails is ready: the read reports
            // how.
            Poll::Ready(Ok(0)) => Events::IN.or(Events::HUP),
            Poll::Ready(_) => Events::IN,
        }
    }

    fn readable_bytes(&self) -> u64 {
        let waker = Waker::from(Arc::clone(&self.watchers));
        match self.poll_fill(&mut Context::from_waker(&waker), false, |data| (0, data.len())) {
            Poll::Ready(Ok(length)) => u64::try_from(length).unwrap_or(u64::MAX),
            _ => 0,
        }
    }
}

/// Standard output or standard error.
pub struct Output {
    writer: tokio::sync::Mutex<Writer>,
    terminal: bool,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

impl Output {
    /// An output that takes everything and discards it.
    pub fn discarding() -> Self {
        Self::new(&tokio::io::empty())
    }

    /// The output that `stream` takes.
    pub fn new(stream: &dyn StdoutStream) -> Self {
        let writer = Box::into_pin(stream.async_stream());
        Self { writer: tokio::sync::Mutex::new(writer), terminal: stream.is_terminal() }
    }

    /// Is it a terminal?
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes all of `data`, and sees it out.
    ///
    /// # Cancel safety
    ///
    /// A part may be written when the future is dropped.
    ///
    /// # Errors
    ///
    /// What the stream reports: `EPIPE` if there is no reader any more.
    pub async fn write(&self, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let mut writer = self.writer.lock().await;
        let mut total = 0;
        let mut time = TimeSlice::new();
        for slice in data {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let taken =
                    poll_fn(|context| match inside_a_runtime(|| writer.as_mut().poll_write(context, rest)) {
                        Ok(taken) => taken.map_err(Errno::from),
                        Err(errno) => Poll::Ready(Err(errno)),
                    });
                let count = match interruptible(taken).await {
                    Ok(taken) => taken?,
                    // "If write() is interrupted by a signal after it successfully writes some
                    // data, it shall return the number of bytes written." - write(3p)
                    Err(_) if total > 0 => return Ok(total),
                    Err(errno) => return Err(errno),
                };
                if count == 0 {
                    return Err(Errno::EPIPE);
                }
                total += count;
                rest = rest.get(count..).unwrap_or_default();
                // A stream that takes everything at once never blocks.
                if !rest.is_empty() && time.step().await.is_err() {
                    return Ok(total);
                }
            }
        }
        let seen_out = poll_fn(|context| match inside_a_runtime(|| writer.as_mut().poll_flush(context)) {
            Ok(seen_out) => seen_out.map_err(Errno::from),
            Err(errno) => Poll::Ready(Err(errno)),
        });
        // Interrupted or not, the stream has it.
        if let Ok(seen_out) = interruptible(seen_out).await {
            seen_out?;
        }
        Ok(total)
    }
}

impl Pollable for Output {
    fn register(&self, _: Events, _: &mut Context<'_>) -> bool {
        false
    }

    /// A write waits for itself to be seen out.
    fn look(&self) -> Events {
        Events::OUT
    }
}

#[cfg(test)]
#[path = "stdio/tests.rs"]
mod tests;
