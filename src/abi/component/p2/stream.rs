//! `wasi:io/streams` and `wasi:io/error`: the streams of sockets here, all others by `wasmtime_wasi_io`.
//!
//! Nothing is buffered but what the kernel does not take: see [`Connection`].

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi_io::bindings::wasi::io::{error as other_errors, streams as others};
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, StreamError, StreamResult};

use super::foreign;
use super::io::{error, streams};
use super::source::Source;
use crate::abi::component::View;
use crate::abi::component::connection::{Connection, PIECE};
use crate::abi::component::descriptor::GuestSocket;
use crate::ready::take_turn;

/// How many bytes a blocking write may have: "Perform a write of up to 4096 bytes" - wasi:io/streams
const MAX_BLOCKING_WRITE: usize = 4096;

/// What a guest reads by: an entry of the table, whose socket is open for as long.
struct Input {
    socket: Arc<GuestSocket>,
    connection: Arc<Connection>,
}

/// What a guest writes by.
struct Output {
    socket: Arc<GuestSocket>,
    connection: Arc<Connection>,
}

fn input<'a>(
    table: &'a ResourceTable,
    stream: &Resource<DynInputStream>,
) -> Result<Option<&'a Input>, ResourceTableError> {
    own(table, stream.rep())
}

fn output<'a>(
    table: &'a ResourceTable,
    stream: &Resource<DynOutputStream>,
) -> Result<Option<&'a Output>, ResourceTableError> {
    own(table, stream.rep())
}

/// The entry, where it is one of wasock's own.
fn own<T: 'static>(table: &ResourceTable, rep: u32) -> Result<Option<&T>, ResourceTableError> {
    match table.get(&Resource::<T>::new_borrow(rep)) {
        Ok(entry) => Ok(Some(entry)),
        Err(ResourceTableError::WrongType) => Ok(None),
        Err(error) => Err(error),
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl View<'_> {
    /// The streams of a connection.
    ///
    /// # Errors
    ///
    /// A trap where the table is full.
    pub(super) fn streams_of(
        &mut self,
        socket: &Arc<GuestSocket>,
        connection: &Arc<Connection>,
    ) -> Result<(Resource<DynInputStream>, Resource<DynOutputStream>), ResourceTableError> {
        let (socket, connection) = (|| Arc::clone(socket), || Arc::clone(connection));
        if !self.serves_io {
            let input = foreign::Input { socket: socket(), connection: connection() };
            let output = foreign::Output { socket: socket(), connection: connection() };
            let input: DynInputStream = Box::new(input);
            let output: DynOutputStream = Box::new(output);
            return Ok((self.table.push(input)?, self.table.push(output)?));
        }
        let input = self.table.push(Input { socket: socket(), connection: connection() })?;
        let output = self.table.push(Output { socket: socket(), connection: connection() })?;
        Ok((Resource::new_own(input.rep()), Resource::new_own(output.rep())))
    }

    /// Waits for `connection`, which `source` makes a source of.
    async fn wait_for(
        &mut self,
        connection: &Arc<Connection>,
        source: fn(Arc<Connection>) -> Source,
    ) -> StreamResult<()> {
        let source = source(Arc::clone(connection));
        let waited = self.state.waiting.wait(self.thread.process(), &[(0, &source)], None).await;
        waited.map(drop).map_err(|errno| StreamError::Trap(errno.into()))
    }

    fn read_own(&mut self, socket: u32, connection: &Connection, bytes: u64) -> StreamResult<Vec<u8>> {
        self.traced(
            "input-stream.read",
            |_| format!("fd={socket}, len={bytes}"),
            |view| {
                let read = connection.read_by(&mut view.state.reading, length(bytes))?;
                view.note("bytes", read.len());
                Ok(read)
            },
        )
    }

    /// Reads, and waits for something to read.
    async fn read_blocking(
        &mut self,
        name: &'static str,
        fd: u32,
        connection: &Arc<Connection>,
        bytes: u64,
    ) -> StreamResult<Vec<u8>> {
        take_turn().await;
        let line = self.begin(name, |_| format!("fd={fd}, len={bytes}"));
        let read = loop {
            match connection.read_by(&mut self.state.reading, length(bytes)) {
                Ok(read) if read.is_empty() && bytes > 0 => {}
                read => break read.map_err(StreamError::from),
            }
            if let Err(error) = self.wait_for(connection, Source::Input).await {
                break Err(error);
            }
        };
        if let Ok(read) = &read {
            self.note("bytes", read.len());
        }
        self.end(line, &read);
        read
    }

    /// Waits until a write is permitted; tells how much.
    async fn permit(&mut self, connection: &Arc<Connection>) -> StreamResult<usize> {
        loop {
            match connection.check_write()? {
                0 => self.wait_for(connection, Source::Output).await?,
                permit => return Ok(permit),
            }
        }
    }

    /// Writes `bytes`, and waits until they are the kernel's.
    async fn write_out(
        &mut self,
        name: &'static str,
        fd: u32,
        connection: &Arc<Connection>,
        bytes: &[u8],
    ) -> StreamResult<()> {
        take_turn().await;
        let line = self.begin(name, |_| format!("fd={fd}, len={}", bytes.len()));
        let written = self.write_and_flush(connection, bytes).await;
        self.end(line, &written);
        written
    }

    async fn write_and_flush(&mut self, connection: &Arc<Connection>, bytes: &[u8]) -> StreamResult<()> {
        // One permit is more than one of these has.
        self.permit(connection).await?;
        connection.write(bytes)?;
        self.flush_out(connection).await
    }

    /// Waits until all that was written is the kernel's.
    async fn flush_out(&mut self, connection: &Arc<Connection>) -> StreamResult<()> {
        while let Some(remainder) = connection.remainder() {
            drop(remainder);
            self.wait_for(connection, Source::Output).await?;
        }
        Ok(connection.flush()?)
    }
}

