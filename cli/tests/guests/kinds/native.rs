//! A socket of the test's own, whose options show what the kernel does.

use anyhow::{Context as _, Result, bail};
use nix::libc;
use nix::sys::socket::{GetSockOpt, SetSockOpt, sockopt::DontRoute};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, sockopt};
use std::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tempfile::TempDir;

sockopt_impl!(ReceiveLowWater, Both, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32);
sockopt_impl!(SendLowWater, GetOnly, libc::SOL_SOCKET, libc::SO_SNDLOWAT, i32);

pub(super) struct Native {
    fd: OwnedFd,
    is_v6: bool,
    is_unix: bool,
    kind: SocketType,
    /// A limit of a blocking call, which is the host's and not the kernel's.
    limit: Cell<Option<u64>>,
    _folder: Option<TempDir>,
}

impl Native {
    pub(super) fn open(name: &str, state: &str) -> Result<Self> {
        let (family, kind) = match name {
            "tcp_v4" => (AddressFamily::INET, SocketType::STREAM),
            "tcp_v6" => (AddressFamily::INET6, SocketType::STREAM),
            "udp_v4" => (AddressFamily::INET, SocketType::DGRAM),
            "udp_v6" => (AddressFamily::INET6, SocketType::DGRAM),
            "unix_stream" => (AddressFamily::UNIX, SocketType::STREAM),
            "unix_datagram" => (AddressFamily::UNIX, SocketType::DGRAM),
            "unix_seqpacket" => (AddressFamily::UNIX, SocketType::SEQPACKET),
            other => bail!("no kind {other:?}"),
        };
        let fd = rustix::net::socket(family, kind, None)?;
        let mut folder = None;
        if state == "used" {
            if kind == SocketType::STREAM && family != AddressFamily::UNIX {
                // So the host does, that servers may start again at once.
                sockopt::set_socket_reuseaddr(&fd, true)?;
            }
            match family {
                AddressFamily::INET => rustix::net::bind(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?,
                AddressFamily::INET6 => rustix::net::bind(&fd, &SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))?,
                _ => {
                    let place = folder.insert(tempfile::tempdir()?);
                    rustix::net::bind(&fd, &SocketAddrUnix::new(place.path().join("s"))?)?;
                }
            }
            if kind != SocketType::DGRAM {
                rustix::net::listen(&fd, 4)?;
            }
        }
        let (is_v6, is_unix) = (family == AddressFamily::INET6, family == AddressFamily::UNIX);
        Ok(Self { fd, is_v6, is_unix, kind, limit: Cell::new(None), _folder: folder })
    }

    /// The value of the option, as the guest's program writes it.
    pub(super) fn get(&self, option: &str) -> Result<String> {
        let fd = &self.fd;
        let flag = |on: bool| u64::from(on).to_string();
        Ok(match option {
            "reuse_port" => flag(sockopt::socket_reuseport(fd)?),
            "reuse_addr" => flag(sockopt::socket_reuseaddr(fd)?),
            "no_delay" => flag(sockopt::tcp_nodelay(fd)?),
            "dont_route" => flag(DontRoute.get(fd)?),
            "only_v6" => flag(sockopt::ipv6_v6only(fd)?),
            "broadcast" => flag(sockopt::socket_broadcast(fd)?),
            "multicast_loop_v4" => flag(sockopt::ip_multicast_loop(fd)?),
            "multicast_loop_v6" => flag(sockopt::ipv6_multicast_loop(fd)?),
            "listening" => flag(sockopt::socket_acceptconn(fd)?),
            "keep_alive" => flag(sockopt::socket_keepalive(fd)?),
            "oob_inline" => flag(sockopt::socket_oobinline(fd)?),
            "recv_buf_size" => sockopt::socket_recv_buffer_size(fd)?.to_string(),
            "send_buf_size" => sockopt::socket_send_buffer_size(fd)?.to_string(),
            "recv_lowat" => ReceiveLowWater.get(fd)?.to_string(),
            "send_lowat" => SendLowWater.get(fd)?.to_string(),
            "ttl" if self.is_v6 => sockopt::ipv6_unicast_hops(fd)?.to_string(),
            "ttl" => sockopt::ip_ttl(fd)?.to_string(),
            "multicast_ttl_v4" => sockopt::ip_multicast_ttl(fd)?.to_string(),
            "last_error" => sockopt::socket_error(fd)?.map(|()| "0".to_owned())?,
            // The numbers of WASIX.
            "type" => match sockopt::socket_type(fd)? {
                SocketType::STREAM => "1",
                SocketType::DGRAM => "2",
                _ => "4",
            }
            .to_owned(),
            "proto" if self.is_unix => "0".to_owned(),
            "proto" if self.kind == SocketType::STREAM => "6".to_owned(),
            "proto" => "17".to_owned(),
            "linger" => {
                let time = sockopt::socket_linger(fd)?;
                time.map_or("none".to_owned(), |time| time.as_nanos().to_string())
            }
            _ => self.limit.get().map_or("none".to_owned(), |limit| limit.to_string()),
        })
    }

