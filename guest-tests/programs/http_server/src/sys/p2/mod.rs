//! The calls of `wasi:sockets` and `wasi:io`, for the peers of `benches/peers`.
//!
//! Readiness is a resource, a [`Pollable`], and a child of what it belongs to; a parent
//! that goes before its children is a trap. Hence the order of the fields here.

mod poll;

pub use poll::Poll;
/// There is one way to wait.
pub use poll::Poll as Epoll;

use super::BACKLOG;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::QuotaExceeded
}

pub struct Listener(Rc<Ends>);

impl Listener {
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let (family, addr) = match addr {
            SocketAddr::V4(addr) => {
                let address = addr.ip().octets().into();
                (
                    IpAddressFamily::Ipv4,
                    IpSocketAddress::Ipv4(Ipv4SocketAddress { port: addr.port(), address }),
                )
            }
            SocketAddr::V6(addr) => {
                let address = addr.ip().segments().into();
                let (port, flow_info, scope_id) = (addr.port(), addr.flowinfo(), addr.scope_id());
                let addr = Ipv6SocketAddress { port, flow_info, address, scope_id };
                (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(addr))
            }
        };
        let socket = create_tcp_socket(family).map_err(error)?;
        socket.set_listen_backlog_size(BACKLOG.into()).map_err(error)?;
        socket.start_bind(&instance_network(), addr).map_err(error)?;
        finished(&socket, TcpSocket::finish_bind)?;
        socket.start_listen().map_err(error)?;
        finished(&socket, TcpSocket::finish_listen)?;
        Ok(Self(Rc::new(Ends { streams: None, socket })))
    }

    /// There is no way to ask for `TCP_NODELAY`.
    pub fn accept(&self) -> io::Result<Stream> {
        let (socket, input, output) = self.0.socket.accept().map_err(error)?;
        Ok(Stream(Rc::new(Ends { streams: Some((input, output)), socket })))
    }
}

/// Waits until what was started is over.
fn finished(socket: &TcpSocket, finish: fn(&TcpSocket) -> Result<(), ErrorCode>) -> io::Result<()> {
    loop {
        match finish(socket) {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            outcome => return outcome.map_err(error),
        }
    }
}

pub struct Stream(Rc<Ends>);

impl Stream {
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = match self.0.input()?.read(buf.len() as u64) {
            Ok(bytes) => bytes,
            Err(StreamError::Closed) => return Ok(0),
            Err(StreamError::LastOperationFailed(_)) => return Err(io::ErrorKind::ConnectionReset.into()),
        };
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let output = self.0.output()?;
        let broken = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        let room = usize::try_from(output.check_write().map_err(broken)?).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = &buf[..buf.len().min(room)];
        output.write(bytes).map_err(broken)?;
        Ok(bytes.len())
    }

    /// Says that nothing more will be written.
    pub fn finish(&self) -> io::Result<()> {
        self.0.socket.shutdown(ShutdownType::Send).map_err(error)
    }
}

/// A socket, and what is read from and written to where it is connected.
pub struct Ends {
    streams: Option<(InputStream, OutputStream)>,
    socket: TcpSocket,
}

impl Ends {
    fn input(&self) -> io::Result<&InputStream> {
        self.streams.as_ref().map(|(input, _)| input).ok_or(io::ErrorKind::NotConnected.into())
    }

    fn output(&self) -> io::Result<&OutputStream> {
        self.streams.as_ref().map(|(_, output)| output).ok_or(io::ErrorKind::NotConnected.into())
    }

    /// What is ready when there is something to read or to accept.
    fn readable(&self) -> Pollable {
        self.input().map_or_else(|_| self.socket.subscribe(), InputStream::subscribe)
    }

    fn writable(&self) -> Pollable {
        self.output().map_or_else(|_| self.socket.subscribe(), OutputStream::subscribe)
    }
}

/// Something with ends.
pub trait Source {
    fn ends(&self) -> Rc<Ends>;
}

impl Source for Listener {
    fn ends(&self) -> Rc<Ends> {
        Rc::clone(&self.0)
    }
}

impl Source for Stream {
    fn ends(&self) -> Rc<Ends> {
        Rc::clone(&self.0)
    }
}

fn error(code: ErrorCode) -> io::Error {
    match code {
        ErrorCode::WouldBlock => io::ErrorKind::WouldBlock.into(),
        ErrorCode::NewSocketLimit => io::ErrorKind::QuotaExceeded.into(),
        code => io::Error::other(code.name()),
    }
}