/// As much as a blocking write may have.
///
/// # Errors
///
/// A trap for more.
fn check_blocking(bytes: usize) -> StreamResult<()> {
    if bytes > MAX_BLOCKING_WRITE {
        return Err(StreamError::trap("a blocking write of more than 4096 bytes"));
    }
    Ok(())
}

impl error::Host for View<'_> {}

impl error::HostError for View<'_> {
    fn to_debug_string(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<String> {
        other_errors::HostError::to_debug_string(self.table, error)
    }

    fn drop(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<()> {
        other_errors::HostError::drop(self.table, error)
    }
}

impl streams::Host for View<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(error) => {
                Ok(streams::StreamError::LastOperationFailed(self.table.push(error)?))
            }
            StreamError::Trap(trap) => Err(trap),
        }
    }
}

impl streams::HostInputStream for View<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, bytes: u64) -> StreamResult<Vec<u8>> {
        let Some(own) = input(self.table, &stream)? else {
            return others::HostInputStream::read(self.table, stream, bytes);
        };
        if self.trace.is_none() {
            return Ok(own.connection.read_by(&mut self.state.reading, length(bytes))?);
        }
        let (fd, connection) = (own.socket.fd(), Arc::clone(&own.connection));
        self.read_own(fd, &connection, bytes)
    }

    async fn blocking_read(&mut self, stream: Resource<DynInputStream>, bytes: u64) -> StreamResult<Vec<u8>> {
        let Some(own) = input(self.table, &stream)? else {
            return others::HostInputStream::blocking_read(self.table, stream, bytes).await;
        };
        let (fd, connection) = (own.socket.fd(), Arc::clone(&own.connection));
        self.read_blocking("input-stream.blocking-read", fd, &connection, bytes).await
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, bytes: u64) -> StreamResult<u64> {
        match input(self.table, &stream)? {
            Some(own) => Ok(count(own.connection.read(length(bytes))?.len())),
            None => others::HostInputStream::skip(self.table, stream, bytes),
        }
    }

    async fn blocking_skip(&mut self, stream: Resource<DynInputStream>, bytes: u64) -> StreamResult<u64> {
        let Some(own) = input(self.table, &stream)? else {
            return others::HostInputStream::blocking_skip(self.table, stream, bytes).await;
        };
        let (fd, connection) = (own.socket.fd(), Arc::clone(&own.connection));
        let read = self.read_blocking("input-stream.blocking-skip", fd, &connection, bytes).await?;
        Ok(count(read.len()))
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        match input(self.table, &stream)? {
            Some(own) => {
                let source = Source::Input(Arc::clone(&own.connection));
                self.subscribe(source)
            }
            None => others::HostInputStream::subscribe(self.table, stream),
        }
    }

    async fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        if input(self.table, &stream)?.is_some() {
            self.table.delete(Resource::<Input>::new_own(stream.rep()))?;
            return Ok(());
        }
        others::HostInputStream::drop(self.table, stream).await
    }
}

