//! `wasi:sockets/types.tcp-socket`.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};

use super::SocketError;
use super::outcome::Outcome;
use super::sockets::types::{
    ErrorCode, Host, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress,
};
use super::stream::{Connections, Receiving, Sending};
use crate::abi::component::address::addresses;
use crate::abi::component::calls::{SocketResource, TcpResource, tcp_calls};
use crate::abi::component::connection::Connection;
use crate::abi::component::descriptor::GuestSocket;
use crate::abi::component::failure::Failure;
use crate::abi::component::option::{Buffer, KeepAliveTime};
use crate::abi::component::tcp::{Begun, ListenCalls, Tcp};
use crate::abi::component::{Sockets, View};
use crate::address::Address;
use crate::error::Errno;
use crate::io::Events;
use crate::socket::Phase;
use crate::socket::listen::UnboundListen;

addresses!(crate::abi::component::p3::sockets::types);

/// "A TCP socket resource." - wasi:sockets/types
pub struct TcpSocket {
    tcp: Tcp,
    /// Each may be called once.
    is_sent: bool,
    is_received: bool,
}

type This = Resource<TcpSocket>;

/// "If the socket is not already explicitly bound, this function will implicitly bind the socket to a random free port"
/// - wasi:sockets/types, listen, whatever the profile is.
const UNBOUND: UnboundListen = UnboundListen::BoundToWildcard;

const CONNECT: &str = "tcp-socket.connect";
const LISTEN: &str = "tcp-socket.listen";

impl TcpSocket {
    pub(super) fn of(tcp: Tcp) -> Self {
        Self { tcp, is_sent: false, is_received: false }
    }

    /// The connection, for a stream of it.
    fn connection(&self) -> Result<(Arc<GuestSocket>, Arc<Connection>), Failure> {
        let socket = self.tcp.options()?;
        let connection = socket.connection().ok_or(Failure::State)?;
        Ok((Arc::clone(self.tcp.socket()), Arc::clone(connection)))
    }
}

impl SocketResource for TcpSocket {
    fn descriptor(&self) -> &Arc<GuestSocket> {
        self.tcp.socket()
    }

    fn options(&self) -> Result<&GuestSocket, Failure> {
        self.tcp.options()
    }

    fn local_address(&self) -> Result<SocketAddr, Failure> {
        self.tcp.local_address()
    }

    fn peer_address(&self) -> Result<SocketAddr, Failure> {
        self.tcp.peer_address()
    }
}

impl TcpResource for TcpSocket {
    fn tcp(&self) -> &Tcp {
        &self.tcp
    }

    fn tcp_mut(&mut self) -> &mut Tcp {
        &mut self.tcp
    }
}

impl View<'_> {
    fn begin_connect(&mut self, this: &This, to: SocketAddr, may_look_up: bool) -> Result<Begun, Failure> {
        let socket = self.table.get_mut(this)?;
        socket.tcp.try_begin_connect(self.thread.process(), CONNECT, to, may_look_up)
    }

    fn p3_listen(&mut self, this: &This) -> Result<Arc<GuestSocket>, SocketError> {
        self.traced(
            LISTEN,
            |view| view.fd(this),
            |view| {
                let socket = view.table.get_mut(this)?;
                // The connections come by the stream that this returns.
                let calls = ListenCalls { call: LISTEN, accept: LISTEN };
                let capacity = socket.tcp.listen(view.thread, calls, UNBOUND)?;
                let socket = Arc::clone(socket.tcp.socket());
                view.note("capacity", capacity);
                Ok(socket)
            },
        )
    }
}

