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
use crate::abi::component::calls::{SocketResource, TcpResource, tcp_calls};
use crate::abi::component::descriptor::GuestSocket;
use crate::abi::component::failure::Failure;
use crate::abi::component::option::{Buffer, KeepAliveTime};
use crate::abi::component::tcp::{ListenCalls, Tcp};
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

const ACCEPT: &str = "tcp-socket.accept";

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
            |_| format!("address-family={}", family.name()),
            |view| {
                let tcp = Tcp::open(view.thread, family.into())?;
                view.note("fd", tcp.socket().fd());
                Ok(view.table.push(TcpSocket::of(tcp))?)
            },
        )
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
                let calls = ListenCalls { call: CALL, accept: ACCEPT };
                let capacity = socket.tcp.listen(view.thread, calls, UNBOUND)?;
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
            ACCEPT,
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

    tcp_calls!(
        This,
        SocketError,
        IpAddressFamily,
        IpSocketAddress,
        ACCEPT,
        "",
        [
            local_address,
            remote_address,
            is_listening,
            address_family,
            keep_alive_enabled,
            keep_alive_idle_time,
            keep_alive_interval,
            keep_alive_count,
            hop_limit,
            receive_buffer_size,
            send_buffer_size,
        ]
    );

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
}
