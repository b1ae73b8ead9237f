//! What programs on `wasi:sockets` 0.3 share.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures::future::{Either, select};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::sockets::types::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};
use wasip3::wit_stream;

/// A program: what it does is an async function.
#[macro_export]
macro_rules! program {
    ($run:path) => {
        struct Runs;

        impl wasip3::exports::cli::run::Guest for Runs {
            async fn run() -> Result<(), ()> {
                $run().await
            }
        }

        wasip3::cli::command::export!(Runs);

        /// Nobody calls it: a component of WASI 0.3 starts by its export.
        fn main() {}
    };
}

pub const MILLISECOND: u64 = 1_000_000;

/// How a stream that is done tells its end.
pub type Ended = FutureReader<Result<(), ErrorCode>>;

/// An argument.
pub fn argument(number: usize) -> Option<String> {
    wasip3::cli::environment::get_arguments().into_iter().nth(number)
}

/// An argument that is an address.
pub fn address(number: usize) -> SocketAddr {
    argument(number).expect("an address").parse().expect("an address")
}

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
        IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }) => {
            (ip(IpAddress::Ipv4(address)), port).into()
        }
        IpSocketAddress::Ipv6(Ipv6SocketAddress { port, address, .. }) => {
            (ip(IpAddress::Ipv6(address)), port).into()
        }
    }
}

/// The same without a port.
pub fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => [a, b, c, d].into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => [a, b, c, d, e, f, g, h].into(),
    }
}

/// The family of an address.
pub fn family(address: SocketAddr) -> IpAddressFamily {
    if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

/// A port of this machine.
pub fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A code, by the name of the error number that has the same meaning.
pub fn errno(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AccessDenied => "EACCES",
        ErrorCode::AddressInUse => "EADDRINUSE",
        ErrorCode::AddressNotBindable => "EADDRNOTAVAIL",
        ErrorCode::ConnectionAborted => "ECONNABORTED",
        ErrorCode::ConnectionBroken => "EPIPE",
        ErrorCode::ConnectionRefused => "ECONNREFUSED",
        ErrorCode::ConnectionReset => "ECONNRESET",
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::InvalidState => "EINVAL",
        ErrorCode::Other(Some(text)) if text == "too many open sockets" => "EMFILE",
        _ => "another",
    }
}

/// Is it this code? Codes have no comparison of their own.
pub fn is_code<T>(outcome: Result<T, ErrorCode>, expected: &str) -> bool {
    outcome.map(drop).map_err(errno) == Err(expected)
}

/// A socket without an address.
pub fn fresh() -> TcpSocket {
    TcpSocket::create(IpAddressFamily::Ipv4).expect("a socket")
}

/// A socket that is bound to `address`.
pub fn bound_to(address: SocketAddr) -> Result<TcpSocket, ErrorCode> {
    let socket = TcpSocket::create(family(address))?;
    socket.bind(to_wasi(address))?;
    Ok(socket)
}

/// The address of a socket.
pub fn local(socket: &TcpSocket) -> SocketAddr {
    from_wasi(socket.get_local_address().expect("an address"))
}

/// The address of its peer.
pub fn peer(socket: &TcpSocket) -> SocketAddr {
    from_wasi(socket.get_remote_address().expect("a peer"))
}

/// Connects, and waits for it.
pub async fn connect(address: SocketAddr) -> Result<TcpSocket, ErrorCode> {
    let socket = TcpSocket::create(family(address))?;
    socket.connect(to_wasi(address)).await?;
    Ok(socket)
}

/// A listener, and the stream of its connections.
pub struct Listener {
    pub socket: TcpSocket,
    pub connections: StreamReader<TcpSocket>,
}

impl Listener {
    /// A listener at `address`.
    pub fn at(address: SocketAddr) -> Result<Self, ErrorCode> {
        Self::of(bound_to(address)?)
    }

    /// `socket` listens.
    pub fn of(socket: TcpSocket) -> Result<Self, ErrorCode> {
        let connections = socket.listen()?;
        Ok(Self { socket, connections })
    }

    /// The next connection.
    pub async fn accept(&mut self) -> TcpSocket {
        self.connections.next().await.expect("the stream has no end")
    }

    /// A connection that waits already.
    pub fn try_accept(&mut self) -> Option<TcpSocket> {
        let mut read = pin!(self.connections.read(Vec::with_capacity(1)));
        let (result, mut accepted) = match poll_once(read.as_mut()) {
            Some(done) => done,
            None => read.cancel(),
        };
        assert_ne!(result, StreamResult::Dropped, "the stream has no end");
        accepted.pop()
    }

    /// The next one within so many milliseconds. A read that is cancelled tells what it has got meanwhile; one that is
    /// dropped would lose that.
    pub async fn accept_within(&mut self, limit: u64) -> Option<TcpSocket> {
        let mut read = pin!(self.connections.read(Vec::with_capacity(1)));
        let done = match select(read.as_mut(), pin!(wait_for(limit * MILLISECOND))).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        };
        done.unwrap_or_else(|| read.cancel()).1.pop()
    }

    /// Waits until there is a connection, and takes none: a read of nothing.
    pub async fn is_ready(&mut self) {
        self.connections.read(Vec::new()).await;
    }

    /// Is there one within so many milliseconds?
    pub async fn is_ready_within(&mut self, limit: u64) -> bool {
        within(limit, self.is_ready()).await.is_some()
    }
}

/// What has no more to do is polled once, and gone where it waits.
pub fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// What is done within so many milliseconds; it is dropped otherwise.
pub async fn within<F: Future>(limit: u64, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(wait_for(limit * MILLISECOND))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// A connection with both of its streams.
pub struct Connection {
    pub socket: TcpSocket,
    pub input: StreamReader<u8>,
    pub received: Ended,
    pub output: StreamWriter<u8>,
    pub sent: Ended,
}

impl Connection {
    pub fn of(socket: TcpSocket) -> Self {
        let (output, data) = wit_stream::new();
        let sent = socket.send(data);
        let (input, received) = socket.receive();
        Self { socket, input, received, output, sent }
    }

    /// What comes next; empty at the end.
    pub async fn read(&mut self) -> Vec<u8> {
        self.input.read(Vec::with_capacity(64 * 1024)).await.1
    }

    /// Writes all of it.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), ()> {
        if self.output.write_all(data.to_vec()).await.is_empty() { Ok(()) } else { Err(()) }
    }
}

/// A listener, and both ends of a connection to it.
pub async fn connected() -> (Listener, TcpSocket, TcpSocket) {
    let mut listener = Listener::at(loopback(0)).expect("a listener");
    let near = connect(local(&listener.socket)).await.expect("a connection");
    let far = listener.accept().await;
    (listener, near, far)
}

/// The lines of standard input.
pub struct Lines {
    input: StreamReader<u8>,
    rest: Vec<u8>,
}

impl Lines {
    pub fn of_stdin() -> Self {
        let (input, _ended) = wasip3::cli::stdin::read_via_stream();
        Self { input, rest: Vec::new() }
    }

    /// The next one, without its end.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                let line = std::mem::replace(&mut self.rest, rest);
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let (result, more) = self.input.read(Vec::with_capacity(1024)).await;
            if result == StreamResult::Dropped && more.is_empty() {
                return None;
            }
            self.rest.extend(more);
        }
    }
}
