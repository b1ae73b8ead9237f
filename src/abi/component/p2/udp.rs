//! `wasi:sockets/udp`.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::DynPollable;

use super::SocketError;
use super::network::Network;
use super::sockets::network::{IpAddressFamily, IpSocketAddress};
use super::sockets::udp::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram,
    OutgoingDatagram,
};
use super::sockets::udp_create_socket;
use super::source::Source;
use crate::abi::component::View;
use crate::abi::component::calls::{SocketResource, udp_calls};
use crate::abi::component::descriptor::GuestSocket;
use crate::abi::component::failure::Failure;
use crate::abi::component::option::Buffer;
use crate::abi::component::udp::{MAX_DATAGRAM, Udp, receive, send};
use crate::error::Errno;

/// How many datagrams one call sends or receives.
const MOST: u64 = 16;

/// How many bytes one call receives, where it is not one datagram.
const MOST_BYTES: usize = 64 * 1024;

const SEND: &str = "outgoing-datagram-stream.send";
const RECEIVE: &str = "incoming-datagram-stream.receive";

/// "A UDP socket handle." - wasi:sockets/udp
pub struct UdpSocket {
    udp: Udp,
    /// Was a bind started that is not finished?
    is_binding: bool,
    /// The streams of the last call, while one of them is open.
    streams: Weak<Association>,
}

/// What two streams share.
struct Association {
    socket: Arc<GuestSocket>,
    /// The peer, where they are limited to one.
    peer: Option<SocketAddr>,
}

/// "resource incoming-datagram-stream" - wasi:sockets/udp
pub struct Incoming(Arc<Association>);

/// "resource outgoing-datagram-stream" - wasi:sockets/udp
pub struct Outgoing {
    association: Arc<Association>,
    /// How many datagrams the next call may send.
    permit: usize,
}

type This = Resource<UdpSocket>;
type Streams = (Resource<Incoming>, Resource<Outgoing>);

impl SocketResource for UdpSocket {
    fn descriptor(&self) -> &Arc<GuestSocket> {
        self.udp.socket()
    }

    fn options(&self) -> Result<&GuestSocket, Failure> {
        Ok(self.udp.socket())
    }

    fn local_address(&self) -> Result<SocketAddr, Failure> {
        self.udp.local_address()
    }

    fn peer_address(&self) -> Result<SocketAddr, Failure> {
        self.udp.peer_address()
    }
}

