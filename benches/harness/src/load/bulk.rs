//! As many bytes as go through one connection, one way.

use super::exchange::WAIT_TIMEOUT;
use super::{Measured, Options};
use anyhow::{Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;

/// What one call moves at most.
const CHUNK: usize = 64 * 1024;

pub(super) fn send(options: &Options) -> Result<Measured> {
    let mut stream = TcpStream::connect(options.address)?;
    stream.set_write_timeout(Some(WAIT_TIMEOUT))?;
    let chunk = vec![b'.'; CHUNK];
    move_bytes(options, || stream.write(&chunk))
}

pub(super) fn receive(options: &Options) -> Result<Measured> {
    let mut stream = TcpStream::connect(options.address)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let mut chunk = vec![0; CHUNK];
    move_bytes(options, || stream.read(&mut chunk))
}

fn move_bytes(options: &Options, mut call: impl FnMut() -> std::io::Result<usize>) -> Result<Measured> {
    let time = options.seconds()?;
    let mut measured = Measured::begin();
    while measured.begun.elapsed() < time {
        match call()? {
            0 => bail!("the server ended the connection"),
            count => measured.count += count as u64,
        }
    }
    Ok(measured)
}
