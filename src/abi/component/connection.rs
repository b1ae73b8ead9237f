//! A connection: what its streams and their pollables share.
//!
//! A read takes from the kernel what is there. A write gives the kernel what it takes; what it does
//! not take is the host's to deliver, for WASI has a write take all that was permitted: that is a
//! [`Remainder`]. While there is one, nothing more is permitted. So no stream has a task
//! or a buffer of its own but where its peer is slower than the guest.

use std::io::IoSlice;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use super::remainder::Remainder;
use crate::error::Errno;
use crate::io::Events;
use crate::process::Process;
use crate::socket::{Connected, ShutdownHow, Socket};

/// How many bytes a write is permitted, and how many a read takes at most.
pub(super) const PIECE: usize = 64 * 1024;

/// Up to so many bytes are copied to memory of their own: that costs less than to take memory for as many as may come.
const FEW: usize = 4096;

/// What the reads of one guest keep between calls: a place for what comes, once something was read.
#[derive(Default)]
pub(crate) struct ReadBuffer(Vec<u8>);

/// A connection of the guest.
pub(crate) struct Connection {
    connected: Connected,
    /// What it is a connection of, for as long as a resource stands for that.
    socket: Weak<Socket>,
    process: Arc<Process>,
    /// Is nothing to be read any more: by the peer, by a shutdown or by an error?
    is_input_over: AtomicBool,
    /// Has the last read brought much?
    brings_much: AtomicBool,
    output: Mutex<Output>,
}

/// How writing stands.
struct Output {
    /// How many bytes the next write may have.
    permit: usize,
    state: OutputState,
    /// The last remainder, whatever has become of it and of the direction.
    last: Option<Arc<Remainder>>,
}

enum OutputState {
    Open,
    /// Bytes that were written are still to be delivered.
    Delivering(Arc<Remainder>),
    /// They could not be, and the guest does not know yet.
    Failed(Errno),
    Closed,
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// In order.
    Closed,
    /// By an error, which is reported once.
    Failed(Errno),
    /// The guest wrote more than it was permitted.
    NotPermitted,
}

impl Connection {
    pub(super) fn new(connected: Connected, socket: &Arc<Socket>, process: &Arc<Process>) -> Self {
        let output = Mutex::new(Output { permit: 0, state: OutputState::Open, last: None });
        let (socket, process) = (Arc::downgrade(socket), Arc::clone(process));
        let (is_input_over, brings_much) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { connected, socket, process, is_input_over, brings_much, output }
    }

    /// What it is to the kernel.
    pub(super) fn connected(&self) -> &Connected {
        &self.connected
    }

    /// Reads what is there, up to `length` bytes; nothing where nothing is there.
    ///
    /// # Errors
    ///
    /// The end, also for a read of nothing.
    pub(super) fn read(&self, length: usize) -> Result<Vec<u8>, StreamEnd> {
        self.read_as(length, |most| self.connected.try_recv_new(most))
    }