impl View<'_> {
    async fn associate(
        &mut self,
        call: &'static str,
        this: &This,
        peer: Option<SocketAddr>,
    ) -> Result<Streams, SocketError> {
        let socket = self.table.get(this)?;
        if socket.streams.strong_count() > 0 {
            // "Implementations may trap if the streams returned by a previous invocation haven't been dropped yet"
            return Err(Failure::trap("the streams of this socket are not dropped yet").into());
        }
        if socket.is_binding || !socket.udp.is_bound()? {
            return Err(Failure::State.into());
        }
        match peer {
            Some(peer) => socket.udp.connect(self.thread.process(), call, peer).await?,
            None if socket.udp.peer_address().is_ok() => socket.udp.socket().socket().dissolve()?,
            None => {}
        }
        // As the kernel has it: with the scope.
        let peer = peer.and_then(|_| socket.udp.peer_address().ok());
        let association = Arc::new(Association { socket: Arc::clone(socket.udp.socket()), peer });
        self.table.get_mut(this)?.streams = Arc::downgrade(&association);
        let incoming = self.table.push(Incoming(Arc::clone(&association)))?;
        Ok((incoming, self.table.push(Outgoing { association, permit: 0 })?))
    }

    async fn send_all(
        &mut self,
        stream: &Resource<Outgoing>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> Result<u64, SocketError> {
        let outgoing = self.table.get_mut(stream)?;
        if datagrams.is_empty() {
            return Ok(0);
        }
        // "Implementations must trap if either `check-send` was not called or `datagrams` contains more items than
        // `check-send` permitted."
        if datagrams.len() > std::mem::take(&mut outgoing.permit) {
            return Err(Failure::trap("more datagrams than check-send has permitted").into());
        }
        let association = Arc::clone(&outgoing.association);
        let Association { socket, peer } = association.as_ref();
        let mut sent = 0;
        for OutgoingDatagram { data, remote_address } in datagrams {
            let to = remote_address.map(SocketAddr::from);
            match send(self.thread.process(), SEND, socket, &data, to, *peer).await {
                Ok(()) => sent += 1,
                Err(Failure::Errno(Errno::EAGAIN)) => break,
                // "If at least one datagram has been sent successfully, this function never returns an error."
                Err(_) if sent > 0 => break,
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(sent)
    }

    fn receive_all(
        &mut self,
        stream: &Resource<Incoming>,
        most: u64,
    ) -> Result<Vec<IncomingDatagram>, SocketError> {
        let Association { socket, peer } = self.table.get(stream)?.0.as_ref();
        let mut received = Vec::new();
        let mut bytes = 0;
        let buffer = &mut self.state.datagram;
        buffer.resize(MAX_DATAGRAM, 0);
        for _ in 0..most.min(MOST) {
            if bytes >= MOST_BYTES {
                break;
            }
            match receive(self.thread.process(), socket, buffer, *peer) {
                Ok(None) => break,
                Ok(Some((length, from))) => {
                    let data = buffer.get(..length).unwrap_or_default().to_vec();
                    bytes += length;
                    received.push(IncomingDatagram { data, remote_address: from.into() });
                }
                // It is reported once, and what has come first counts more.
                Err(_) if !received.is_empty() => break,
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(received)
    }
}

impl udp_create_socket::Host for View<'_> {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> Result<This, SocketError> {
        self.traced(
            "create-udp-socket",
            |_| format!("address-family={}", family.name()),
            |view| {
                let udp = Udp::open(view.thread, family.into(), RECEIVE)?;
                view.note("fd", udp.socket().fd());
                Ok(view.table.push(UdpSocket { udp, is_binding: false, streams: Weak::new() })?)
            },
        )
    }
}

impl Host for View<'_> {}

impl HostUdpSocket for View<'_> {
    fn start_bind(
        &mut self,
        this: This,
        network: Resource<Network>,
        local_address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        const CALL: &str = "udp-socket.start-bind";
        let to = SocketAddr::from(local_address);
        self.traced(
            CALL,
            |view| format!("{}, local-address={to}", view.fd(&this)),
            |view| {
                view.table.get(&network)?;
                let socket = view.table.get_mut(&this)?;
                if socket.is_binding {
                    return Err(Failure::Conflict.into());
                }
                socket.udp.bind(view.thread, CALL, to)?;
                socket.is_binding = true;
                Ok(())
            },
        )
    }

    fn finish_bind(&mut self, this: This) -> Result<(), SocketError> {
        self.traced(
            "udp-socket.finish-bind",
            |view| view.fd(&this),
            |view| match std::mem::take(&mut view.table.get_mut(&this)?.is_binding) {
                true => Ok(()),
                false => Err(Failure::NotStarted.into()),
            },
        )
    }

    async fn stream(
        &mut self,
        this: This,
        remote_address: Option<IpSocketAddress>,
    ) -> Result<Streams, SocketError> {
        const CALL: &str = "udp-socket.stream";
        let peer = remote_address.map(SocketAddr::from);
        let line = self.begin(CALL, |view| match peer {
            Some(peer) => format!("{}, remote-address={peer}", view.fd(&this)),
            None => format!("{}, remote-address=none", view.fd(&this)),
        });
        let streams = self.associate(CALL, &this, peer).await;
        self.end(line, &streams);
        streams
    }

    udp_calls!(
        This,
        SocketError,
        IpAddressFamily,
        IpSocketAddress,
        "",
        [
            local_address,
            remote_address,
            address_family,
            unicast_hop_limit,
            receive_buffer_size,
            send_buffer_size,
        ]
    );

    /// Nothing of the socket itself is ever waited for.
    fn subscribe(&mut self, this: This) -> wasmtime::Result<Resource<DynPollable>> {
        self.table.get(&this)?;
        self.subscribe(Source::Ready)
    }
}

impl HostIncomingDatagramStream for View<'_> {
    fn receive(
        &mut self,
        stream: Resource<Incoming>,
        max_results: u64,
    ) -> Result<Vec<IncomingDatagram>, SocketError> {
        self.traced(
            RECEIVE,
            |view| format!("fd={}, max-results={max_results}", fd(view.table.get(&stream).map(|it| &it.0))),
            |view| {
                let received = view.receive_all(&stream, max_results)?;
                view.note("datagrams", received.len());
                Ok(received)
            },
        )
    }

    fn subscribe(&mut self, stream: Resource<Incoming>) -> wasmtime::Result<Resource<DynPollable>> {
        let source = Source::Incoming(Arc::clone(self.table.get(&stream)?.0.socket.socket()));
        self.subscribe(source)
    }

    fn drop(&mut self, stream: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl HostOutgoingDatagramStream for View<'_> {
    fn check_send(&mut self, stream: Resource<Outgoing>) -> Result<u64, SocketError> {
        let outgoing = self.table.get_mut(&stream)?;
        outgoing.permit = usize::try_from(MOST).unwrap_or(usize::MAX);
        Ok(MOST)
    }

    async fn send(
        &mut self,
        stream: Resource<Outgoing>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> Result<u64, SocketError> {
        let line = self.begin(SEND, |view| {
            let fd = fd(view.table.get(&stream).map(|it| &it.association));
            format!("fd={fd}, datagrams={}", datagrams.len())
        });
        let sent = self.send_all(&stream, datagrams).await;
        if let Ok(sent) = &sent {
            self.note("sent", sent);
        }
        self.end(line, &sent);
        sent
    }

    fn subscribe(&mut self, stream: Resource<Outgoing>) -> wasmtime::Result<Resource<DynPollable>> {
        let source = Source::Outgoing(Arc::clone(self.table.get(&stream)?.association.socket.socket()));
        self.subscribe(source)
    }

    fn drop(&mut self, stream: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

fn fd<E>(association: Result<&Arc<Association>, E>) -> String {
    association.map_or_else(|_| "?".to_owned(), |it| it.socket.fd().to_string())
}
