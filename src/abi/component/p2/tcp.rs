//! `wasi:sockets/tcp`: calls that start something and calls that finish it, which mostly is done by
//! then.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::SocketError;
use super::network::Network;
use super::sockets::network::{IpAddressFamily, IpSocketAddress};
use super::sockets::tcp::{Host, HostTcpSocket, ShutdownType};
use super::sockets::tcp_create_socket;
use super::source::Source;
use crate::abi::component::View;
use crate::abi::component::descriptor::GuestSocket;
use crate::abi::component::failure::Failure;
use crate::abi::component::option::{Buffer, KeepAliveTime};
use crate::abi::component::tcp::Tcp;
use crate::error::Errno;
use crate::socket::ShutdownHow;
use crate::socket::listen::UnboundListen;

/// "A TCP socket resource." - wasi:sockets/tcp
pub struct TcpSocket {
    tcp: Tcp,
    /// What was started and is not finished.
    begun: Option<Begun>,
}

/// "`invalid-state`: The socket is not bound to any local address. (EDESTADDRREQ)" - wasi:sockets/tcp, start-listen,
/// whatever the profile is.
const UNBOUND: UnboundListen = UnboundListen::Refused(Errno::EDESTADDRREQ);

/// An operation in two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Bind,
    Connect,
    Listen,
}

type This = Resource<TcpSocket>;
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

impl TcpSocket {
    fn of(tcp: Tcp) -> Self {
        Self { tcp, begun: None }
    }

    /// # Errors
    ///
    /// [`Failure::Conflict`] where something is started and not finished.
    fn begin(&self) -> Result<(), Failure> {
        if self.begun.is_some() { Err(Failure::Conflict) } else { Ok(()) }
    }

    /// # Errors
    ///
    /// [`Failure::NotStarted`] where that is not what was started.
    fn finish(&self, begun: Begun) -> Result<(), Failure> {
        if self.begun == Some(begun) { Ok(()) } else { Err(Failure::NotStarted) }
    }
}

impl View<'_> {
    /// The number of a socket, for the trace.
    fn fd(&self, this: &This) -> String {
        let socket = self.table.get(this);
        socket.map_or_else(|_| "fd=?".to_owned(), |it| format!("fd={}", it.tcp.socket().fd()))
    }

    /// Reads an option.
    fn get<T>(
        &mut self,
        name: &'static str,
        this: &This,
        get: impl FnOnce(&GuestSocket) -> Result<T, Failure>,
    ) -> Result<T, SocketError> {
        self.traced(name, |view| view.fd(this), |view| Ok(get(view.table.get(this)?.tcp.options()?)?))
    }

    /// Sets an option.
    fn set(
        &mut self,
        name: &'static str,
        this: &This,
        value: impl std::fmt::Display,
        set: impl FnOnce(&GuestSocket) -> Result<(), Failure>,
    ) -> Result<(), SocketError> {
        self.traced(
            name,
            |view| format!("{}, value={value}", view.fd(this)),
            |view| Ok(set(view.table.get(this)?.tcp.options()?)?),
        )
    }

    fn set_buffer(
        &mut self,
        name: &'static str,
        this: &This,
        buffer: Buffer,
        value: u64,
    ) -> Result<(), SocketError> {
        self.traced(
            name,
            |view| format!("{}, value={value}", view.fd(this)),
            |view| {
                let socket = view.table.get(this)?.tcp.options()?;
                if let Some(limited) = socket.set_buffer_size(view.thread, buffer, value)? {
                    view.annotate(limited);
                }
                Ok(())
            },
        )
    }

    async fn connect(&mut self, call: &'static str, this: &This, to: SocketAddr) -> Result<(), SocketError> {
        let socket = self.table.get_mut(this)?;
        socket.begin()?;
        socket.tcp.begin_connect(self.thread.process(), call, to).await?;
        socket.begun = Some(Begun::Connect);
        Ok(())
    }
}

impl tcp_create_socket::Host for View<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> Result<This, SocketError> {
        self.traced(
            "create-tcp-socket",
            |_| format!("address-family={}", name_of(family)),
            |view| {
                let tcp = Tcp::open(view.thread, family.into())?;
                view.note("fd", tcp.socket().fd());
                Ok(view.table.push(TcpSocket::of(tcp))?)
            },
        )
    }
}

/// WIT's name of a family.
pub(super) fn name_of(family: IpAddressFamily) -> &'static str {
    match family {
        IpAddressFamily::Ipv4 => "ipv4",
        IpAddressFamily::Ipv6 => "ipv6",
    }
}