    /// As [`read`](Self::read), by way of `buffer` where not much is to be expected: most reads find less than they
    /// ask for, and many find nothing.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub(super) fn read_by(&self, buffer: &mut ReadBuffer, length: usize) -> Result<Vec<u8>, StreamEnd> {
        if self.brings_much.load(Relaxed) {
            let read = self.read(length)?;
            self.brings_much.store(read.len() > FEW, Relaxed);
            return Ok(read);
        }
        self.read_as(length, |most| {
            let buffer = &mut buffer.0;
            if buffer.len() < most {
                buffer.resize(most, 0);
            }
            let received = self.connected.try_recv(buffer.get_mut(..most).unwrap_or_default(), false)?;
            let bytes = buffer.get(..received.count.min(most)).unwrap_or_default();
            if bytes.len() > FEW {
                self.brings_much.store(true, Relaxed);
            }
            Ok(bytes.to_vec())
        })
    }

    /// Reads by `receive`, which has how many bytes there may be.
    fn read_as(
        &self,
        length: usize,
        mut receive: impl FnMut(usize) -> Result<Vec<u8>, Errno>,
    ) -> Result<Vec<u8>, StreamEnd> {
        if self.is_input_over() {
            return Err(StreamEnd::Closed);
        }
        if length == 0 {
            return Ok(Vec::new());
        }
        let attempt = || pending(receive(length.min(PIECE)));
        match self.connected.try_io(Events::READ, attempt) {
            Poll::Pending => Ok(Vec::new()),
            Poll::Ready(Ok(bytes)) if bytes.is_empty() => Err(self.end_input(StreamEnd::Closed)),
            Poll::Ready(Ok(bytes)) => {
                self.process.instance().usage().received(bytes.len());
                Ok(bytes)
            }
            Poll::Ready(Err(errno)) => Err(self.end_input(StreamEnd::Failed(errno))),
        }
    }

    fn end_input(&self, end: StreamEnd) -> StreamEnd {
        self.is_input_over.store(true, Relaxed);
        end
    }

    /// Is nothing to be read any more, so that a read says so at once?
    pub(super) fn is_input_over(&self) -> bool {
        self.is_input_over.load(Relaxed)
    }

    /// How many bytes the next write may have: none while a remainder is delivered.
    ///
    /// # Errors
    ///
    /// The end.
    pub(super) fn check_write(&self) -> Result<usize, StreamEnd> {
        let mut output = self.output();
        output.settle()?;
        output.permit = match output.state {
            OutputState::Delivering(_) => 0,
            _ => PIECE,
        };
        Ok(output.permit)
    }

    /// Writes all of `bytes`, which were permitted, now or later.
    ///
    /// # Errors
    ///
    /// The end.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), StreamEnd> {
        let mut output = self.output();
        output.settle()?;
        if bytes.len() > output.permit {
            return Err(StreamEnd::NotPermitted);
        }
        output.permit = 0;
        match self.send(bytes) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(sent) => {
                let rest = bytes.get(sent..).unwrap_or_default();
                match self.deliver(rest) {
                    Ok(remainder) => {
                        output.last = Some(Arc::clone(&remainder));
                        output.state = OutputState::Delivering(remainder);
                        Ok(())
                    }
                    Err(errno) => Err(output.fail(errno)),
                }
            }
            Err(errno) => Err(output.fail(errno)),
        }
    }

    fn deliver(&self, rest: &[u8]) -> Result<Arc<Remainder>, Errno> {
        let socket = self.socket.upgrade().ok_or(Errno::EBADF)?;
        Remainder::deliver(&self.connected, &socket, &self.process, rest)
    }

    /// Sends what the kernel takes at once; returns how much that was.
    fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let attempt = || pending(self.connected.try_send(&[IoSlice::new(rest)]));
            match self.connected.try_io(Events::WRITE, attempt) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => sent += count,
                // What was sent before counts more than what went wrong after: the next write learns of it.
                Poll::Ready(Err(errno)) if sent == 0 => return Err(errno),
                Poll::Ready(Err(_)) => break,
            }
        }
        self.process.instance().usage().sent(sent);
        Ok(sent)
    }

    /// Says whether what was written could be delivered so far.
    ///
    /// # Errors
    ///
    /// The end.
    pub(super) fn flush(&self) -> Result<(), StreamEnd> {
        self.output().settle()
    }

    /// What is still to be delivered.
    pub(super) fn remainder(&self) -> Option<Arc<Remainder>> {
        let mut output = self.output();
        if let OutputState::Delivering(remainder) = &output.state {
            let remainder = Arc::clone(remainder);
            if remainder.outcome().is_none() {
                return Some(remainder);
            }
            output.note_delivered(&remainder);
        }
        None
    }

    /// The last remainder that there was, where the direction has ended since too.
    pub(super) fn last_remainder(&self) -> Option<Arc<Remainder>> {
        self.output().last.take()
    }

    /// Does a write, or a check, report something at once: the end, or an error?
    pub(super) fn is_output_over(&self) -> bool {
        matches!(self.output().state, OutputState::Failed(_) | OutputState::Closed)
    }

    /// Ends one direction, or both. What was written before goes out first.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn shutdown(&self, how: ShutdownHow) -> Result<(), Errno> {
        if how != ShutdownHow::Write && !self.is_input_over.swap(true, Relaxed) {
            self.shutdown_now(ShutdownHow::Read)?;
        }
        if how == ShutdownHow::Read {
            return Ok(());
        }
        let mut output = self.output();
        let before = std::mem::replace(&mut output.state, OutputState::Closed);
        drop(output);
        match before {
            OutputState::Delivering(remainder) if remainder.then_end() => Ok(()),
            OutputState::Open | OutputState::Delivering(_) => self.shutdown_now(ShutdownHow::Write),
            OutputState::Failed(_) | OutputState::Closed => Ok(()),
        }
    }

    fn shutdown_now(&self, how: ShutdownHow) -> Result<(), Errno> {
        match self.connected.shutdown(how) {
            // "ENOTCONN: The socket is not connected." - shutdown(3p): the peer was faster.
            Err(Errno::ENOTCONN) => Ok(()),
            done => done,
        }
    }

    /// Ends both directions, for nobody has the socket any more.
    pub(super) fn end(&self) {
        // There is nobody to tell.
        let _gone = self.shutdown(ShutdownHow::Both);
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        // Whole whenever it is unlocked.
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    /// Takes in how delivering has ended, and tells how writing stands.
    fn settle(&mut self) -> Result<(), StreamEnd> {
        if let OutputState::Delivering(remainder) = &self.state {
            let remainder = Arc::clone(remainder);
            self.note_delivered(&remainder);
        }
        match self.state {
            OutputState::Open | OutputState::Delivering(_) => Ok(()),
            OutputState::Closed => Err(StreamEnd::Closed),
            OutputState::Failed(errno) => {
                self.state = OutputState::Closed;
                Err(StreamEnd::Failed(errno))
            }
        }
    }

    fn note_delivered(&mut self, remainder: &Remainder) {
        match remainder.outcome() {
            None => {}
            Some(Ok(())) => self.state = OutputState::Open,
            // The peer takes no more, or this side has ended.
            Some(Err(Errno::EPIPE)) => self.state = OutputState::Closed,
            Some(Err(errno)) => self.state = OutputState::Failed(errno),
        }
    }

    /// Notes that writing has failed, and returns what the call says of it.
    fn fail(&mut self, errno: Errno) -> StreamEnd {
        self.state = OutputState::Closed;
        if errno == Errno::EPIPE { StreamEnd::Closed } else { StreamEnd::Failed(errno) }
    }
}

/// `EAGAIN` as `Pending`.
fn pending<T>(done: Result<T, Errno>) -> Poll<Result<T, Errno>> {
    if matches!(done, Err(Errno::EAGAIN)) { Poll::Pending } else { Poll::Ready(done) }
}
