//! Streams and pollables as `wasmtime_wasi_io` knows them, where that serves `wasi:io`.

use std::sync::Arc;

use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::bytes::Bytes;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamResult};

use super::poll::Waiting;
use super::source::{Source, Subscription};
use crate::abi::component::connection::Connection;
use crate::abi::component::descriptor::GuestSocket;
use crate::process::Process;

/// What is read of a connection.
pub(super) struct Input {
    pub(super) socket: Arc<GuestSocket>,
    pub(super) connection: Arc<Connection>,
}

/// What is written to a connection.
pub(super) struct Output {
    pub(super) socket: Arc<GuestSocket>,
    pub(super) connection: Arc<Connection>,
}

/// Waits until `source` is ready. That it can't wait is for the next call to report.
async fn ready(process: &Process, source: Source) {
    // Whether the host has a descriptor again is asked each time.
    let mut waiting = Waiting::default();
    waiting.is_short = true;
    let _told_by_the_next_call = waiting.wait(process, &[(0, &source)], None).await;
}

#[async_trait]
impl Pollable for Subscription {
    async fn ready(&mut self) {
        ready(&self.process, self.source.clone()).await;
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        ready(self.socket.process(), Source::Input(Arc::clone(&self.connection))).await;
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        Ok(self.connection.read(size)?.into())
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        loop {
            self.ready().await;
            let bytes = self.read(size)?;
            if !bytes.is_empty() || size == 0 {
                return Ok(bytes);
            }
        }
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        ready(self.socket.process(), Source::Output(Arc::clone(&self.connection))).await;
    }
}

#[async_trait]
impl OutputStream for Output {
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.connection.check_write()?)
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Ok(self.connection.write(&bytes)?)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(self.connection.flush()?)
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        loop {
            self.ready().await;
            let permit = self.check_write()?;
            if permit > 0 {
                return Ok(permit);
            }
        }
    }
}
