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
use crate::abi::component::connection::Connection;
use crate::abi::component::descriptor::GuestSocket;
use crate::abi::component::failure::Failure;
use crate::abi::component::option::{Buffer, KeepAliveTime};
use crate::abi::component::tcp::{Begun, Tcp};
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

impl View<'_> {
    fn p3_fd(&self, this: &This) -> String {
        let socket = self.table.get(this);
        socket.map_or_else(|_| "fd=?".to_owned(), |it| format!("fd={}", it.tcp.socket().fd()))
    }

    fn p3_get<T>(
        &mut self,
        name: &'static str,
        this: &This,
        get: impl FnOnce(&GuestSocket) -> Result<T, Failure>,
    ) -> Result<T, SocketError> {
        self.traced(name, |view| view.p3_fd(this), |view| Ok(get(view.table.get(this)?.tcp.options()?)?))
    }

    fn p3_set(
        &mut self,
        name: &'static str,
        this: &This,
        value: impl std::fmt::Display,
        set: impl FnOnce(&GuestSocket) -> Result<(), Failure>,
    ) -> Result<(), SocketError> {
        self.traced(
            name,
            |view| format!("{}, value={value}", view.p3_fd(this)),
            |view| Ok(set(view.table.get(this)?.tcp.options()?)?),
        )
    }

    fn p3_set_buffer(
        &mut self,
        name: &'static str,
        this: &This,
        buffer: Buffer,
        value: u64,
    ) -> Result<(), SocketError> {
        self.traced(
            name,
            |view| format!("{}, value={value}", view.p3_fd(this)),
            |view| {
                let socket = view.table.get(this)?.tcp.options()?;
                if let Some(limited) = socket.set_buffer_size(view.thread, buffer, value)? {
                    view.annotate(limited);
                }
                Ok(())
            },
        )
    }

    fn begin_connect(&mut self, this: &This, to: SocketAddr, may_look_up: bool) -> Result<Begun, Failure> {
        let socket = self.table.get_mut(this)?;
        socket.tcp.try_begin_connect(self.thread.process(), CONNECT, to, may_look_up)
    }

    fn p3_listen(&mut self, this: &This) -> Result<Arc<GuestSocket>, SocketError> {
        const CALL: &str = "tcp-socket.listen";
        self.traced(
            CALL,
            |view| view.p3_fd(this),
            |view| {
                let socket = view.table.get_mut(this)?;
                let capacity = socket.tcp.listen(view.thread, CALL, UNBOUND)?;
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
            store.get().begin(CONNECT, |view| format!("{}, remote-address={to}", view.p3_fd(&this)))
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
        match error {
            SocketError::Code(code) => Ok(code),
            SocketError::Trap(trap) => Err(trap),
        }
    }
}

impl HostTcpSocket for View<'_> {
    fn create(&mut self, family: IpAddressFamily) -> Result<This, SocketError> {
        self.traced(
            "tcp-socket.create",
            |_| format!("address-family={}", name_of(family)),
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
            |view| format!("{}, local-address={to}", view.p3_fd(&this)),
            |view| Ok(view.table.get(&this)?.tcp.bind(view.thread, CALL, to)?),
        )
    }

    fn get_local_address(&mut self, this: This) -> Result<IpSocketAddress, SocketError> {
        self.traced(
            "tcp-socket.get-local-address",
            |view| view.p3_fd(&this),
            |view| {
                let local = view.table.get(&this)?.tcp.local_address()?;
                view.note("address", local);
                Ok(local.into())
            },
        )
    }

    fn get_remote_address(&mut self, this: This) -> Result<IpSocketAddress, SocketError> {
        self.traced(
            "tcp-socket.get-remote-address",
            |view| view.p3_fd(&this),
            |view| {
                let peer = view.table.get(&this)?.tcp.peer_address()?;
                view.note("address", peer);
                Ok(peer.into())
            },
        )
    }

    fn get_is_listening(&mut self, this: This) -> wasmtime::Result<bool> {
        Ok(self.table.get(&this)?.tcp.is_listening())
    }

    fn get_address_family(&mut self, this: This) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.tcp.socket().family().into())
    }

    fn set_listen_backlog_size(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        const CALL: &str = "tcp-socket.set-listen-backlog-size";
        self.traced(
            CALL,
            |view| format!("{}, value={value}", view.p3_fd(&this)),
            |view| {
                let capacity = view.table.get_mut(&this)?.tcp.set_backlog(view.thread, CALL, value)?;
                if let Some(capacity) = capacity {
                    view.note("capacity", capacity);
                }
                Ok(())
            },
        )
    }

    fn get_keep_alive_enabled(&mut self, this: This) -> Result<bool, SocketError> {
        self.p3_get("tcp-socket.get-keep-alive-enabled", &this, GuestSocket::keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, this: This, value: bool) -> Result<(), SocketError> {
        self.p3_set("tcp-socket.set-keep-alive-enabled", &this, value, |it| it.set_keep_alive(value))
    }

    fn get_keep_alive_idle_time(&mut self, this: This) -> Result<u64, SocketError> {
        self.p3_get("tcp-socket.get-keep-alive-idle-time", &this, |it| {
            it.keep_alive_time(KeepAliveTime::Idle)
        })
    }

    fn set_keep_alive_idle_time(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.p3_set("tcp-socket.set-keep-alive-idle-time", &this, value, |it| {
            it.set_keep_alive_time(KeepAliveTime::Idle, value)
        })
    }

    fn get_keep_alive_interval(&mut self, this: This) -> Result<u64, SocketError> {
        self.p3_get("tcp-socket.get-keep-alive-interval", &this, |it| {
            it.keep_alive_time(KeepAliveTime::Interval)
        })
    }

    fn set_keep_alive_interval(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.p3_set("tcp-socket.set-keep-alive-interval", &this, value, |it| {
            it.set_keep_alive_time(KeepAliveTime::Interval, value)
        })
    }

    fn get_keep_alive_count(&mut self, this: This) -> Result<u32, SocketError> {
        self.p3_get("tcp-socket.get-keep-alive-count", &this, GuestSocket::keep_alive_count)
    }

    fn set_keep_alive_count(&mut self, this: This, value: u32) -> Result<(), SocketError> {
        self.p3_set("tcp-socket.set-keep-alive-count", &this, value, |it| it.set_keep_alive_count(value))
    }

    fn get_hop_limit(&mut self, this: This) -> Result<u8, SocketError> {
        self.p3_get("tcp-socket.get-hop-limit", &this, GuestSocket::hop_limit)
    }

    fn set_hop_limit(&mut self, this: This, value: u8) -> Result<(), SocketError> {
        self.p3_set("tcp-socket.set-hop-limit", &this, value, |it| it.set_hop_limit(value))
    }

    fn get_receive_buffer_size(&mut self, this: This) -> Result<u64, SocketError> {
        self.p3_get("tcp-socket.get-receive-buffer-size", &this, |it| it.buffer_size(Buffer::Receive))
    }

    fn set_receive_buffer_size(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.p3_set_buffer("tcp-socket.set-receive-buffer-size", &this, Buffer::Receive, value)
    }

    fn get_send_buffer_size(&mut self, this: This) -> Result<u64, SocketError> {
        self.p3_get("tcp-socket.get-send-buffer-size", &this, |it| it.buffer_size(Buffer::Send))
    }

    fn set_send_buffer_size(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.p3_set_buffer("tcp-socket.set-send-buffer-size", &this, Buffer::Send, value)
    }

    fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

/// WIT's name of a family.
pub(super) fn name_of(family: IpAddressFamily) -> &'static str {
    match family {
        IpAddressFamily::Ipv4 => "ipv4",
        IpAddressFamily::Ipv6 => "ipv6",
    }
}