impl streams::HostOutputStream for View<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        match output(self.table, &stream)? {
            Some(own) => Ok(count(own.connection.check_write()?)),
            None => others::HostOutputStream::check_write(self.table, stream),
        }
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        let Some(own) = output(self.table, &stream)? else {
            return others::HostOutputStream::write(self.table, stream, bytes);
        };
        if self.trace.is_none() {
            return Ok(own.connection.write(&bytes)?);
        }
        let (fd, connection) = (own.socket.fd(), Arc::clone(&own.connection));
        self.traced(
            "output-stream.write",
            |_| format!("fd={fd}, len={}", bytes.len()),
            |_| Ok(connection.write(&bytes)?),
        )
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        let Some(own) = output(self.table, &stream)? else {
            return others::HostOutputStream::blocking_write_and_flush(self.table, stream, bytes).await;
        };
        check_blocking(bytes.len())?;
        let (fd, connection) = (own.socket.fd(), Arc::clone(&own.connection));
        self.write_out("output-stream.blocking-write-and-flush", fd, &connection, &bytes).await
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        match output(self.table, &stream)? {
            Some(own) => Ok(own.connection.flush()?),
            None => others::HostOutputStream::flush(self.table, stream),
        }
    }

    async fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        let Some(own) = output(self.table, &stream)? else {
            return others::HostOutputStream::blocking_flush(self.table, stream).await;
        };
        let connection = Arc::clone(&own.connection);
        take_turn().await;
        self.flush_out(&connection).await
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        match output(self.table, &stream)? {
            Some(own) => {
                let source = Source::Output(Arc::clone(&own.connection));
                self.subscribe(source)
            }
            None => others::HostOutputStream::subscribe(self.table, stream),
        }
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, bytes: u64) -> StreamResult<()> {
        match output(self.table, &stream)? {
            Some(own) => {
                // More than that is never permitted.
                let zeroes = vec![0; length(bytes).min(PIECE + 1)];
                Ok(own.connection.write(&zeroes)?)
            }
            None => others::HostOutputStream::write_zeroes(self.table, stream, bytes),
        }
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: u64,
    ) -> StreamResult<()> {
        let Some(own) = output(self.table, &stream)? else {
            return others::HostOutputStream::blocking_write_zeroes_and_flush(self.table, stream, bytes)
                .await;
        };
        check_blocking(length(bytes))?;
        let (fd, connection) = (own.socket.fd(), Arc::clone(&own.connection));
        let zeroes = vec![0; length(bytes)];
        self.write_out("output-stream.blocking-write-zeroes-and-flush", fd, &connection, &zeroes).await
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        bytes: u64,
    ) -> StreamResult<u64> {
        let permit = streams::HostOutputStream::check_write(self, borrow(&to))?.min(bytes);
        if permit == 0 {
            return Ok(0);
        }
        let read = streams::HostInputStream::read(self, from, permit)?;
        let spliced = count(read.len());
        if spliced > 0 {
            streams::HostOutputStream::write(self, to, read)?;
        }
        Ok(spliced)
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        bytes: u64,
    ) -> StreamResult<u64> {
        let permit = match output(self.table, &to)? {
            Some(own) => {
                let connection = Arc::clone(&own.connection);
                count(self.permit(&connection).await?)
            }
            None => count(self.table.get_mut(&to)?.write_ready().await?),
        };
        let read = streams::HostInputStream::blocking_read(self, from, permit.min(bytes)).await?;
        let spliced = count(read.len());
        if spliced > 0 {
            streams::HostOutputStream::write(self, borrow(&to), read)?;
            streams::HostOutputStream::blocking_flush(self, to).await?;
        }
        Ok(spliced)
    }

    async fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        if output(self.table, &stream)?.is_some() {
            self.table.delete(Resource::<Output>::new_own(stream.rep()))?;
            return Ok(());
        }
        others::HostOutputStream::drop(self.table, stream).await
    }
}

fn borrow<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}
