//! The calls that every version of WASI has alike, on whatever resource stands for a socket there.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::Resource;

use super::View;
use super::code::SocketError;
use super::descriptor::GuestSocket;
use super::failure::Failure;
use super::option::Buffer;
use super::tcp::{ListenCalls, Tcp};
use super::trace::Named;

/// A resource of a version of WASI that stands for a socket.
pub(super) trait SocketResource: Send + 'static {
    /// The descriptor.
    fn descriptor(&self) -> &Arc<GuestSocket>;

    /// The same, for its options.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where the socket is of no more use.
    fn options(&self) -> Result<&GuestSocket, Failure>;

    /// The address that it has, as the guest knows it.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it has none, and what the host reports.
    fn local_address(&self) -> Result<SocketAddr, Failure>;

    /// Its peer.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it has none.
    fn peer_address(&self) -> Result<SocketAddr, Failure>;
}

/// One that stands for a socket of TCP.
pub(super) trait TcpResource: SocketResource {
    fn tcp(&self) -> &Tcp;
    fn tcp_mut(&mut self) -> &mut Tcp;
}

/// How a call of a version of WASI returns.
type Answer<T, C> = Result<T, SocketError<C>>;

impl View<'_> {
    /// The number of a socket, for the trace.
    pub(super) fn fd<R: SocketResource>(&self, this: &Resource<R>) -> String {
        let socket = self.table.get(this);
        socket.map_or_else(|_| "fd=?".to_owned(), |it| format!("fd={}", it.descriptor().fd()))
    }

    /// Reads an option.
    pub(super) fn get_option<R: SocketResource, T, C: Named + From<super::Code>>(
        &mut self,
        name: &'static str,
        this: &Resource<R>,
        get: impl FnOnce(&GuestSocket) -> Result<T, Failure>,
    ) -> Answer<T, C> {
        self.traced(name, |view| view.fd(this), |view| Ok(get(view.table.get(this)?.options()?)?))
    }

    /// Sets an option.
    pub(super) fn set_option<R: SocketResource, C: Named + From<super::Code>>(
        &mut self,
        name: &'static str,
        this: &Resource<R>,
        value: impl Display,
        set: impl FnOnce(&GuestSocket) -> Result<(), Failure>,
    ) -> Answer<(), C> {
        self.traced(
            name,
            |view| format!("{}, value={value}", view.fd(this)),
            |view| Ok(set(view.table.get(this)?.options()?)?),
        )
    }

    /// Sets the size of a buffer.
    pub(super) fn set_buffer<R: SocketResource, C: Named + From<super::Code>>(
        &mut self,
        name: &'static str,
        this: &Resource<R>,
        buffer: Buffer,
        value: u64,
    ) -> Answer<(), C> {
        self.traced(
            name,
            |view| format!("{}, value={value}", view.fd(this)),
            |view| {
                let socket = view.table.get(this)?.options()?;
                if let Some(limited) = socket.set_buffer_size(view.thread, buffer, value)? {
                    view.annotate(limited);
                }
                Ok(())
            },
        )
    }

    /// Reads an address of a socket.
    pub(super) fn address<R: SocketResource, A: From<SocketAddr>, C: Named + From<super::Code>>(
        &mut self,
        name: &'static str,
        this: &Resource<R>,
        read: fn(&R) -> Result<SocketAddr, Failure>,
    ) -> Answer<A, C> {
        self.traced(
            name,
            |view| view.fd(this),
            |view| {
                let address = read(view.table.get(this)?)?;
                view.note("address", address);
                Ok(address.into())
            },
        )
    }

    /// Sets the backlog of a socket.
    pub(super) fn set_backlog<R: TcpResource, C: Named + From<super::Code>>(
        &mut self,
        calls: ListenCalls,
        this: &Resource<R>,
        value: u64,
    ) -> Answer<(), C> {
        self.traced(
            calls.call,
            |view| format!("{}, value={value}", view.fd(this)),
            |view| {
                let tcp = view.table.get_mut(this)?.tcp_mut();
                if let Some(capacity) = tcp.set_backlog(view.thread, calls, value)? {
                    view.note("capacity", capacity);
                }
                Ok(())
            },
        )
    }
}