impl Host for View<'_> {}

impl HostTcpSocket for View<'_> {
    fn start_bind(
        &mut self,
        this: This,
        network: Resource<Network>,
        local_address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        const CALL: &str = "tcp-socket.start-bind";
        let to = SocketAddr::from(local_address);
        self.traced(
            CALL,
            |view| format!("{}, local-address={to}", view.fd(&this)),
            |view| {
                view.table.get(&network)?;
                let socket = view.table.get_mut(&this)?;
                socket.begin()?;
                socket.tcp.bind(view.thread, CALL, to)?;
                socket.begun = Some(Begun::Bind);
                Ok(())
            },
        )
    }

    fn finish_bind(&mut self, this: This) -> Result<(), SocketError> {
        self.traced(
            "tcp-socket.finish-bind",
            |view| view.fd(&this),
            |view| {
                let socket = view.table.get_mut(&this)?;
                socket.finish(Begun::Bind)?;
                socket.begun = None;
                Ok(())
            },
        )
    }

    async fn start_connect(
        &mut self,
        this: This,
        network: Resource<Network>,
        remote_address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        const CALL: &str = "tcp-socket.start-connect";
        let to = SocketAddr::from(remote_address);
        self.table.get(&network)?;
        let line = self.begin(CALL, |view| format!("{}, remote-address={to}", view.fd(&this)));
        let begun = self.connect(CALL, &this, to).await;
        self.end(line, &begun);
        begun
    }

    fn finish_connect(&mut self, this: This) -> Result<Streams, SocketError> {
        self.traced(
            "tcp-socket.finish-connect",
            |view| view.fd(&this),
            |view| {
                let socket = view.table.get_mut(&this)?;
                socket.finish(Begun::Connect)?;
                let finished = socket.tcp.finish_connect();
                if !matches!(finished, Err(Failure::Errno(Errno::EAGAIN))) {
                    socket.begun = None;
                }
                let (connection, descriptor) = (finished?, Arc::clone(socket.tcp.socket()));
                Ok(view.streams_of(&descriptor, &connection)?)
            },
        )
    }

    fn start_listen(&mut self, this: This) -> Result<(), SocketError> {
        const CALL: &str = "tcp-socket.start-listen";
        self.traced(
            CALL,
            |view| view.fd(&this),
            |view| {
                let socket = view.table.get_mut(&this)?;
                socket.begin()?;
                let capacity = socket.tcp.listen(view.thread, CALL, UNBOUND)?;
                socket.begun = Some(Begun::Listen);
                view.note("capacity", capacity);
                Ok(())
            },
        )
    }

    fn finish_listen(&mut self, this: This) -> Result<(), SocketError> {
        self.traced(
            "tcp-socket.finish-listen",
            |view| view.fd(&this),
            |view| {
                let socket = view.table.get_mut(&this)?;
                socket.finish(Begun::Listen)?;
                socket.begun = None;
                Ok(())
            },
        )
    }

    fn accept(
        &mut self,
        this: This,
    ) -> Result<(This, Resource<DynInputStream>, Resource<DynOutputStream>), SocketError> {
        self.traced(
            "tcp-socket.accept",
            |view| view.fd(&this),
            |view| {
                let socket = view.table.get(&this)?;
                let accepted = socket.tcp.accept(view.thread);
                if let Err(Failure::Errno(Errno::ENFILE)) = accepted {
                    view.state.waiting.is_short = true;
                }
                let accepted = accepted?;
                let descriptor = Arc::clone(accepted.socket());
                view.note("fd", descriptor.fd());
                if view.trace.is_some()
                    && let Ok(peer) = accepted.peer_address()
                {
                    view.note("remote-address", peer);
                }
                let connection = Arc::clone(descriptor.connect()?);
                let (input, output) = view.streams_of(&descriptor, &connection)?;
                Ok((view.table.push(TcpSocket::of(accepted))?, input, output))
            },
        )
    }

    fn local_address(&mut self, this: This) -> Result<IpSocketAddress, SocketError> {
        self.traced(
            "tcp-socket.local-address",
            |view| view.fd(&this),
            |view| {
                let local = view.table.get(&this)?.tcp.local_address()?;
                view.note("address", local);
                Ok(local.into())
            },
        )
    }

    fn remote_address(&mut self, this: This) -> Result<IpSocketAddress, SocketError> {
        self.traced(
            "tcp-socket.remote-address",
            |view| view.fd(&this),
            |view| {
                let peer = view.table.get(&this)?.tcp.peer_address()?;
                view.note("address", peer);
                Ok(peer.into())
            },
        )
    }

    fn is_listening(&mut self, this: This) -> wasmtime::Result<bool> {
        Ok(self.table.get(&this)?.tcp.is_listening())
    }

    fn address_family(&mut self, this: This) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.tcp.socket().family().into())
    }

    fn set_listen_backlog_size(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        const CALL: &str = "tcp-socket.set-listen-backlog-size";
        self.traced(
            CALL,
            |view| format!("{}, value={value}", view.fd(&this)),
            |view| {
                let capacity = view.table.get_mut(&this)?.tcp.set_backlog(view.thread, CALL, value)?;
                if let Some(capacity) = capacity {
                    view.note("capacity", capacity);
                }
                Ok(())
            },
        )
    }

    fn keep_alive_enabled(&mut self, this: This) -> Result<bool, SocketError> {
        self.get("tcp-socket.keep-alive-enabled", &this, GuestSocket::keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, this: This, value: bool) -> Result<(), SocketError> {
        self.set("tcp-socket.set-keep-alive-enabled", &this, value, |it| it.set_keep_alive(value))
    }

    fn keep_alive_idle_time(&mut self, this: This) -> Result<u64, SocketError> {
        self.get("tcp-socket.keep-alive-idle-time", &this, |it| it.keep_alive_time(KeepAliveTime::Idle))
    }

    fn set_keep_alive_idle_time(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.set("tcp-socket.set-keep-alive-idle-time", &this, value, |it| {
            it.set_keep_alive_time(KeepAliveTime::Idle, value)
        })
    }

    fn keep_alive_interval(&mut self, this: This) -> Result<u64, SocketError> {
        self.get("tcp-socket.keep-alive-interval", &this, |it| it.keep_alive_time(KeepAliveTime::Interval))
    }

    fn set_keep_alive_interval(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.set("tcp-socket.set-keep-alive-interval", &this, value, |it| {
            it.set_keep_alive_time(KeepAliveTime::Interval, value)
        })
    }

    fn keep_alive_count(&mut self, this: This) -> Result<u32, SocketError> {
        self.get("tcp-socket.keep-alive-count", &this, GuestSocket::keep_alive_count)
    }

    fn set_keep_alive_count(&mut self, this: This, value: u32) -> Result<(), SocketError> {
        self.set("tcp-socket.set-keep-alive-count", &this, value, |it| it.set_keep_alive_count(value))
    }

    fn hop_limit(&mut self, this: This) -> Result<u8, SocketError> {
        self.get("tcp-socket.hop-limit", &this, GuestSocket::hop_limit)
    }

    fn set_hop_limit(&mut self, this: This, value: u8) -> Result<(), SocketError> {
        self.set("tcp-socket.set-hop-limit", &this, value, |it| it.set_hop_limit(value))
    }

    fn receive_buffer_size(&mut self, this: This) -> Result<u64, SocketError> {
        self.get("tcp-socket.receive-buffer-size", &this, |it| it.buffer_size(Buffer::Receive))
    }

    fn set_receive_buffer_size(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.set_buffer("tcp-socket.set-receive-buffer-size", &this, Buffer::Receive, value)
    }

    fn send_buffer_size(&mut self, this: This) -> Result<u64, SocketError> {
        self.get("tcp-socket.send-buffer-size", &this, |it| it.buffer_size(Buffer::Send))
    }

    fn set_send_buffer_size(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.set_buffer("tcp-socket.set-send-buffer-size", &this, Buffer::Send, value)
    }

    fn subscribe(&mut self, this: This) -> wasmtime::Result<Resource<DynPollable>> {
        let source = Source::Tcp(Arc::clone(self.table.get(&this)?.tcp.socket().socket()));
        self.subscribe(source)
    }

    fn shutdown(&mut self, this: This, shutdown_type: ShutdownType) -> Result<(), SocketError> {
        let (how, name) = match shutdown_type {
            ShutdownType::Receive => (ShutdownHow::Read, "receive"),
            ShutdownType::Send => (ShutdownHow::Write, "send"),
            ShutdownType::Both => (ShutdownHow::Both, "both"),
        };
        self.traced(
            "tcp-socket.shutdown",
            |view| format!("{}, shutdown-type={name}", view.fd(&this)),
            |view| Ok(view.table.get(&this)?.tcp.shutdown(how)?),
        )
    }

    fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