async fn connect<T: Send>(
    store: &Accessor<T, Sockets>,
    this: &This,
    to: SocketAddr,
) -> Result<(), SocketError> {
    if let Begun::NeedsLookUp = store.with(|mut store| store.get().begin_connect(this, to, true))? {
        let (process, socket) = store.with(|mut store| {
            let view = store.get();
            let socket = Arc::clone(view.table.get(this)?.tcp.socket());
            Ok::<_, Failure>((Arc::clone(view.thread.process()), socket))
        })?;
        process.look_up_for(socket.socket(), &Address::Inet(to)).await?;
        store.with(|mut store| store.get().begin_connect(this, to, false))?;
    }
    poll_fn(|context| {
        store.with(|mut store| {
            let socket = store.get().table.get_mut(this).map_err(Failure::from)?;
            loop {
                match socket.tcp.finish_connect() {
                    Err(Failure::Errno(Errno::EAGAIN)) => {}
                    finished => return Poll::Ready(finished.map(drop).map_err(SocketError::from)),
                }
                let stream = socket.tcp.socket().stream().map_err(Failure::from)?;
                if let Phase::Connecting(attempt) = stream.phase()
                    && attempt.poll(Events::WRITE, context).is_empty()
                {
                    return Poll::Pending;
                }
            }
        })
    })
    .await
}

impl<T: Send + 'static> HostTcpSocketWithStore<T> for Sockets {
    async fn connect(
        store: &Accessor<T, Self>,
        this: This,
        remote_address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        let to = SocketAddr::from(remote_address);
        let line = store.with(|mut store| {
            store.get().begin(CONNECT, |view| format!("{}, remote-address={to}", view.fd(&this)))
        });
        let connected = connect(store, &this, to).await;
        store.with(|mut store| store.get().end(line, &connected));
        connected
    }

    fn listen(mut store: Access<'_, T, Self>, this: This) -> Result<StreamReader<This>, SocketError> {
        let getter = store.getter();
        let listener = store.get().p3_listen(&this)?;
        StreamReader::new(&mut store, Connections::of(listener, getter)).map_err(SocketError::Trap)
    }

    fn send(
        mut store: Access<'_, T, Self>,
        this: This,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        let outcome = Outcome::default();
        let socket = store.get().table.get_mut(&this)?;
        match socket.connection().ok().filter(|_| !socket.is_sent) {
            Some((descriptor, connection)) => {
                socket.is_sent = true;
                data.pipe(&mut store, Sending::of(descriptor, connection, outcome.clone()))?;
            }
            None => {
                data.close(&mut store)?;
                outcome.tell(Err(Errno::ENOTCONN));
            }
        }
        FutureReader::new(&mut store, outcome.told())
    }

    fn receive(
        mut store: Access<'_, T, Self>,
        this: This,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), ErrorCode>>)> {
        let outcome = Outcome::default();
        let socket = store.get().table.get_mut(&this)?;
        let stream = match socket.connection().ok().filter(|_| !socket.is_received) {
            Some((descriptor, connection)) => {
                socket.is_received = true;
                StreamReader::new(&mut store, Receiving::of(descriptor, connection, outcome.clone()))?
            }
            None => {
                outcome.tell(Err(Errno::ENOTCONN));
                StreamReader::new(&mut store, std::iter::empty())?
            }
        };
        Ok((stream, FutureReader::new(&mut store, outcome.told())?))
    }
}

impl Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.code()
    }
}

impl HostTcpSocket for View<'_> {
    fn create(&mut self, family: IpAddressFamily) -> Result<This, SocketError> {
        self.traced(
            "tcp-socket.create",
            |_| format!("address-family={}", family.name()),
            |view| {
                let tcp = Tcp::open(view.thread, family.into())?;
                view.note("fd", tcp.socket().fd());
                Ok(view.table.push(TcpSocket::of(tcp))?)
            },
        )
    }

    fn bind(&mut self, this: This, local_address: IpSocketAddress) -> Result<(), SocketError> {
        const CALL: &str = "tcp-socket.bind";
        let to = SocketAddr::from(local_address);
        self.traced(
            CALL,
            |view| format!("{}, local-address={to}", view.fd(&this)),
            |view| Ok(view.table.get(&this)?.tcp.bind(view.thread, CALL, to)?),
        )
    }

    tcp_calls!(
        This,
        SocketError,
        IpAddressFamily,
        IpSocketAddress,
        LISTEN,
        "get-",
        [
            get_local_address,
            get_remote_address,
            get_is_listening,
            get_address_family,
            get_keep_alive_enabled,
            get_keep_alive_idle_time,
            get_keep_alive_interval,
            get_keep_alive_count,
            get_hop_limit,
            get_receive_buffer_size,
            get_send_buffer_size,
        ]
    );
}
