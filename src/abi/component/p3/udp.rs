//! `wasi:sockets/types.udp-socket`.

use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

use wasmtime::component::{Accessor, Resource};

use super::SocketError;
use super::sockets::types::{HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress};
use super::tcp::name_of;
use crate::abi::component::address::check_destination;
use crate::abi::component::descriptor::GuestSocket;
use crate::abi::component::failure::Failure;
use crate::abi::component::option::Buffer;
use crate::abi::component::udp::{MAX_DATAGRAM, Udp, receive, send};
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

impl View<'_> {
    fn p3_udp_fd(&self, this: &This) -> String {
        let socket = self.table.get(this);
        socket.map_or_else(|_| "fd=?".to_owned(), |it| format!("fd={}", it.udp.socket().fd()))
    }

    fn p3_get_udp<T>(
        &mut self,
        name: &'static str,
        this: &This,
        get: impl FnOnce(&GuestSocket) -> Result<T, Failure>,
    ) -> Result<T, SocketError> {
        self.traced(name, |view| view.p3_udp_fd(this), |view| Ok(get(view.table.get(this)?.udp.socket())?))
    }

    fn p3_set_udp_buffer(
        &mut self,
        name: &'static str,
        this: &This,
        buffer: Buffer,
        value: u64,
    ) -> Result<(), SocketError> {
        self.traced(
            name,
            |view| format!("{}, value={value}", view.p3_udp_fd(this)),
            |view| {
                let socket = view.table.get(this)?.udp.socket();
                if let Some(limited) = socket.set_buffer_size(view.thread, buffer, value)? {
                    view.annotate(limited);
                }
                Ok(())
            },
        )
    }

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
            store.get().begin(SEND, |view| format!("{}, len={}", view.p3_udp_fd(&this), data.len()))
        });
        let sent = send_one(store, &this, &data, to).await;
        store.with(|mut store| store.get().end(line, &sent));
        sent
    }

    async fn receive(
        store: &Accessor<T, Self>,
        this: This,
    ) -> Result<(Vec<u8>, IpSocketAddress), SocketError> {
        let line = store.with(|mut store| store.get().begin(RECEIVE, |view| view.p3_udp_fd(&this)));
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
        check_destination(to, family)?;
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
            |_| format!("address-family={}", name_of(family)),
            |view| {
                let udp = Udp::open(view.thread, family.into())?;
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
            |view| format!("{}, local-address={to}", view.p3_udp_fd(&this)),
            |view| Ok(view.table.get(&this)?.udp.bind(view.thread, CALL, to)?),
        )
    }

    async fn connect(&mut self, this: This, remote_address: IpSocketAddress) -> Result<(), SocketError> {
        const CALL: &str = "udp-socket.connect";
        let to = SocketAddr::from(remote_address);
        let line = self.begin(CALL, |view| format!("{}, remote-address={to}", view.p3_udp_fd(&this)));
        let connected = self.connect_udp(CALL, &this, to).await;
        self.end(line, &connected);
        connected
    }

    fn disconnect(&mut self, this: This) -> Result<(), SocketError> {
        self.traced(
            "udp-socket.disconnect",
            |view| view.p3_udp_fd(&this),
            |view| {
                let udp = &view.table.get(&this)?.udp;
                udp.peer_address()?;
                Ok(udp.socket().socket().dissolve()?)
            },
        )
    }

    fn get_local_address(&mut self, this: This) -> Result<IpSocketAddress, SocketError> {
        self.traced(
            "udp-socket.get-local-address",
            |view| view.p3_udp_fd(&this),
            |view| {
                let local = view.table.get(&this)?.udp.local_address()?;
                view.note("address", local);
                Ok(local.into())
            },
        )
    }

    fn get_remote_address(&mut self, this: This) -> Result<IpSocketAddress, SocketError> {
        self.traced(
            "udp-socket.get-remote-address",
            |view| view.p3_udp_fd(&this),
            |view| {
                let peer = view.table.get(&this)?.udp.peer_address()?;
                view.note("address", peer);
                Ok(peer.into())
            },
        )
    }

    fn get_address_family(&mut self, this: This) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.udp.socket().family().into())
    }

    fn get_unicast_hop_limit(&mut self, this: This) -> Result<u8, SocketError> {
        self.p3_get_udp("udp-socket.get-unicast-hop-limit", &this, GuestSocket::hop_limit)
    }

    fn set_unicast_hop_limit(&mut self, this: This, value: u8) -> Result<(), SocketError> {
        self.traced(
            "udp-socket.set-unicast-hop-limit",
            |view| format!("{}, value={value}", view.p3_udp_fd(&this)),
            |view| Ok(view.table.get(&this)?.udp.socket().set_hop_limit(value)?),
        )
    }

    fn get_receive_buffer_size(&mut self, this: This) -> Result<u64, SocketError> {
        self.p3_get_udp("udp-socket.get-receive-buffer-size", &this, |it| it.buffer_size(Buffer::Receive))
    }

    fn set_receive_buffer_size(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.p3_set_udp_buffer("udp-socket.set-receive-buffer-size", &this, Buffer::Receive, value)
    }

    fn get_send_buffer_size(&mut self, this: This) -> Result<u64, SocketError> {
        self.p3_get_udp("udp-socket.get-send-buffer-size", &this, |it| it.buffer_size(Buffer::Send))
    }

    fn set_send_buffer_size(&mut self, this: This, value: u64) -> Result<(), SocketError> {
        self.p3_set_udp_buffer("udp-socket.set-send-buffer-size", &this, Buffer::Send, value)
    }

    fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
