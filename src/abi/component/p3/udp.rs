//! `wasi:sockets/types.udp-socket`.

use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

use wasmtime::component::{Accessor, Resource};

use super::SocketError;
use super::sockets::types::{HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress};
use crate::abi::component::calls::{SocketResource, udp_calls};
use crate::abi::component::descriptor::GuestSocket;
use crate::abi::component::failure::Failure;
use crate::abi::component::option::Buffer;
use crate::abi::component::udp::{MAX_DATAGRAM, Udp, check_to, receive, send};
use crate::abi::component::{Sockets, View};
use crate::error::Errno;
use crate::io::{Events, Pollable};
use crate::policy::Use;
use crate::socket::Family;

/// "A UDP socket handle." - wasi:sockets/types
pub struct UdpSocket {
    udp: Udp,
}

type This = Resource<UdpSocket>;

const SEND: &str = "udp-socket.send";
const RECEIVE: &str = "udp-socket.receive";

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
    /// The socket, and its peer.
    fn p3_udp(&self, this: &This) -> Result<(Arc<GuestSocket>, Option<SocketAddr>), Failure> {
        let udp = &self.table.get(this)?.udp;
        Ok((Arc::clone(udp.socket()), udp.peer_address().ok()))
    }

    fn receive_one(&mut self, this: &This) -> Result<Option<(Vec<u8>, SocketAddr)>, Failure> {
        let udp = &self.table.get(this)?.udp;
        // "`invalid-state`: The socket has not been bound yet."
        if !udp.is_bound()? {
            return Err(Failure::State);
        }
        let (socket, peer) = (Arc::clone(udp.socket()), udp.peer_address().ok());
        let buffer = &mut self.state.datagram;
        buffer.resize(MAX_DATAGRAM, 0);
        let received = receive(self.thread.process(), &socket, buffer, peer)?;
        Ok(received.map(|(length, from)| (buffer.get(..length).unwrap_or_default().to_vec(), from)))
    }
}

/// Waits until `socket` is ready.
async fn ready(socket: &GuestSocket, mask: Events) {
    poll_fn(|context| match socket.socket().poll(mask, context).is_empty() {
        true => Poll::Pending,
        false => Poll::Ready(()),
    })
    .await;
}

async fn send_one<T: Send>(
    store: &Accessor<T, Sockets>,
    this: &This,
    data: &[u8],
    to: Option<SocketAddr>,
) -> Result<(), SocketError> {
    let (socket, peer) = store.with(|mut store| store.get().p3_udp(this))?;
    loop {
        match send(socket.process(), SEND, &socket, data, to, peer).await {
            Err(Failure::Errno(Errno::EAGAIN)) => ready(&socket, Events::WRITE).await,
            sent => return Ok(sent?),
        }
    }
}

async fn receive_next<T: Send>(
    store: &Accessor<T, Sockets>,
    this: &This,
) -> Result<(Vec<u8>, IpSocketAddress), SocketError> {
    let (socket, _) = store.with(|mut store| store.get().p3_udp(this))?;
    loop {
        if let Some((data, from)) = store.with(|mut store| store.get().receive_one(this))? {
            return Ok((data, from.into()));
        }
        ready(&socket, Events::READ).await;
    }
}

impl<T: Send + 'static> HostUdpSocketWithStore<T> for Sockets {
    async fn send(
        store: &Accessor<T, Self>,
        this: This,
        data: Vec<u8>,
        remote_address: Option<IpSocketAddress>,
    ) -> Result<(), SocketError> {
        let to = remote_address.map(SocketAddr::from);
        let line = store.with(|mut store| {
            store.get().begin(SEND, |view| {
                let address = to.map(|to| format!(", remote-address={to}")).unwrap_or_default();
                format!("{}, len={}{address}", view.fd(&this), data.len())
            })
        });
        let sent = send_one(store, &this, &data, to).await;
        store.with(|mut store| store.get().end(line, &sent));
        sent
    }

    async fn receive(
        store: &Accessor<T, Self>,
        this: This,
    ) -> Result<(Vec<u8>, IpSocketAddress), SocketError> {
        let line = store.with(|mut store| store.get().begin(RECEIVE, |view| view.fd(&this)));
        let received = receive_next(store, &this).await;
        store.with(|mut store| store.get().end(line, &received));
        received
    }
}

impl View<'_> {
    async fn connect_udp(
        &mut self,
        call: &'static str,
        this: &This,
        to: SocketAddr,
    ) -> Result<(), SocketError> {
        let udp = &self.table.get(this)?.udp;
        let family = udp.socket().family();
        check_to(udp.socket(), to)?;
        // What the kernel has bound by itself loses its port with its peer. Who may only send gets no more by it.
        let any: SocketAddr = match family {
            Family::Inet6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
            Family::Inet4 | Family::Unix => (Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        let may_bind = self.thread.process().policy().check(Use::UdpBind(any)).is_ok();
        if may_bind && !udp.is_bound()? {
            udp.bind(self.thread, call, any)?;
        }
        if udp.peer_address().is_ok() {
            // Linux keeps the address that it has chosen for the peer before.
            udp.socket().socket().dissolve()?;
        }
        Ok(udp.connect(self.thread.process(), call, to).await?)
    }
}

impl HostUdpSocket for View<'_> {
    fn create(&mut self, family: IpAddressFamily) -> Result<This, SocketError> {
        self.traced(
            "udp-socket.create",
            |_| format!("address-family={}", family.name()),
            |view| {
                let udp = Udp::open(view.thread, family.into(), RECEIVE)?;
                view.note("fd", udp.socket().fd());
                Ok(view.table.push(UdpSocket { udp })?)
            },
        )
    }

    fn bind(&mut self, this: This, local_address: IpSocketAddress) -> Result<(), SocketError> {
        const CALL: &str = "udp-socket.bind";
        let to = SocketAddr::from(local_address);
        self.traced(
            CALL,
            |view| format!("{}, local-address={to}", view.fd(&this)),
            |view| Ok(view.table.get(&this)?.udp.bind(view.thread, CALL, to)?),
        )
    }

    async fn connect(&mut self, this: This, remote_address: IpSocketAddress) -> Result<(), SocketError> {
        const CALL: &str = "udp-socket.connect";
        let to = SocketAddr::from(remote_address);
        let line = self.begin(CALL, |view| format!("{}, remote-address={to}", view.fd(&this)));
        let connected = self.connect_udp(CALL, &this, to).await;
        self.end(line, &connected);
        connected
    }

    fn disconnect(&mut self, this: This) -> Result<(), SocketError> {
        self.traced(
            "udp-socket.disconnect",
            |view| view.fd(&this),
            |view| {
                let udp = &view.table.get(&this)?.udp;
                udp.peer_address()?;
                Ok(udp.socket().socket().dissolve()?)
            },
        )
    }

    udp_calls!(
        This,
        SocketError,
        IpAddressFamily,
        IpSocketAddress,
        "get-",
        [
            get_local_address,
            get_remote_address,
            get_address_family,
            get_unicast_hop_limit,
            get_receive_buffer_size,
            get_send_buffer_size,
        ]
    );
}