    /// Sets the option, and returns what the guest is to get.
    pub(super) fn set(&self, option: &str, value: &str) -> Result<String> {
        let fd = &self.fd;
        let number: Option<u64> = (value != "none").then(|| value.parse()).transpose()?;
        let on = number == Some(1);
        // An `int` is all that the kernel takes.
        let int = || i32::try_from(number.unwrap_or_default()).map_err(|_| rustix::io::Errno::INVAL);
        let size = || Ok(int()?.unsigned_abs());
        let bytes = || Ok::<_, rustix::io::Errno>(size()? as usize);
        let outcome = match option {
            "reuse_port" => sockopt::set_socket_reuseport(fd, on),
            "reuse_addr" => sockopt::set_socket_reuseaddr(fd, on),
            "no_delay" => sockopt::set_tcp_nodelay(fd, on),
            "dont_route" => DontRoute.set(fd, &on).map_err(of_nix),
            "only_v6" => sockopt::set_ipv6_v6only(fd, on),
            "broadcast" => sockopt::set_socket_broadcast(fd, on),
            "multicast_loop_v4" => sockopt::set_ip_multicast_loop(fd, on),
            "multicast_loop_v6" => sockopt::set_ipv6_multicast_loop(fd, on),
            "keep_alive" => sockopt::set_socket_keepalive(fd, on),
            "oob_inline" => sockopt::set_socket_oobinline(fd, on),
            "recv_buf_size" => bytes().and_then(|size| sockopt::set_socket_recv_buffer_size(fd, size)),
            "send_buf_size" => bytes().and_then(|size| sockopt::set_socket_send_buffer_size(fd, size)),
            "recv_lowat" => int().and_then(|bytes| ReceiveLowWater.set(fd, &bytes).map_err(of_nix)),
            // "0 <= x <= 255: use x; x >= 256: return an error of EINVAL" - RFC 3493, 5.1
            "ttl" if self.is_v6 => match number.map(u8::try_from) {
                Some(Ok(hops)) => sockopt::set_ipv6_unicast_hops(fd, Some(hops)),
                _ => Err(rustix::io::Errno::INVAL),
            },
            "ttl" => size().and_then(|hops| sockopt::set_ip_ttl(fd, hops)),
            "multicast_ttl_v4" => size().and_then(|hops| sockopt::set_ip_multicast_ttl(fd, hops)),
            "linger" => sockopt::set_socket_linger(fd, number.map(Duration::from_nanos)),
            "recv_timeout" | "send_timeout" | "connect_timeout" | "accept_timeout" => {
                self.limit.set(number);
                Ok(())
            }
            other => bail!("{other} is not set"),
        };
        match outcome {
            Ok(()) => Ok("ok".to_owned()),
            Err(rustix::io::Errno::INVAL) => Ok("EINVAL".to_owned()),
            Err(errno) => Err(errno).with_context(|| format!("{option} = {value}")),
        }
    }
}

fn of_nix(errno: nix::errno::Errno) -> rustix::io::Errno {
    rustix::io::Errno::from_raw_os_error(errno as i32)
}
