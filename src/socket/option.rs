//! Socket options: what is the kernel's is asked of the kernel; time limits of
//! blocking calls are ours, because host sockets never block.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;

use super::{Family, Kind, Socket};
use crate::error::Errno;

/// Options that are on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOption {
    /// Several sockets may share one port.
    ReusePort,
    /// A port may be taken again while old connections of it linger.
    ReuseAddress,
    /// Small writes leave at once.
    NoDelay,
    /// An IPv6 socket that takes no IPv4 connections. Fixed from bind on.
    OnlyV6,
    /// Datagrams may go to broadcast addresses.
    Broadcast,
    /// Does it listen? Read only.
    Listening,
    /// Idle connections are probed.
    KeepAlive,
    /// Urgent data stays in the stream.
    OutOfBandInline,
}

/// Options that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeOption {
    /// The pending error as a WASI number, cleared by reading. Read only.
    LastError,
    /// Bytes of the receive buffer, as the kernel counts them.
    ReceiveBuffer,
    /// Bytes of the send buffer, as the kernel counts them.
    SendBuffer,
    /// Hops that a packet may make, 1 to 255.
    TimeToLive,
    /// The kind of socket. Read only.
    Type,
    /// The protocol's IANA number. Read only.
    Protocol,
}

/// Options that are times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOption {
    /// Limit of a blocking receive.
    Receive,
    /// Limit of a blocking send.
    Send,
    /// Limit of a blocking connect.
    Connect,
    /// Limit of a blocking accept.
    Accept,
    /// How long a close may take to deliver what is left; the kernel counts seconds.
    Linger,
}

/// Limits of the blocking calls; `None` is for ever.
#[derive(Debug, Default)]
pub(super) struct Timeouts {
    limits: Mutex<[Option<Duration>; 4]>,
}

impl Timeouts {
    fn with<T>(&self, option: TimeOption, use_it: impl FnOnce(&mut Option<Duration>) -> T) -> Option<T> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let [receive, send, connect, accept] = &mut *limits;
        match option {
            TimeOption::Receive => Some(use_it(receive)),
            TimeOption::Send => Some(use_it(send)),
            TimeOption::Connect => Some(use_it(connect)),
            TimeOption::Accept => Some(use_it(accept)),
            TimeOption::Linger => None,
        }
    }

    pub(super) fn get(&self, option: TimeOption) -> Option<Duration> {
        self.with(option, |limit| *limit).flatten()
    }

    fn set(&self, option: TimeOption, limit: Option<Duration>) {
        self.with(option, |slot| *slot = limit);
    }

    /// What a listener's limits are to a connection that it accepts.
    pub(super) fn handed_on(&self) -> Self {
        // "creates a new socket with the same properties of s" - accept(2) of 4.2BSD; so
        // do Linux and Winsock.
        let [receive, send, ..] = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        Self { limits: Mutex::new([receive, send, None, None]) }
    }
}

