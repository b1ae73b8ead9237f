//! What programs on `wasi:sockets` share.

use std::net::{IpAddr, SocketAddr};

use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

/// An address as the interface has it.
pub fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port: address.port(),
            address: address.ip().octets().into(),
        }),
        SocketAddr::V6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port: address.port(),
            flow_info: address.flowinfo(),
            address: address.ip().segments().into(),
            scope_id: address.scope_id(),
        }),
    }
}

/// An address as the standard library has it.
pub fn from_wasi(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) }) => {
            (IpAddr::from([a, b, c, d]), port).into()
        }
        IpSocketAddress::Ipv6(Ipv6SocketAddress { port, address: (a, b, c, d, e, f, g, h), .. }) => {
            (IpAddr::from([a, b, c, d, e, f, g, h]), port).into()
        }
    }
}

/// The family of an address.
pub fn family(address: SocketAddr) -> IpAddressFamily {
    if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

/// A listener at `address`.
pub fn listen(address: SocketAddr) -> Result<TcpSocket, ErrorCode> {
    let socket = create_tcp_socket(family(address))?;
    socket.start_bind(&instance_network(), to_wasi(address))?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()?;
    Ok(socket)
}

/// The next connection of a listener; waits for it.
pub fn accept(listener: &TcpSocket) -> Result<(TcpSocket, InputStream, OutputStream), ErrorCode> {
    loop {
        match listener.accept() {
            Err(ErrorCode::WouldBlock) => listener.subscribe().block(),
            accepted => return accepted,
        }
    }
}

/// Reads what comes; empty at the end.
pub fn read(input: &InputStream) -> Result<Vec<u8>, StreamError> {
    match input.blocking_read(64 * 1024) {
        Err(StreamError::Closed) => Ok(Vec::new()),
        read => read,
    }
}

/// Writes all of `data`.
pub fn write_all(output: &OutputStream, data: &[u8]) -> Result<(), StreamError> {
    // "the maximum size of a single write is 4096 bytes" - wasi:io/streams, blocking-write-and-flush
    data.chunks(4096).try_for_each(|part| output.blocking_write_and_flush(part))
}

/// A code, by the name of the error number that has the same meaning.
pub fn errno(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AccessDenied => "EACCES",
        ErrorCode::AddressInUse => "EADDRINUSE",
        ErrorCode::AddressNotBindable => "EADDRNOTAVAIL",
        ErrorCode::ConnectionAborted => "ECONNABORTED",
        ErrorCode::ConnectionRefused => "ECONNREFUSED",
        ErrorCode::ConnectionReset => "ECONNRESET",
        ErrorCode::InvalidState => "EINVAL",
        ErrorCode::NewSocketLimit => "EMFILE",
        ErrorCode::WouldBlock => "EAGAIN",
        _ => code.name(),
    }
}

/// A socket that is bound to a port of the host's choice at 127.0.0.1.
pub fn bound() -> TcpSocket {
    bound_to(loopback(0)).expect("a port is free")
}

/// A socket that is bound to `address`.
pub fn bound_to(address: SocketAddr) -> Result<TcpSocket, ErrorCode> {
    let socket = create_tcp_socket(family(address))?;
    socket.start_bind(&instance_network(), to_wasi(address))?;
    socket.finish_bind()?;
    Ok(socket)
}

/// A socket without an address.
pub fn fresh() -> TcpSocket {
    create_tcp_socket(IpAddressFamily::Ipv4).expect("a socket")
}

/// A port of this machine.
pub fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Begins to listen, and does.
pub fn start(socket: &TcpSocket) -> Result<(), ErrorCode> {
    socket.start_listen()?;
    socket.finish_listen()
}

/// The address of a socket.
pub fn local(socket: &TcpSocket) -> SocketAddr {
    from_wasi(socket.local_address().expect("an address"))
}

/// A connection to `address`; waits for it.
pub fn connect(address: SocketAddr) -> Result<(TcpSocket, InputStream, OutputStream), ErrorCode> {
    let socket = create_tcp_socket(family(address))?;
    socket.start_connect(&instance_network(), to_wasi(address))?;
    loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            connected => return connected.map(|(input, output)| (socket, input, output)),
        }
    }
}

/// A listener, and both ends of a connection to it.
pub fn connected() -> (TcpSocket, Connection, Connection) {
    let listener = listen(loopback(0)).expect("a listener");
    let near = connect(local(&listener)).expect("a connection");
    let far = accept(&listener).expect("the other end");
    (listener, near, far)
}

/// A socket with its streams.
pub type Connection = (TcpSocket, InputStream, OutputStream);