/// The calls of `tcp-socket` that all versions have: `$prefix` begins the names of those that read, and the
/// list has what the bindings call these. `$accept` is the call by which the guest gets connections.
macro_rules! tcp_calls {
    ($this:ty, $error:ty, $family:ty, $address:ty, $accept:expr, $prefix:literal, [
        $local:ident, $remote:ident, $listening:ident, $of_family:ident, $enabled:ident, $idle:ident,
        $interval:ident, $count:ident, $hops:ident, $receive:ident, $send:ident $(,)?
    ]) => {
        fn $local(&mut self, this: $this) -> Result<$address, $error> {
            self.address(concat!("tcp-socket.", $prefix, "local-address"), &this, |it| it.local_address())
        }

        fn $remote(&mut self, this: $this) -> Result<$address, $error> {
            self.address(concat!("tcp-socket.", $prefix, "remote-address"), &this, |it| it.peer_address())
        }

        fn $listening(&mut self, this: $this) -> wasmtime::Result<bool> {
            Ok(self.table.get(&this)?.tcp().is_listening())
        }

        fn $of_family(&mut self, this: $this) -> wasmtime::Result<$family> {
            Ok(self.table.get(&this)?.descriptor().family().into())
        }

        fn set_listen_backlog_size(&mut self, this: $this, value: u64) -> Result<(), $error> {
            let call = "tcp-socket.set-listen-backlog-size";
            self.set_backlog(ListenCalls { call, accept: $accept }, &this, value)
        }

        fn $enabled(&mut self, this: $this) -> Result<bool, $error> {
            let name = concat!("tcp-socket.", $prefix, "keep-alive-enabled");
            self.get_option(name, &this, GuestSocket::keep_alive)
        }

        fn set_keep_alive_enabled(&mut self, this: $this, value: bool) -> Result<(), $error> {
            self.set_option("tcp-socket.set-keep-alive-enabled", &this, value, |it| it.set_keep_alive(value))
        }

        fn $idle(&mut self, this: $this) -> Result<u64, $error> {
            let name = concat!("tcp-socket.", $prefix, "keep-alive-idle-time");
            self.get_option(name, &this, |it| it.keep_alive_time(KeepAliveTime::Idle))
        }

        fn set_keep_alive_idle_time(&mut self, this: $this, value: u64) -> Result<(), $error> {
            self.set_option("tcp-socket.set-keep-alive-idle-time", &this, value, |it| {
                it.set_keep_alive_time(KeepAliveTime::Idle, value)
            })
        }

        fn $interval(&mut self, this: $this) -> Result<u64, $error> {
            let name = concat!("tcp-socket.", $prefix, "keep-alive-interval");
            self.get_option(name, &this, |it| it.keep_alive_time(KeepAliveTime::Interval))
        }

        fn set_keep_alive_interval(&mut self, this: $this, value: u64) -> Result<(), $error> {
            self.set_option("tcp-socket.set-keep-alive-interval", &this, value, |it| {
                it.set_keep_alive_time(KeepAliveTime::Interval, value)
            })
        }

        fn $count(&mut self, this: $this) -> Result<u32, $error> {
            let name = concat!("tcp-socket.", $prefix, "keep-alive-count");
            self.get_option(name, &this, GuestSocket::keep_alive_count)
        }

        fn set_keep_alive_count(&mut self, this: $this, value: u32) -> Result<(), $error> {
            self.set_option("tcp-socket.set-keep-alive-count", &this, value, |it| {
                it.set_keep_alive_count(value)
            })
        }

        fn $hops(&mut self, this: $this) -> Result<u8, $error> {
            self.get_option(concat!("tcp-socket.", $prefix, "hop-limit"), &this, GuestSocket::hop_limit)
        }

        fn set_hop_limit(&mut self, this: $this, value: u8) -> Result<(), $error> {
            self.set_option("tcp-socket.set-hop-limit", &this, value, |it| it.set_hop_limit(value))
        }

        $crate::abi::component::calls::buffer_calls!(
            $this,
            $error,
            "tcp-socket.",
            $prefix,
            [$receive, $send]
        );

        fn drop(&mut self, this: $this) -> wasmtime::Result<()> {
            self.table.delete(this)?;
            Ok(())
        }
    };
}
pub(super) use tcp_calls;

/// As [`tcp_calls`], those of `udp-socket`.
macro_rules! udp_calls {
    ($this:ty, $error:ty, $family:ty, $address:ty, $prefix:literal, [
        $local:ident, $remote:ident, $of_family:ident, $hops:ident, $receive:ident, $send:ident $(,)?
    ]) => {
        fn $local(&mut self, this: $this) -> Result<$address, $error> {
            self.address(concat!("udp-socket.", $prefix, "local-address"), &this, |it| it.local_address())
        }

        fn $remote(&mut self, this: $this) -> Result<$address, $error> {
            self.address(concat!("udp-socket.", $prefix, "remote-address"), &this, |it| it.peer_address())
        }

        fn $of_family(&mut self, this: $this) -> wasmtime::Result<$family> {
            Ok(self.table.get(&this)?.descriptor().family().into())
        }

        fn $hops(&mut self, this: $this) -> Result<u8, $error> {
            let name = concat!("udp-socket.", $prefix, "unicast-hop-limit");
            self.get_option(name, &this, GuestSocket::hop_limit)
        }

        fn set_unicast_hop_limit(&mut self, this: $this, value: u8) -> Result<(), $error> {
            self.set_option("udp-socket.set-unicast-hop-limit", &this, value, |it| it.set_hop_limit(value))
        }

        $crate::abi::component::calls::buffer_calls!(
            $this,
            $error,
            "udp-socket.",
            $prefix,
            [$receive, $send]
        );

        fn drop(&mut self, this: $this) -> wasmtime::Result<()> {
            self.table.delete(this)?;
            Ok(())
        }
    };
}
pub(super) use udp_calls;

/// What both have.
macro_rules! buffer_calls {
    ($this:ty, $error:ty, $socket:literal, $prefix:literal, [$receive:ident, $send:ident]) => {
        fn $receive(&mut self, this: $this) -> Result<u64, $error> {
            let name = concat!($socket, $prefix, "receive-buffer-size");
            self.get_option(name, &this, |it| it.buffer_size(Buffer::Receive))
        }

        fn set_receive_buffer_size(&mut self, this: $this, value: u64) -> Result<(), $error> {
            self.set_buffer(concat!($socket, "set-receive-buffer-size"), &this, Buffer::Receive, value)
        }

        fn $send(&mut self, this: $this) -> Result<u64, $error> {
            let name = concat!($socket, $prefix, "send-buffer-size");
            self.get_option(name, &this, |it| it.buffer_size(Buffer::Send))
        }

        fn set_send_buffer_size(&mut self, this: $this, value: u64) -> Result<(), $error> {
            self.set_buffer(concat!($socket, "set-send-buffer-size"), &this, Buffer::Send, value)
        }
    };
}
pub(super) use buffer_calls;