impl Socket {
    /// Turns an option on or off.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where this kind of socket lacks the option or it can only be
    /// read, `EINVAL` where it is too late to set it.
    pub fn set_flag(&self, option: FlagOption, on: bool) -> Result<(), Errno> {
        let fd = self.host_fd();
        match option {
            FlagOption::ReusePort => sockopt::set_socket_reuseport(self.inet_fd()?, on)?,
            FlagOption::ReuseAddress => sockopt::set_socket_reuseaddr(fd, on)?,
            FlagOption::NoDelay => sockopt::set_tcp_nodelay(self.tcp_fd()?, on)?,
            FlagOption::OnlyV6 => sockopt::set_ipv6_v6only(self.inet6_fd()?, on)?,
            FlagOption::Broadcast => sockopt::set_socket_broadcast(self.datagram_fd()?, on)?,
            FlagOption::KeepAlive => sockopt::set_socket_keepalive(fd, on)?,
            FlagOption::OutOfBandInline => sockopt::set_socket_oobinline(fd, on)?,
            // "ENOPROTOOPT: The option is not supported by the protocol." - setsockopt(3p)
            FlagOption::Listening => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// Is an option on?
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where this kind of socket lacks the option.
    pub fn flag(&self, option: FlagOption) -> Result<bool, Errno> {
        let fd = self.host_fd();
        Ok(match option {
            FlagOption::ReusePort => sockopt::socket_reuseport(self.inet_fd()?)?,
            FlagOption::ReuseAddress => sockopt::socket_reuseaddr(fd)?,
            FlagOption::NoDelay => sockopt::tcp_nodelay(self.tcp_fd()?)?,
            FlagOption::OnlyV6 => sockopt::ipv6_v6only(self.inet6_fd()?)?,
            FlagOption::Broadcast => sockopt::socket_broadcast(self.datagram_fd()?)?,
            FlagOption::KeepAlive => sockopt::socket_keepalive(fd)?,
            FlagOption::OutOfBandInline => sockopt::socket_oobinline(fd)?,
            FlagOption::Listening => sockopt::socket_acceptconn(fd)?,
        })
    }

    /// Sets a number.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where it can only be read, `EINVAL` where it is out of range.
    pub fn set_size(&self, option: SizeOption, size: u64) -> Result<(), Errno> {
        let fd = self.host_fd();
        match option {
            SizeOption::ReceiveBuffer => sockopt::set_socket_recv_buffer_size(fd, buffer_size(size)?)?,
            SizeOption::SendBuffer => sockopt::set_socket_send_buffer_size(fd, buffer_size(size)?)?,
            SizeOption::TimeToLive => {
                let hops = u8::try_from(size).ok().filter(|hops| *hops > 0).ok_or(Errno::EINVAL)?;
                match self.family() {
                    Family::Inet4 => sockopt::set_ip_ttl(fd, hops.into())?,
                    Family::Inet6 => sockopt::set_ipv6_unicast_hops(fd, Some(hops))?,
                    Family::Unix => return Err(Errno::ENOPROTOOPT),
                }
            }
            SizeOption::LastError | SizeOption::Type | SizeOption::Protocol => {
                return Err(Errno::ENOPROTOOPT);
            }
        }
        Ok(())
    }

    /// A number, as the kernel has it. [`SizeOption::LastError`] and
    /// [`SizeOption::Type`] are the front desk's: it alone knows the guest's numbers.
    ///
    /// # Errors
    ///
    /// What the operating system reports.
    pub fn size(&self, option: SizeOption) -> Result<u64, Errno> {
        let fd = self.host_fd();
        let count = |size: usize| u64::try_from(size).map_err(|_| Errno::EOVERFLOW);
        match option {
            SizeOption::ReceiveBuffer => count(sockopt::socket_recv_buffer_size(fd)?),
            SizeOption::SendBuffer => count(sockopt::socket_send_buffer_size(fd)?),
            SizeOption::TimeToLive => match self.family() {
                Family::Inet4 => Ok(sockopt::ip_ttl(fd)?.into()),
                Family::Inet6 => Ok(sockopt::ipv6_unicast_hops(fd)?.into()),
                Family::Unix => Err(Errno::ENOPROTOOPT),
            },
            SizeOption::Protocol => Ok(match (self.family(), self.kind()) {
                (Family::Unix, _) | (_, Kind::SeqPacket) => 0,
                (_, Kind::Stream) => super::PROTOCOL_TCP,
                (_, Kind::Datagram) => super::PROTOCOL_UDP,
            }
            .into()),
            SizeOption::LastError | SizeOption::Type => Err(Errno::ENOPROTOOPT),
        }
    }

    /// Takes the pending error: `None` where there is none.
    ///
    /// # Errors
    ///
    /// What the operating system reports of the question itself.
    pub fn take_error(&self) -> Result<Option<Errno>, Errno> {
        if let Self::Stream(stream) = self
            && let Some(errno) = stream.take_connect_error()
        {
            return Ok(Some(errno));
        }
        Ok(sockopt::socket_error(self.host_fd())?.err().map(Errno::from_os))
    }

    /// Sets a time; `None` is no limit, and no lingering.
    ///
    /// # Errors
    ///
    /// What the operating system reports.
    pub fn set_time(&self, option: TimeOption, time: Option<Duration>) -> Result<(), Errno> {
        if option == TimeOption::Linger {
            sockopt::set_socket_linger(self.host_fd(), time)?;
            if let Self::Stream(stream) = self {
                stream.note_linger(time.is_some_and(|time| !time.is_zero()));
            }
            return Ok(());
        }
        self.timeouts().set(option, time);
        Ok(())
    }

    /// A time; `None` is no limit, and no lingering.
    ///
    /// # Errors
    ///
    /// What the operating system reports.
    pub fn time(&self, option: TimeOption) -> Result<Option<Duration>, Errno> {
        if option == TimeOption::Linger {
            return Ok(sockopt::socket_linger(self.host_fd())?);
        }
        Ok(self.timeouts().get(option))
    }

    fn tcp_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.kind() == Kind::Stream { self.inet_fd() } else { Err(Errno::ENOPROTOOPT) }
    }

    fn inet6_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.family() == Family::Inet6 { Ok(self.host_fd()) } else { Err(Errno::ENOPROTOOPT) }
    }

    fn datagram_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.kind() == Kind::Datagram { self.inet_fd() } else { Err(Errno::ENOPROTOOPT) }
    }

    fn inet_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.family() == Family::Unix { Err(Errno::ENOPROTOOPT) } else { Ok(self.host_fd()) }
    }
}

/// A buffer size that fits the kernel's `int`; it clamps to its own limits.
fn buffer_size(size: u64) -> Result<usize, Errno> {
    let size = i32::try_from(size).map_err(|_| Errno::EINVAL)?;
    usize::try_from(size).map_err(|_| Errno::EINVAL)
}
